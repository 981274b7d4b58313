"""The feed's log: one order for everything that happened to all devices of this store.

A port, for those who read (`Log`) and for retention (`RetainedLog`). `consentry_devices.log.appender` is both, over any
engine; every engine passes the tests in `tests/contract`.

There is one appender. It numbers the entries itself, without holes, and changes the tables of current state in the transaction
that appends them, so that a snapshot (`consentry_devices.domain.state`) is exact at its number. Another opening of the same
store fences it: from then on nothing that it appends is taken.

Retention removes from the oldest entry on and leaves no holes. What it removed is remembered, by customer and data class, so
that whoever asks is told of a gap, and who misses nothing is not.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
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
    GAP = "gap"
    """A serialised `Gap`: what a gateway lost. Its data class is TELEMETRY."""
    DAMAGED = "damaged"
    """Empty. Nothing is stored so: an entry whose content is no longer what was written. Whose it was is not known ("")."""


CLASS_OF = {
    Kind.INVENTORY: DataClass.INVENTORY,
    Kind.ALARM: DataClass.ALARMS,
    Kind.TELEMETRY: DataClass.TELEMETRY,
    Kind.GAP: DataClass.TELEMETRY,
}
"""The data class of what is stored, by its kind."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened. The payload was encoded once, when it was taken in, and is handed on as it is.

    `device` is the device's id; None when it concerns no single one. `min_time` and `max_time` are the earliest and the latest
    time of the data, by the gateway's clock; for inventory both are when it was taken in. `take_time` is when it was taken in,
    by the service's clock; it never falls with `seq`. `historical` marks data that was sent late, to fill in what was missed.
    """

    seq: int
    customer: CustomerId
    data_class: DataClass
    kind: Kind
    device: str | None
    min_time: Instant
    max_time: Instant
    take_time: Instant
    historical: bool
    payload: bytes


@dataclass(frozen=True, slots=True)
class Removal:
    """What retention has removed of a customer's data class: the last entry's number, and the latest data time among all."""

    seq: int
    until: Instant


Removals = Mapping[CustomerId, Mapping[DataClass, Removal]]
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

    def first(self) -> int:
        """Number of the oldest entry that is kept; `tail() + 1` when none is. Never falls, not by a restart either.

        For a moment after a removal it is still the one before: `read_after` then begins beyond it.
        """
        ...

    def run_of(self, seq: int) -> str:
        """The random name of the run that wrote an entry, kept or not; beyond `tail()` of the one that is going to; "" for 0.

        A run is one opening of the store by its appender. When a store is restored from an older copy of itself, what is
        written from there on is of another run than what was written and lost: whoever remembers a number together with its
        run finds out that the entry was another one.
        """
        ...

    async def removed(self, customers: Iterable[CustomerId] | None) -> Removals:
        """What retention has removed of these customers' data, None: of all. Without those of whom nothing was removed."""
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


class RetainedLog(Protocol):
    """The log, for the one that keeps it from growing for ever."""

    async def size(self) -> int:
        """About how many bytes the store holds, current state included."""
        ...

    async def remove_oldest(self, *, taken_before: Instant | None, max_entries: int, max_bytes: int) -> int:
        """Remove entries from the oldest on, and remember it, in one transaction; how many they were.

        Those that were taken in before an instant (None: whenever that was), at most `max_entries`, and no more once their
        payloads reach `max_bytes`, so that appends wait only for a moment.
        """
        ...
