"""What all readers of the feed share."""

from collections.abc import Sequence
from pathlib import Path

from consentry_core.pacing.lanes import LoopTurns, Places
from consentry_core.values.clock import Clock
from consentry_devices.domain.state import State
from consentry_devices.feed.joining import Joining
from consentry_devices.log.behind import Behind
from consentry_devices.log.entries import Entry, Log
from consentry_devices.log.ring import Ring
from consentry_devices.rpc.inventory_part import pieces
from consentry_devices.rpc.shares import Shares
from consentry_devices.rpc.watch.events import FIELDS
from consentry_devices.rpc.watch.snapshot import Snapshot
from consentry_rule import CustomerId

_SNAPSHOTS = 2  # that are read from the database at the same time
_STARTS, _STARTS_PER_KEY = 8, 2  # readers that find out whom they are told about: what they hold is known then
_WAITING = 10_000  # there are no more streams of one key
_CUSTOMERS_PER_KEY, _CUSTOMERS, _CUSTOMERS_AT_LEAST = 500_000, 1_000_000, 10_000  # some 200 bytes each


class Feed:
    """The log, newest entries at hand, and how things stand. `folder` is where snapshots wait for those who are told them."""

    def __init__(self, log: Log, state: State, ring: Ring, clock: Clock, folder: Path) -> None:
        self.log = log
        self.state = state
        self.ring = ring
        self.clock = clock
        self.joining = Joining(FIELDS, pieces)
        """Makes messages."""
        self.turns = LoopTurns()
        """For what readers do on the event loop that may be long."""
        self.starting = Places("their start", in_all=_STARTS, per_lane=_STARTS_PER_KEY, waiting=_WAITING)
        self.reading = Places("the current state", in_all=_SNAPSHOTS, per_lane=1, waiting=_WAITING)
        """For reading snapshots, so that whoever asks something small gets on meanwhile."""
        self.watched = Shares(
            "customers, counted once for each stream that is told of them",
            per_lane=_CUSTOMERS_PER_KEY, in_all=_CUSTOMERS, least=_CUSTOMERS_AT_LEAST,
        )  # fmt: skip
        self._behind = Behind(log)
        self._folder = folder

    async def entries_after(self, seq: int) -> Sequence[Entry]:
        """From the ring if it has them, else from the log; beginning beyond the next one when that is no longer kept."""
        entries = self.ring.after(seq)
        return await self._behind.after(seq) if entries is None else entries

    def new_snapshot(self, customer: CustomerId) -> Snapshot:
        """An empty one, to be filled."""
        return Snapshot(customer, self._folder)

    @property
    def tail(self) -> int:
        """Number of the newest entry."""
        return self.ring.tail
