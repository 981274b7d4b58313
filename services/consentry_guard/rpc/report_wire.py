"""Reports of what was read, on the wire."""

from consentry.authority.v1 import enforcement_pb2
from consentry.authority.v1.data_class_pb2 import DATA_CLASS_UNSPECIFIED
from consentry_core import names
from consentry_core.rpc.follow_wire import DATA_CLASS_TO_WIRE
from consentry_core.rpc.times import to_timestamp
from consentry_guard.reports import Report
from consentry_guard.tally import Count


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
