"""Our errors as gRPC statuses, in one place. The table is design, so a test holds it equal to the set of errors."""

from collections.abc import Sequence
from functools import lru_cache
from typing import TypeAlias
from urllib.parse import quote

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from consentry_core.values import errors
from consentry_core.values.text import shown

DOMAIN = "consentry"

STATUS_OF: dict[type[errors.ConsentryError], grpc.StatusCode] = {
    errors.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    errors.PermissionDenied: grpc.StatusCode.PERMISSION_DENIED,
    errors.InvalidArgument: grpc.StatusCode.INVALID_ARGUMENT,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.AlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
    errors.FailedPrecondition: grpc.StatusCode.FAILED_PRECONDITION,
    errors.Aborted: grpc.StatusCode.ABORTED,
    errors.OutOfRange: grpc.StatusCode.OUT_OF_RANGE,
    errors.Unavailable: grpc.StatusCode.UNAVAILABLE,
    errors.ResourceExhausted: grpc.StatusCode.RESOURCE_EXHAUSTED,
}

_DETAILS_KEY = "grpc-status-details-bin"
# What a status may take of the 8 kB that headers have: with more, the transport refuses the answer, at random at first. Details
# travel as base64, and a message with every character that is not printable ASCII as `%XX` for each byte.
_DETAILS_BYTES = 4096
_VIOLATIONS_BYTES = 3000
_MESSAGE_BYTES = 1000
_AS_IT_IS = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")


def to_status(error: errors.ConsentryError) -> status_pb2.Status:
    """The status with its details: ErrorInfo always; BadRequest, PreconditionFailure or RetryInfo where they apply."""
    details: list[Message] = [
        error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=dict(error.metadata)),
    ]
    match error:
        case errors.InvalidArgument():
            details.append(_bad_request(error.violations))
        case errors.FailedPrecondition() if error.violations:
            details.append(_precondition_failure(error.reason, error.violations))
        case errors.Unavailable() | errors.ResourceExhausted():
            nanos = round(error.retry_after * 1e9)
            delay = duration_pb2.Duration(seconds=nanos // 10**9, nanos=nanos % 10**9)
            details.append(error_details_pb2.RetryInfo(retry_delay=delay))
        case _:
            pass
    status = status_pb2.Status(
        code=STATUS_OF[type(error)].value[0], message=_short(shown(error.message))
    )  # some say what was asked for
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        if status.ByteSize() + packed.ByteSize() < _DETAILS_BYTES:
            status.details.append(packed)
    return status


Told: TypeAlias = tuple[str, tuple[tuple[str, bytes], ...]]


_SAY_IT_ALL = frozenset({errors.Unauthenticated, errors.PermissionDenied, errors.NotFound})
"""The errors of which message, reason and metadata are all that a client is told."""


def told(error: errors.ConsentryError) -> Told:
    """The status's message, and the metadata that carries its details."""
    kind = type(error)
    if kind in _SAY_IT_ALL:
        # mypy takes a class for one of its instances here
        return _told_before(kind, error.message, error.reason, tuple(error.metadata.items()))  # type: ignore[arg-type]
    return _told(error)


@lru_cache(maxsize=256)
def _told_before(kind: type[errors.ConsentryError], message: str, reason: str, metadata: tuple[tuple[str, str], ...]) -> Told:
    """These come by the thousand when somebody tries secrets, or goes on asking for what was withdrawn."""
    return _told(kind(message, reason=reason, metadata=dict(metadata)))


def _told(error: errors.ConsentryError) -> Told:
    status = to_status(error)
    return status.message, trailing_metadata(status)


def trailing_metadata(status: status_pb2.Status) -> tuple[tuple[str, bytes], ...]:
    """The metadata that carries a status's details."""
    return ((_DETAILS_KEY, status.SerializeToString()),)


def _short(message: str) -> str:
    """The message, cut where it would take more than its part of the headers."""
    if len(quote(message, safe=_AS_IT_IS)) <= _MESSAGE_BYTES:
        return message
    kept = message[:_MESSAGE_BYTES]
    while len(quote(kept, safe=_AS_IT_IS)) > _MESSAGE_BYTES - len("..."):
        kept = kept[: len(kept) * 9 // 10]
    return f"{kept}..."


def _bad_request(violations: Sequence[errors.Violation]) -> error_details_pb2.BadRequest:
    fields = [
        error_details_pb2.BadRequest.FieldViolation(field=shown(violation.field), description=shown(violation.description))
        for violation in violations[:20]
    ]
    return error_details_pb2.BadRequest(field_violations=fields)


def _precondition_failure(reason: str, violations: Sequence[errors.Violation]) -> error_details_pb2.PreconditionFailure:
    detail = error_details_pb2.PreconditionFailure()
    for violation in violations:
        failure = error_details_pb2.PreconditionFailure.Violation(
            type=violation.reason or reason, subject=shown(violation.field), description=shown(violation.description)
        )
        if detail.ByteSize() + failure.ByteSize() > _VIOLATIONS_BYTES:
            left_out = len(violations) - len(detail.violations)
            detail.violations.add(type=reason, description=f"and {left_out} more, for which there is no room here")
            break
        detail.violations.append(failure)
    return detail


def error_info(error: grpc.RpcError) -> error_details_pb2.ErrorInfo:
    """Our ErrorInfo of a call that failed; empty when the status came without: the transport's own, or a proxy's."""
    info = error_details_pb2.ErrorInfo()
    for detail in _details(error):
        if detail.Is(info.DESCRIPTOR):
            detail.Unpack(info)
    return info if info.domain == DOMAIN else error_details_pb2.ErrorInfo()


def retry_after(error: grpc.RpcError) -> float | None:
    """The seconds that a failed call's RetryInfo asks to wait; None when it asks for nothing."""
    info = error_details_pb2.RetryInfo()
    for detail in _details(error):
        if detail.Is(info.DESCRIPTOR):
            detail.Unpack(info)
            return float(info.retry_delay.seconds + info.retry_delay.nanos / 1e9)
    return None


def refused_field(error: grpc.RpcError) -> str:
    """The first field that a call's BadRequest names; empty when it names none."""
    request = error_details_pb2.BadRequest()
    for detail in _details(error):
        if detail.Is(request.DESCRIPTOR):
            detail.Unpack(request)
            return request.field_violations[0].field if request.field_violations else ""
    return ""


def _details(error: grpc.RpcError) -> Sequence[any_pb2.Any]:
    try:
        status = rpc_status.from_call(error)  # type: ignore[arg-type] # every RpcError of a call is a call
    except (AttributeError, ValueError):
        return ()
    return () if status is None or status.code == code_pb2.OK else status.details
