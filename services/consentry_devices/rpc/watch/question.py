"""What a WatchRequest asks, checked."""

from dataclasses import dataclass

from consentry.devices.v1 import feed_pb2
from consentry_core.protocol.data_classes import data_classes_from_wire
from consentry_core.protocol.times import from_duration
from consentry_core.rpc.server.heartbeats import heartbeat_interval
from consentry_core.values import names
from consentry_core.values.clock import SECOND
from consentry_core.values.errors import InvalidArgument
from consentry_core.values.reasons import ErrorReason
from consentry_devices.feed.filter import DeviceKey, Filter
from consentry_rule import CustomerId

_MOST_NAMES = 1_000
_SHORTEST_SAMPLE, _LONGEST_SAMPLE = SECOND // 10, 3600 * SECOND
_W = feed_pb2.WatchRequest


@dataclass(frozen=True, slots=True)
class Question:
    """A reader's filter, start, and habits.

    `fold_every`: nanoseconds between two messages of readings, of which only the newest are told; 0: as fast as they are taken;
    None: every reading is told. `heartbeat` in seconds.
    """

    filter: Filter
    start: str
    after_cursor: str
    fold_every: int | None
    heartbeat: float
    stop_when_synced: bool
    strict: bool


def asked(request: feed_pb2.WatchRequest) -> Question:
    """The question. InvalidArgument when it makes no sense."""
    heartbeat = heartbeat_interval(request)
    return Question(
        filter=_filter(request),
        start=request.WhichOneof("start") or "snapshot",
        after_cursor=request.after_cursor,
        fold_every=_fold_every(request),
        heartbeat=heartbeat,
        stop_when_synced=request.stop_when_synced,
        strict=request.strict,
    )


def _filter(request: feed_pb2.WatchRequest) -> Filter:
    # Each of them is followed one by one, here and at the authority; who wants that many wants all.
    _check_count(len(request.customers), "customers")
    _check_count(len(request.devices), "devices")
    customers = frozenset(
        CustomerId(names.CUSTOMER.parse(name, f"customers[{index}]")[0]) for index, name in enumerate(request.customers)
    )
    devices = [_device(name, f"devices[{index}]") for index, name in enumerate(request.devices)]
    for index, (customer, _) in enumerate(devices):
        if customers and customer not in customers:
            raise InvalidArgument(
                f"devices[{index}]",
                "must be a device of one of the customers; name that customer too, or no customers at all",
                reason=ErrorReason.CUSTOMER_NOT_NAMED,
            )
    return Filter(
        customers or frozenset(customer for customer, _ in devices),
        data_classes_from_wire(list(request.data_classes), "data_classes"),
        frozenset(devices),
    )


def _device(name: str, field: str) -> DeviceKey:
    customer, device = names.DEVICE.parse(name, field)
    return CustomerId(customer), device


def _check_count(count: int, field: str) -> None:
    if count > _MOST_NAMES:
        raise InvalidArgument(
            field,
            f"must hold at most {_MOST_NAMES} names; leave it empty for all that the key covers",
            reason=ErrorReason.TOO_MANY,
        )


def _fold_every(request: feed_pb2.WatchRequest) -> int | None:
    if request.delivery not in _W.Delivery.values():
        known = ", ".join(name for name in _W.Delivery.keys() if name != "DELIVERY_UNSPECIFIED")  # noqa: SIM118 - no mapping
        raise InvalidArgument("delivery", f"must be one of {known}", reason=ErrorReason.DELIVERY_INVALID)
    if request.delivery != _W.DELIVERY_SAMPLE:
        if request.HasField("sample_interval"):
            raise InvalidArgument("sample_interval", "is for DELIVERY_SAMPLE only", reason=ErrorReason.SAMPLE_INTERVAL_INVALID)
        return 0 if request.delivery == _W.DELIVERY_LATEST else None
    interval = from_duration(request.sample_interval)
    if not _SHORTEST_SAMPLE <= interval <= _LONGEST_SAMPLE:
        raise InvalidArgument(
            "sample_interval",
            "must be between 0.1 s and 3600 s with DELIVERY_SAMPLE",
            reason=ErrorReason.SAMPLE_INTERVAL_INVALID,
        )
    return interval
