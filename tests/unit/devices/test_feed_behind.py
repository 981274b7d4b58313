"""Readers behind the ring share what is read from the log."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from consentry_core.values.errors import Unavailable
from consentry_devices.log.behind import Behind
from consentry_devices.log.entries import Entry, Kind
from consentry_devices.log.ring import BATCH_BYTES
from consentry_rule import CustomerId, DataClass, Instant

SIZE = BATCH_BYTES // 2


def entry(seq: int) -> Entry:
    return Entry(
        seq, CustomerId("north"), DataClass.TELEMETRY, Kind.TELEMETRY, "d",
        Instant(seq), Instant(seq), Instant(seq), False, bytes(SIZE),
    )  # fmt: skip


class SlowLog:
    """Entries `first` to `tail`; each reading is on record and waits until it is let go."""

    def __init__(self, tail: int) -> None:
        self.reads: list[int] = []
        self.oldest = 1
        self.go = asyncio.Event()
        self.go.set()
        self.fails = False
        self._tail = tail

    def first(self) -> int:
        return self.oldest

    async def read_after(self, seq: int, limit: int, *, max_bytes: int) -> Sequence[Entry]:
        self.reads.append(seq)
        await self.go.wait()
        if self.fails:
            raise Unavailable("the disk is away")
        start = max(seq + 1, self.oldest)
        return [entry(number) for number in range(start, min(self._tail + 1, start + max_bytes // SIZE))]


def behind(log: SlowLog, **bounds: int) -> Behind:
    known: Any = log
    return Behind(known, **bounds)


def seqs(entries: Sequence[Entry]) -> list[int]:
    return [entry.seq for entry in entries]


async def read_on(reader: Behind, seq: int) -> list[int]:
    """What one reader gets, to the end of the log."""
    got: list[int] = []
    while entries := await reader.after(seq):
        got += seqs(entries)
        seq = got[-1]
    return got


async def test_who_is_at_the_same_place_reads_once() -> None:
    log = SlowLog(tail=100)
    log.go.clear()
    reader = behind(log)
    readers = [asyncio.create_task(read_on(reader, 10)) for _ in range(20)]
    gone = asyncio.create_task(reader.after(10))
    await asyncio.sleep(0)
    gone.cancel()
    log.go.set()
    assert all(got == list(range(11, 101)) for got in await asyncio.gather(*readers))
    assert len(log.reads) == len(set(log.reads))


async def test_who_comes_later_takes_what_was_read() -> None:
    log = SlowLog(tail=100)
    reader = behind(log)
    await read_on(reader, 10)
    once = list(log.reads)
    assert await read_on(reader, 13) == list(range(14, 101)), "from the middle of a stretch on"
    assert log.reads == [*once, 100], "only whether there is more was asked again"


async def test_what_is_kept_is_bounded() -> None:
    log = SlowLog(tail=100)
    reader = behind(log, max_bytes=1024 * 1024)
    await read_on(reader, 0)
    log.reads.clear()
    assert seqs(await reader.after(0))[0] == 1
    assert log.reads == [0], "the first stretch is gone"


async def test_what_the_log_no_longer_keeps_is_handed_to_nobody() -> None:
    log = SlowLog(tail=100)
    reader = behind(log)
    await read_on(reader, 0)
    log.oldest = 50
    assert await read_on(reader, 10) == list(range(50, 101))


async def test_a_reading_that_fails_fails_for_those_who_wait_and_is_tried_again() -> None:
    log = SlowLog(tail=10)
    log.fails = True
    reader = behind(log)
    for failure in await asyncio.gather(reader.after(0), reader.after(0), return_exceptions=True):
        assert isinstance(failure, Unavailable)
    log.fails = False
    assert await read_on(reader, 0) == list(range(1, 11))


@pytest.mark.parametrize("seq", [10, 11])
async def test_at_the_end_there_is_nothing(seq: int) -> None:
    assert await behind(SlowLog(tail=10)).after(seq) == ()
