"""The newest entries of the log in memory, shared by all readers, and the bell that tells them of more.

They are kept in *batches*: entries one after the other, about as many as make one message. Readers take what is left of the
batch that they stand in, so all that have caught up, and all that follow one another, take the same entries together: what is
made of them is made once (`joining`).

Bounded: at `max_entries` or `max_bytes` the oldest batches go. A reader that falls further behind reads from the log.
"""

import contextlib
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator, Sequence

from consentry_core.pacing.waking import Bell, Waking
from consentry_devices.log.entries import Entry

BATCH_BYTES = 128 * 1024
"""Where a batch ends, unless a single entry is longer; telemetry is joined up to it.

Cost is per message: to 20 readers, messages of 64 KiB took 40 to 70 % more processor time a byte than these, and those of
256 KiB a quarter less. But one message is what a reader that has stopped reading holds on to, and is still sent after a cut.
"""
_BATCH_ENTRIES = 1_000


class Batch:
    """Entries one after the other, those after number `after`; grows at its end until it is full."""

    __slots__ = ("after", "bytes", "entries")

    def __init__(self, after: int) -> None:
        self.after = after
        self.entries: list[Entry] = []
        self.bytes = 0

    def has_room(self, entry: Entry) -> bool:
        """Whether this one still belongs to it."""
        return len(self.entries) < _BATCH_ENTRIES and self.bytes + len(entry.payload) <= BATCH_BYTES

    def add(self, entry: Entry) -> None:
        """The next one."""
        self.entries.append(entry)
        self.bytes += len(entry.payload)

    def rest(self, seq: int) -> Sequence[Entry]:
        """The entries after `seq`, which is not before `after`."""
        return self.entries[seq - self.after :]  # numbers have no holes


class Batches:
    """Batches one after the other, from number `after` on."""

    def __init__(self, after: int) -> None:
        self._batches: deque[Batch] = deque()
        self.begin = after
        """Number of the last entry before them."""
        self.tail = after
        """Number of the newest entry."""
        self.length = 0
        self.bytes = 0

    def extend(self, entries: Iterable[Entry]) -> None:
        """The next entries."""
        for entry in entries:
            if not self._batches or not self._batches[-1].has_room(entry):
                self._batches.append(Batch(entry.seq - 1))
            self._batches[-1].add(entry)
            self.length += 1
            self.bytes += len(entry.payload)
            self.tail = entry.seq

    def drop_first(self) -> None:
        """Forget the oldest batch."""
        batch = self._batches.popleft()
        self.length -= len(batch.entries)
        self.bytes -= batch.bytes
        self.begin = batch.after + len(batch.entries)

    def after(self, seq: int) -> Sequence[Entry] | None:
        """The entries after `seq` up to the end of their batch; None when the first of them is not here."""
        if not self.begin <= seq < self.tail:
            return None
        return self._batches[bisect_right(self._batches, seq, key=lambda batch: batch.after) - 1].rest(seq)


class Ring:
    """See the module. `take` is the log's subscriber; `tail` is the log's tail when it was subscribed."""

    def __init__(self, tail: int, *, max_entries: int = 50_000, max_bytes: int = 64 * 1024 * 1024) -> None:
        self._batches = Batches(tail)
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._bells: set[Bell] = set()
        self._waking = Waking()

    @property
    def tail(self) -> int:
        """Number of the newest entry."""
        return self._batches.tail

    def take(self, entries: tuple[Entry, ...]) -> None:
        """New entries were committed."""
        self._batches.extend(entries)
        while self._batches.length > self._max_entries or self._batches.bytes > self._max_bytes:
            self._batches.drop_first()
        self._waking.ring(self._bells)

    def after(self, seq: int) -> Sequence[Entry] | None:
        """Entries after `seq`, some if there are any; None when the ring no longer, or not yet, holds the first of them."""
        return () if seq >= self.tail else self._batches.after(seq)

    @contextlib.contextmanager
    def listening(self) -> Iterator[Bell]:
        """A bell that is rung whenever there are new entries."""
        bell = Bell()
        self._bells.add(bell)
        try:
            yield bell
        finally:
            self._bells.discard(bell)
