"""The newest entries of the log in memory, shared by all readers, and the bell that tells them of more.

Bounded: at `max_entries` or `max_bytes` the oldest go. A reader that falls further behind reads from the log.
"""

import contextlib
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice

from consentry_core.waking import Bell, Waking
from consentry_devices.feed.log import Entry


class Ring:
    """See the module. `take` is the log's subscriber; `tail` is the log's tail when it was subscribed."""

    def __init__(self, tail: int, *, max_entries: int = 50_000, max_bytes: int = 64 * 1024 * 1024) -> None:
        self._entries: deque[Entry] = deque()
        self._bytes = 0
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._bells: set[Bell] = set()
        self._waking = Waking()
        self.tail = tail
        """Number of the newest entry."""

    def take(self, entries: tuple[Entry, ...]) -> None:
        """New entries were committed."""
        self._entries.extend(entries)
        self._bytes += sum(len(entry.payload) for entry in entries)
        while len(self._entries) > self._max_entries or self._bytes > self._max_bytes:
            self._bytes -= len(self._entries.popleft().payload)
        self.tail = entries[-1].seq
        self._waking.ring(self._bells)

    def after(self, seq: int, limit: int) -> Sequence[Entry] | None:
        """At most `limit` entries after `seq`; None when the ring no longer, or not yet, holds the first of them."""
        if seq >= self.tail:
            return ()
        # Numbers have no holes, so the place of an entry is its distance from the newest.
        skip = len(self._entries) - (self.tail - seq)
        return None if skip < 0 else tuple(islice(self._entries, skip, skip + limit))

    @contextlib.contextmanager
    def listening(self) -> Iterator[Bell]:
        """A bell that is rung whenever there are new entries."""
        bell = Bell()
        self._bells.add(bell)
        try:
            yield bell
        finally:
            self._bells.discard(bell)
