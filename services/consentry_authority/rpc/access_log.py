"""What keys read, on the wire: reports in, the customer's log out."""

from consentry.authority.v1 import consent_pb2, enforcement_pb2
from consentry.authority.v1.data_class_pb2 import DATA_CLASS_UNSPECIFIED
from consentry_authority.access_log.reports import HOUR, LONGEST_SPAN, AccessCount, AccessReport, Period, Unreported
from consentry_authority.enforcement.barriers import point_name
from consentry_authority.rpc.refused_calls import left_out_from_wire, refused_calls_from_wire
from consentry_authority.rpc.wire import optional_instant
from consentry_core.protocol.data_classes import DATA_CLASS_TO_WIRE, data_classes_from_wire
from consentry_core.protocol.times import from_timestamp, optional_timestamp, to_timestamp
from consentry_core.values import names
from consentry_core.values.errors import InvalidArgument, PermissionDenied
from consentry_core.values.reasons import ErrorReason
from consentry_core.values.text import plain
from consentry_rule import CustomerId, Deny, Instant, Token, reaches

MOST_COUNTS = 500
_SHORTEST_INCARNATION, _LONGEST_NAME = 16, 100
_MOST = 2**50  # of anything: sums stay within 64 bits
_NUMBERS = ("messages", "readings", "bytes", "devices", "refusals")


def report_from_wire(request: enforcement_pb2.ReportAccessesRequest) -> AccessReport:
    """The report. InvalidArgument for one that no guard makes."""
    if not _SHORTEST_INCARNATION <= len(request.incarnation) <= _LONGEST_NAME:
        raise InvalidArgument(
            "incarnation",
            f"must be the random name of {_SHORTEST_INCARNATION} to {_LONGEST_NAME} characters that the hello had",
        )
    plain(request.incarnation, "incarnation", _LONGEST_NAME)
    plain(request.service, "service", _LONGEST_NAME)
    if not 1 <= request.number <= _MOST:
        raise InvalidArgument("number", "must count up from 1")
    if len(request.counts) > MOST_COUNTS:
        raise InvalidArgument(
            "counts", f"must be at most {MOST_COUNTS}; report the rest under the next number", reason=ErrorReason.TOO_MANY
        )
    start, end = _time(request, "start_time"), _time(request, "end_time")
    if end < start:
        raise InvalidArgument("end_time", "must not be before start_time", reason=ErrorReason.TIME_INVALID)
    if end - start > LONGEST_SPAN:
        raise InvalidArgument("start_time", "must not be more than 31 days before end_time", reason=ErrorReason.TIME_INVALID)
    counts = tuple(_count_from_wire(count, f"counts[{index}]") for index, count in enumerate(request.counts))
    for index, count in enumerate(counts):
        if not start - start % HOUR <= count.hour <= end:
            raise InvalidArgument(
                f"counts[{index}].hour",
                "must be an hour of the time from start_time to end_time",
                reason=ErrorReason.TIME_INVALID,
            )
    return AccessReport(
        request.incarnation,
        request.service,
        request.number,
        start,
        end,
        counts,
        request.last,
        refused_calls_from_wire(request),
        left_out_from_wire(request),
        request.more,
    )


def require_reach(report: AccessReport, service: Token) -> None:
    """PermissionDenied for a report of keys of others than the partners that the service is limited to."""
    callers = {call.caller for call in report.refused if names.KEY.matches(call.caller)}
    for key in {count.key for count in report.counts} | callers:
        if isinstance(reaches(service, names.PARTNER.format(names.KEY.parse(key, "key")[0])), Deny):
            raise PermissionDenied(
                "this token is limited to partners; report the keys of no others",
                reason=ErrorReason.KEY_OUT_OF_REACH,
            )


def _time(request: enforcement_pb2.ReportAccessesRequest, field: str) -> Instant:
    time = optional_instant(request, field, field)
    if time is None:
        raise InvalidArgument(field, "is required", reason=ErrorReason.TIME_MISSING)
    return time


def _count_from_wire(count: enforcement_pb2.AccessCount, field: str) -> AccessCount:
    names.KEY.parse(count.key, f"{field}.key")
    (customer,) = names.CUSTOMER.parse(count.customer, f"{field}.customer")
    numbers = {name: getattr(count, name) for name in _NUMBERS}
    for name, number in numbers.items():
        if not 0 <= number <= _MOST:
            raise InvalidArgument(f"{field}.{name}", f"must be from 0 to {_MOST}")
    data_class = None
    if count.data_class != DATA_CLASS_UNSPECIFIED:
        (data_class,) = data_classes_from_wire([count.data_class], f"{field}.data_class")
    hour = from_timestamp(count.hour, f"{field}.hour")
    return AccessCount(hour=hour, key=count.key, customer=CustomerId(customer), data_class=data_class, **numbers)


def period_from_wire(request: consent_pb2.ListAccessesRequest) -> Period:
    """The time that is asked for."""
    return Period(optional_instant(request, "start_time", "start_time"), optional_instant(request, "end_time", "end_time"))


def reader_from_wire(reader: str) -> str:
    """Whose accesses are asked for: a key's name, a partner's keys (with a `/` at its end), or everybody's."""
    if not reader or names.KEY.matches(reader):
        return reader
    if names.PARTNER.matches(reader):
        return f"{reader}/keys/"
    raise InvalidArgument(
        "reader",
        f"must be of the form {names.KEY.pattern} or {names.PARTNER.pattern}, or empty",
        reason=ErrorReason.NAME_INVALID,
    )


def access_to_wire(count: AccessCount) -> consent_pb2.Access:
    """As a message."""
    return consent_pb2.Access(
        key=count.key,
        data_class=DATA_CLASS_TO_WIRE[count.data_class] if count.data_class else DATA_CLASS_UNSPECIFIED,
        hour=to_timestamp(count.hour),
        messages=count.messages,
        readings=count.readings,
        bytes=count.bytes,
        devices=count.devices,
        refusals=count.refusals,
    )


def unreported_to_wire(unreported: Unreported) -> consent_pb2.UnreportedInterval:
    """As a message."""
    return consent_pb2.UnreportedInterval(
        enforcement_point=point_name(unreported.incarnation) if unreported.incarnation else "",
        service=unreported.service,
        start_time=to_timestamp(unreported.start),
        end_time=optional_timestamp(unreported.end),
    )
