"""Reading from the log for those who have fallen behind the ring, once for all who are at the same place.

A stretch that was read is kept for a while, so that whoever comes after takes it from here, and whoever asks for one that is
being read waits for it. Readers that are at different places read apart, until one comes to where another has read; from there
on they go together.

Bounded: the stretches that were used longest ago go. What a reader has in hand is one batch of it.
"""

import asyncio
from collections.abc import Sequence

from consentry_devices.log.entries import Entry, Log
from consentry_devices.log.ring import Batches

_STRETCH_ENTRIES = 2_000
_STRETCH_BYTES = 1024 * 1024


class Behind:
    """See the module."""

    def __init__(self, log: Log, *, max_bytes: int = 16 * 1024 * 1024) -> None:
        self._log = log
        self._max_bytes = max_bytes
        self._stretches: dict[int, Batches] = {}  # by the number after which they begin; the one used last comes last
        self._bytes = 0
        self._reading: dict[int, asyncio.Task[Batches]] = {}

    async def after(self, seq: int) -> Sequence[Entry]:
        """Entries after `seq`, beginning beyond the next one when that is no longer kept; none when there are none."""
        entries = self._at_hand(seq)
        if entries is not None:
            return entries
        reading = self._reading.get(seq)
        if reading is None:
            reading = self._reading[seq] = asyncio.create_task(self._read(seq), name="feed-behind")
            reading.add_done_callback(lambda task: self._has_read(seq, task))
        # Shielded: the others who wait for it do not care that one of them has gone.
        stretch = await asyncio.shield(reading)
        return stretch.after(max(seq, stretch.begin)) or ()

    def _at_hand(self, seq: int) -> Sequence[Entry] | None:
        if seq + 1 < self._log.first():
            return None  # what is no longer kept is handed to nobody
        for after, stretch in self._stretches.items():
            entries = stretch.after(seq)
            if entries is not None:
                self._stretches[after] = self._stretches.pop(after)
                return entries
        return None

    async def _read(self, seq: int) -> Batches:
        entries = await self._log.read_after(seq, _STRETCH_ENTRIES, max_bytes=_STRETCH_BYTES)
        stretch = Batches(entries[0].seq - 1 if entries else seq)
        stretch.extend(entries)
        if stretch.length and stretch.begin not in self._stretches:
            self._stretches[stretch.begin] = stretch
            self._bytes += stretch.bytes
        while self._bytes > self._max_bytes:
            self._bytes -= self._stretches.pop(next(iter(self._stretches))).bytes
        return stretch

    def _has_read(self, seq: int, task: "asyncio.Task[Batches]") -> None:
        del self._reading[seq]
        if not task.cancelled():
            task.exception()  # raised to those who still wait; there may be none
