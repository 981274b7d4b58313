"""Reports of what was read and what was refused, on the wire."""

from consentry.authority.v1 import enforcement_pb2
from consentry.authority.v1.data_class_pb2 import DATA_CLASS_UNSPECIFIED
from consentry_core.protocol.follow_wire import DATA_CLASS_TO_WIRE
from consentry_core.protocol.refused_call import RefusedCall
from consentry_core.protocol.times import to_timestamp
from consentry_core.values import names
from consentry_guard.reports.files import Report
from consentry_guard.reports.tally import Count


def report_to_wire(report: Report) -> enforcement_pb2.ReportAccessesRequest:
    """As a message."""
    return enforcement_pb2.ReportAccessesRequest(
        incarnation=report.incarnation,
        service=report.service,
        number=report.number,
        start_time=to_timestamp(report.start),
        end_time=to_timestamp(report.end),
        counts=map(_count_to_wire, report.counts),
        last=report.last,
        refused_calls=map(_refused_call_to_wire, report.refused.calls),
        more=report.more,
        left_out=[enforcement_pb2.LeftOut(reason=reason, count=count) for reason, count in report.refused.left_out],
    )


def _refused_call_to_wire(call: RefusedCall) -> enforcement_pb2.RefusedCall:
    return enforcement_pb2.RefusedCall(
        caller=call.caller,
        method=call.method,
        reason=call.reason,
        peer=call.peer,
        request_id=call.request_id,
        refuse_time=to_timestamp(call.time),
    )


def _count_to_wire(count: Count) -> enforcement_pb2.AccessCount:
    return enforcement_pb2.AccessCount(
        key=count.key,
        customer=names.CUSTOMER.format(count.customer),
        data_class=DATA_CLASS_TO_WIRE[count.data_class] if count.data_class else DATA_CLASS_UNSPECIFIED,
        hour=to_timestamp(count.hour),
        messages=count.messages,
        readings=count.readings,
        bytes=count.bytes,
        devices=count.devices,
        refusals=count.refusals,
    )
