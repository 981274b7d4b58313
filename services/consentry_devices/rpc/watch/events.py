"""What a reader is told besides the data itself, and readings that were folded."""

from consentry.devices.v1 import feed_pb2, gap_pb2
from consentry_core.protocol.follow_wire import data_classes_to_wire
from consentry_core.protocol.times import to_timestamp
from consentry_core.values import names
from consentry_core.values.errors import ConsentryError
from consentry_devices.blocks.wire import delimited, number
from consentry_devices.feed.coverage import Added
from consentry_devices.feed.folding import Folded
from consentry_devices.feed.joining import Fields
from consentry_devices.feed.reader import Missing
from consentry_devices.log.entries import Kind
from consentry_devices.rpc.messages import join
from consentry_rule import CustomerId, DataClass, Instant

_W = feed_pb2.WatchResponse
FIELDS = Fields(
    telemetry=_W.TELEMETRY_FIELD_NUMBER,
    devices=_W.Telemetry.DEVICES_FIELD_NUMBER,
    of={
        Kind.INVENTORY: _W.INVENTORY_CHANGE_FIELD_NUMBER,
        Kind.ALARM: _W.ALARM_CHANGE_FIELD_NUMBER,
        Kind.GAP: _W.GAP_FIELD_NUMBER,
    },
    damaged=gap_pb2.Gap(cause=gap_pb2.Gap.CAUSE_DAMAGED).SerializeToString(),
)
"""For what is handed on as it was stored."""


def added(change: Added) -> feed_pb2.WatchResponse:
    """The customer enters, with these classes."""
    customer = names.CUSTOMER.format(change.customer)
    classes = data_classes_to_wire(change.data_classes)
    return _W(customer_added=_W.CustomerAdded(customer=customer, data_classes=classes))


def removed(customer: CustomerId, denial: ConsentryError | None) -> feed_pb2.WatchResponse:
    """The customer leaves."""
    reason = "WITHDRAWN" if denial is None else denial.reason
    return _W(customer_removed=_W.CustomerRemoved(customer=names.CUSTOMER.format(customer), reason=reason))


def not_covered(change: Added, until: Instant) -> feed_pb2.WatchResponse:
    """What the customer had meanwhile is missing: of all its classes, or of some. `until`: what was taken in later is told."""
    gap = gap_pb2.Gap(
        customer=names.CUSTOMER.format(change.customer),
        cause=gap_pb2.Gap.CAUSE_NOT_COVERED,
        end_time=to_timestamp(Instant(until + 1)),
    )
    if change.missed != change.data_classes:
        gap.data_classes.extend(data_classes_to_wire(change.missed))
    if change.since is not None:
        gap.start_time.CopyFrom(to_timestamp(change.since))
    return _W(gap=gap)


def damaged(customer: CustomerId, data_class: DataClass) -> feed_pb2.WatchResponse:
    """Of how things stand something is damaged, and is not here."""
    name, classes = names.CUSTOMER.format(customer), data_classes_to_wire(frozenset({data_class}))
    return _W(gap=gap_pb2.Gap(customer=name, cause=gap_pb2.Gap.CAUSE_DAMAGED, data_classes=classes))


def not_kept(missing: Missing, since: Instant) -> feed_pb2.WatchResponse:
    """What was taken in from `since` on, and has been removed, is missing."""
    gap = gap_pb2.Gap(
        customer=names.CUSTOMER.format(missing.customer),
        cause=gap_pb2.Gap.CAUSE_NOT_KEPT,
        data_classes=data_classes_to_wire(missing.data_classes),
        end_time=to_timestamp(Instant(missing.until + 1)),
    )
    if since <= missing.until:  # else it was measured before that, and came late
        gap.start_time.CopyFrom(to_timestamp(since))
    return _W(gap=gap)


def synced() -> feed_pb2.WatchResponse:
    """The start is complete."""
    return _W(synced=_W.Synced())


def heartbeat(now: Instant) -> feed_pb2.WatchResponse:
    """Nothing happened."""
    return _W(heartbeat=_W.Heartbeat(time=to_timestamp(now)))


def folded(message: Folded) -> bytes:
    """The newest readings, encoded."""
    telemetry = join(_W.Telemetry.DEVICES_FIELD_NUMBER, message.blocks)
    if message.folded_count:
        telemetry += number(_W.Telemetry.FOLDED_COUNT_FIELD_NUMBER, message.folded_count)
    return delimited(_W.TELEMETRY_FIELD_NUMBER, telemetry)
