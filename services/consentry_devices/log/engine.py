"""What a log is kept in. A port: `consentry_devices.storage.engine` keeps it in SQL, `consentry_devices.log.memory` in memory.

An engine stores, finds and removes. What is appended, in which order and to whom it is told is decided once for all of them, in
`consentry_devices.log.appender`.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from consentry_devices.log.entries import Entry, Removals
from consentry_devices.log.group import Group, Known
from consentry_devices.log.runs import Runs
from consentry_rule import CustomerId, Instant

_T = TypeVar("_T")


class Fenced(Exception):
    """Another run has opened the store; this one's appender writes nothing more."""


@dataclass(frozen=True, slots=True)
class Opened:
    """Where a log stood when its new run began. `take_time` is that of the entry `tail`, kept or not."""

    store_id: str
    runs: Runs
    first: int
    tail: int
    take_time: Instant


class Transaction(Known, Protocol):
    """What is stored, and the one chance to add to it."""

    def write(self, group: Group) -> None:
        """Write everything that is in the group. Fenced when another run has opened the store since."""
        ...


class Engine(Protocol):
    """The store of one log, opened for one run."""

    async def transact(self, change: Callable[[Transaction], _T]) -> _T:
        """Run `change`; what it has written is there for good once this returns, and not at all when this raises.

        One after the other; once begun, to its end, also when the caller is cancelled. `change` may run in another thread.
        """
        ...

    async def read_after(self, seq: int, limit: int, *, max_bytes: int) -> Sequence[Entry]:
        """See `Log.read_after`."""
        ...

    async def removed(self, customers: Iterable[CustomerId] | None) -> Removals:
        """See `Log.removed`."""
        ...

    async def remove_oldest(self, *, up_to: int, taken_before: Instant | None, max_entries: int, max_bytes: int) -> int:
        """See `RetainedLog.remove_oldest`; of the entries up to `up_to` only. Number of the last that is gone, 0 for none.

        Fenced when another run has opened the store since.
        """
        ...

    async def size(self) -> int:
        """See `RetainedLog.size`."""
        ...
