"""What every engine of the log must do. Another engine is another entry in `ENGINES`."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Protocol

import pytest

from consentry_core.clock import SystemClock
from consentry_devices.feed.log import Entry, Kind, Log
from consentry_devices.frames import Frame, StreamKey
from consentry_devices.storage.store import open_store
from consentry_rule import DataClass
from support.device_frames import NORTH, NOW, PlainEncoder, frame, stream, telemetry


class Appendable(Log, Protocol):
    """A log with its appender."""

    async def submit(self, stream: StreamKey, frame: Frame) -> asyncio.Future[int]: ...

    async def last_number(self, stream: StreamKey) -> int: ...


Open = Callable[[], AbstractAsyncContextManager[Appendable]]


def _sqlite(folder: Path) -> Open:
    @asynccontextmanager
    async def opened() -> AsyncIterator[Appendable]:
        store = open_store(folder, encoder=PlainEncoder(), clock=SystemClock(), random=secrets.token_bytes)
        try:
            yield store.log
        finally:
            await store.close()

    return opened


ENGINES = {"sqlite": _sqlite}


@pytest.fixture(params=ENGINES)
def open_log(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Opens the log; again and again the same one."""
    return ENGINES[request.param](tmp_path)


async def _append(log: Appendable, *frames: Frame, of: StreamKey | None = None) -> None:
    for answer in [await log.submit(of or stream(), one) for one in frames]:
        await answer


async def test_entries_are_numbered_from_1_without_holes_and_read_back_as_they_were(open_log: Open) -> None:
    async with open_log() as log:
        first, second = telemetry(1.0, 2.0), telemetry(3.0)
        await _append(log, frame(1, first), frame(2, second))
        entries = await log.read_after(0, 100, max_bytes=10**6)
        assert [entry.seq for entry in entries] == [1, 2, 3]
        assert entries[0].kind is Kind.INVENTORY
        assert entries[1] == Entry(
            2, NORTH, DataClass.TELEMETRY, Kind.TELEMETRY, "ups", NOW, first.max_time, NOW, False, first.payload
        )
        assert entries[2].payload == second.payload
        assert log.tail() == 3


async def test_subscribers_get_every_entry_once_in_order_on_the_loop(open_log: Open) -> None:
    async with open_log() as log:
        await _append(log, frame(1, telemetry(1.0)))
        seen: list[Entry] = []
        tails: list[int] = []

        def subscriber(entries: tuple[Entry, ...]) -> None:
            seen.extend(entries)
            tails.append(log.tail())
            asyncio.get_running_loop()

        tail = log.tail()
        stop = log.subscribe(subscriber)
        await _append(log, *(frame(number, telemetry(float(number))) for number in range(2, 40)))
        assert [entry.seq for entry in seen] == list(range(tail + 1, log.tail() + 1))
        assert seen == list(await log.read_after(tail, 1000, max_bytes=10**6))
        assert tails[-1] == log.tail()
        stop()
        await _append(log, frame(40, telemetry(0.0)))
        assert seen[-1].seq == log.tail() - 1


async def test_reading_stops_at_the_limits_but_gets_on(open_log: Open) -> None:
    async with open_log() as log:
        await _append(log, *(frame(number, telemetry(*[1.0] * 100)) for number in range(1, 11)))
        assert [entry.seq for entry in await log.read_after(3, 2, max_bytes=10**6)] == [4, 5]
        assert [entry.seq for entry in await log.read_after(3, 100, max_bytes=1)] == [4]
        assert await log.read_after(log.tail(), 100, max_bytes=10**6) == []


async def test_a_reopened_log_goes_on_where_it_was(open_log: Open) -> None:
    async with open_log() as log:
        await _append(log, frame(1, telemetry(1.0)))
        store, tail = log.store_id, log.tail()
        before = await log.read_after(0, 100, max_bytes=10**6)
    async with open_log() as log:
        assert (log.store_id, log.tail()) == (store, tail)
        assert await log.last_number(stream()) == 1
        await _append(log, frame(2, telemetry(2.0)))
        assert log.tail() == tail + 1
        assert list(await log.read_after(0, 100, max_bytes=10**6))[: len(before)] == list(before)


async def test_what_was_submitted_is_committed_before_the_log_is_closed(open_log: Open) -> None:
    async with open_log() as log:
        answers = [await log.submit(stream(), frame(number, telemetry(1.0))) for number in range(1, 20)]
    assert [answer.result() for answer in answers] == list(range(1, 20))
