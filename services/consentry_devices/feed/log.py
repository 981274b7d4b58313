"""The feed's log: one order for everything that happened to all devices of this store.

A port. The embedded engine is `consentry_devices.storage.log`; every engine passes the tests in `tests/contract`.

There is one appender. It numbers the entries itself, without holes, and changes the tables of current state in the transaction
that appends them, so that a snapshot (`consentry_devices.state`) is exact at its number.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from consentry_rule import CustomerId, DataClass, Instant


class Kind(Enum):
    """What an entry's payload is."""

    TELEMETRY = "telemetry"
    """A serialised `DeviceTelemetry`."""
    INVENTORY = "inventory"
    """A serialised `InventoryChange`."""
    ALARM = "alarm"
    """A serialised `AlarmEvent`."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened. The payload was encoded once, when it was taken in, and is handed on as it is.

    `device` is the device's id; None when it concerns no single one. `min_time` and `max_time` are the earliest and the latest
    time of the data, by the gateway's clock; for inventory both are when it was taken in. `historical` marks data that
    was sent late, to fill in what was missed.
    """

    seq: int
    customer: CustomerId
    data_class: DataClass
    kind: Kind
    device: str | None
    min_time: Instant
    max_time: Instant
    historical: bool
    payload: bytes


Subscriber = Callable[[tuple[Entry, ...]], None]


class Log(Protocol):
    """The log, for those who read it."""

    @property
    def store_id(self) -> str:
        """Random name of the store that numbers the entries. Positions of another store mean nothing here."""
        ...

    def tail(self) -> int:
        """Number of the last entry that subscribers were given; 0 before the first. Never falls, not by a restart either."""
        ...

    async def read_after(self, seq: int, limit: int, *, max_bytes: int) -> Sequence[Entry]:
        """The entries after `seq`, in order: at most `limit`, and no more once their payloads reach `max_bytes`.

        At least one when there is one. May know entries beyond `tail()`, for the moment between commit and notice.
        """
        ...

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Call `subscriber` on the event loop with the new entries of every commit, in order, without holes, once each.

        The first that it is given is `tail() + 1` of this moment. It must be quick, and must not raise. Returns what ends it.
        """
        ...
