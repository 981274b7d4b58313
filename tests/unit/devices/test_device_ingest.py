"""Ingest without a server: windows, order, and what a stream that goes away leaves."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from consentry_core.values.errors import ConsentryError, InvalidArgument
from consentry_devices.domain.frames import Frame
from consentry_devices.ingest.streams import WINDOW_BYTES, WINDOW_FRAMES, Ingest
from support.clocks import FakeClock
from support.device_frames import frame, stream, telemetry
from support.slow_appender import SlowAppender, Source


def _no_end(error: ConsentryError) -> None:
    raise AssertionError(error)


async def _settle() -> None:
    for _ in range(3 * WINDOW_FRAMES):
        await asyncio.sleep(0)


async def test_the_next_frame_is_not_read_while_too_many_are_uncommitted() -> None:
    appender = SlowAppender()
    source = Source(*(frame(number, telemetry(1.0)) for number in range(1, 200)))
    async with Ingest(appender, FakeClock()).open(stream(), _no_end) as opened:
        acknowledgements = opened.acknowledgements(aiter(source))
        first = asyncio.ensure_future(anext(acknowledgements))
        await _settle()
        assert len(appender.submitted) == WINDOW_FRAMES
        assert source.read == WINDOW_FRAMES + 1
        appender.commit(1, 2, 3)
        assert await first == 3
        await _settle()
        assert len(appender.submitted) == WINDOW_FRAMES + 3
        await acknowledgements.aclose()


async def test_nor_while_too_many_bytes_are() -> None:
    appender = SlowAppender()
    big = [
        Frame(number, b"%d" % number, WINDOW_BYTES // 2, one.time, one.inventory)
        for number in range(1, 9)
        for one in [frame(1)]
    ]
    async with Ingest(appender, FakeClock()).open(stream(), _no_end) as opened:
        acknowledgements = opened.acknowledgements(aiter(Source(*big)))
        first = asyncio.ensure_future(anext(acknowledgements))
        await _settle()
        assert len(appender.submitted) == 2
        appender.commit(1)
        assert await first == 1
        await acknowledgements.aclose()


async def test_acknowledgements_are_cumulative_and_wait_for_their_turn() -> None:
    appender = SlowAppender()
    async with Ingest(appender, FakeClock()).open(stream(), _no_end) as opened:
        acknowledgements = opened.acknowledgements(aiter(Source(*(frame(number) for number in range(1, 6)))))
        first = asyncio.ensure_future(anext(acknowledgements))
        await _settle()
        appender.commit(2, 3)
        await _settle()
        assert not first.done()
        appender.commit(1)
        assert await first == 3
        appender.commit(4, 5)
        assert [number async for number in acknowledgements] == [5]


async def test_a_refused_frame_ends_the_stream_after_what_came_before_it() -> None:
    appender = SlowAppender()
    async with Ingest(appender, FakeClock()).open(stream(), _no_end) as opened:
        acknowledgements = opened.acknowledgements(aiter(Source(*(frame(number) for number in range(1, 4)))))
        first = asyncio.ensure_future(anext(acknowledgements))
        await _settle()
        appender.submitted[1][1].set_exception(InvalidArgument("frame", "no"))
        appender.submitted[2][1].set_exception(InvalidArgument("frame", "nor this"))
        appender.submitted[2][1].exception()
        appender.commit(1)
        assert await first == 1
        with pytest.raises(InvalidArgument) as raised:
            await anext(acknowledgements)
        assert raised.value.metadata["frame_number"] == "2"


async def test_a_replaced_stream_takes_nothing_more() -> None:
    appender = SlowAppender()
    ingest = Ingest(appender, FakeClock())
    ended: list[ConsentryError] = []
    waiting = asyncio.Event()

    async def frames() -> AsyncIterator[Frame]:
        yield frame(1)
        await waiting.wait()
        yield frame(2)

    async with ingest.open(stream(), ended.append) as former:
        acknowledgements = former.acknowledgements(frames())
        first = asyncio.ensure_future(anext(acknowledgements))
        await _settle()
        async with ingest.open(stream(epoch="another-epoch-00"), _no_end):
            assert [error.reason for error in ended] == ["STREAM_REPLACED"]
            waiting.set()
            await _settle()
            assert [told.number for told, _ in appender.submitted] == [1]
            appender.commit(1)
            assert await first == 1
        await acknowledgements.aclose()
    async with ingest.open(stream(), _no_end):
        assert len(ended) == 1
