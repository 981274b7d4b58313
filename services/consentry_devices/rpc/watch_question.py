"""What a WatchRequest asks, checked."""

from dataclasses import dataclass

from consentry.devices.v1 import feed_pb2
from consentry_core import names
from consentry_core.clock import SECOND
from consentry_core.errors import InvalidArgument
from consentry_core.rpc.follow_wire import data_classes_from_wire
from consentry_core.rpc.times import from_duration
from consentry_rule import CustomerId, DataClass

_MOST_CUSTOMERS = 1_000
_HEARTBEAT = 15 * SECOND
_SHORTEST, _LONGEST = SECOND, 300 * SECOND


@dataclass(frozen=True, slots=True)
class Question:
    """A reader's customers (none: all), classes (None: all), start, and habits."""

    customers: frozenset[CustomerId]
    data_classes: frozenset[DataClass] | None
    start: str
    after_cursor: str
    heartbeat: float
    stop_when_synced: bool

    @property
    def filter_text(self) -> str:
        """What a cursor is bound to."""
        classes = sorted(data_class.value for data_class in self.data_classes or ())
        return f"{','.join(sorted(self.customers))};{','.join(classes)}"


def asked(request: feed_pb2.WatchRequest) -> Question:
    """The question. InvalidArgument when it makes no sense."""
    if len(request.customers) > _MOST_CUSTOMERS:
        # Each of them is followed one by one, here and at the authority; who wants that many wants all.
        raise InvalidArgument(
            "customers",
            f"must hold at most {_MOST_CUSTOMERS} names; leave it empty for all that the key covers",
            reason="TOO_MANY",
        )
    customers = frozenset(
        CustomerId(names.CUSTOMER.parse(name, f"customers[{index}]")[0]) for index, name in enumerate(request.customers)
    )
    classes = data_classes_from_wire(list(request.data_classes), "data_classes")
    heartbeat = from_duration(request.heartbeat_interval) if request.HasField("heartbeat_interval") else _HEARTBEAT
    if not _SHORTEST <= heartbeat <= _LONGEST:
        raise InvalidArgument("heartbeat_interval", "must be between 1 s and 300 s", reason="HEARTBEAT_INVALID")
    return Question(
        customers=customers,
        data_classes=classes or None,
        start=request.WhichOneof("start") or "snapshot",
        after_cursor=request.after_cursor,
        heartbeat=heartbeat / SECOND,
        stop_when_synced=request.stop_when_synced,
    )
