"""Refused calls, as enforcement points tell of them."""

import re

from consentry.authority.v1 import enforcement_pb2
from consentry_authority.access_log.reports import LeftOut
from consentry_core.protocol.refused_call import RefusedCall
from consentry_core.protocol.times import from_timestamp
from consentry_core.values import names
from consentry_core.values.errors import InvalidArgument
from consentry_core.values.text import plain

_MOST_CALLS, _MOST_LEFT_OUT = 1_000, 100
_LONGEST = 200
_MOST = 2**50  # sums stay within 64 bits
_METHOD = re.compile(r"/[A-Za-z0-9_.]{1,150}/[A-Za-z0-9_]{1,49}")
_REASON = re.compile(r"[A-Z][A-Z0-9_]{0,62}")


def refused_calls_from_wire(request: enforcement_pb2.ReportAccessesRequest) -> tuple[RefusedCall, ...]:
    """The calls. InvalidArgument for what no guard tells."""
    if len(request.refused_calls) > _MOST_CALLS:
        raise InvalidArgument("refused_calls", f"must be at most {_MOST_CALLS}; count the rest in left_out", reason="TOO_MANY")
    return tuple(_call(call, f"refused_calls[{index}]") for index, call in enumerate(request.refused_calls))


def left_out_from_wire(request: enforcement_pb2.ReportAccessesRequest) -> tuple[LeftOut, ...]:
    """What is only counted. InvalidArgument for what no guard tells."""
    if len(request.left_out) > _MOST_LEFT_OUT:
        raise InvalidArgument("left_out", f"must be at most {_MOST_LEFT_OUT}; count the rest as OTHERS", reason="TOO_MANY")
    for index, each in enumerate(request.left_out):
        _check_reason(each.reason, f"left_out[{index}].reason")
        if not 1 <= each.count <= _MOST:
            raise InvalidArgument(f"left_out[{index}].count", f"must be from 1 to {_MOST}")
    return tuple(LeftOut(each.reason, each.count) for each in request.left_out)


def _call(call: enforcement_pb2.RefusedCall, field: str) -> RefusedCall:
    if not names.KEY.matches(call.caller) and not names.TOKEN.matches(call.caller):
        raise InvalidArgument(f"{field}.caller", "must be the name of a key or a token", reason="NAME_INVALID")
    if not _METHOD.fullmatch(call.method):
        raise InvalidArgument(f"{field}.method", "must be a method's full name, such as /package.Service/Method")
    _check_reason(call.reason, f"{field}.reason")
    for name, text in (("peer", call.peer), ("request_id", call.request_id)):
        plain(text, f"{field}.{name}", _LONGEST)
    if not call.HasField("refuse_time"):
        raise InvalidArgument(f"{field}.refuse_time", "is required", reason="TIME_MISSING")
    time = from_timestamp(call.refuse_time, f"{field}.refuse_time")
    return RefusedCall(time, call.caller, call.method, call.reason, call.peer, call.request_id)


def _check_reason(reason: str, field: str) -> None:
    if not _REASON.fullmatch(reason):
        raise InvalidArgument(field, "must be a reason in capitals, such as NETWORK_NOT_ALLOWED")
