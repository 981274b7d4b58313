"""A gateway's quota: who exceeds is read later, news and backlog apart, whatever stream it comes on."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from consentry_core.process.settings import SettingError
from consentry_core.values.errors import ConsentryError
from consentry_devices.domain.frames import Frame, StreamKey
from consentry_devices.ingest.quotas import BURST, UNLIMITED, Quotas, Rates
from consentry_devices.ingest.streams import Ingest
from consentry_devices.settings import DevicesSettings
from support.clocks import FakeClock
from support.device_frames import SOUTH, frame, stream, telemetry

START = FakeClock().boot()


class Committing:
    """Commits at once, and notes when."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.times: list[float] = []

    async def submit(self, stream: StreamKey, frame: Frame) -> asyncio.Future[int]:
        self.times.append((self.clock.boot() - START) / 10**9)
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        answer.set_result(frame.number)
        return answer

    async def last_number(self, stream: StreamKey) -> int:
        return 0


class Service:
    """An ingest whose sleeps pass at once, on its clock."""

    def __init__(self, quotas: Quotas) -> None:
        self.clock = FakeClock()
        self.appender = Committing(self.clock)
        self.ingest = Ingest(self.appender, self.clock, quotas, sleep=self._sleep)

    async def _sleep(self, seconds: float) -> None:
        self.clock.advance(seconds)
        await asyncio.sleep(0)

    async def times(self, *frames: Frame, key: StreamKey | None = None) -> list[float]:
        """When each of these was taken in, in seconds after the start."""
        before = len(self.appender.times)

        async def source() -> AsyncIterator[Frame]:
            for each in frames:
                yield each

        async with self.ingest.open(key or stream(), _no_end) as opened:
            async for _ in opened.acknowledgements(source()):
                pass
        return [round(time, 3) for time in self.appender.times[before:]]


def _no_end(error: ConsentryError) -> None:
    raise AssertionError(error)


def frames(count: int, readings: int, *, historical: bool = False, first: int = 1) -> list[Frame]:
    block = telemetry(*[1.0] * readings)
    return [replace(frame(first + index, block), historical=historical) for index in range(count)]


READINGS = Quotas(Rates(100, 0), Rates(50, 0))


async def test_whoever_exceeds_the_rate_is_slowed_down_to_it() -> None:
    times = await Service(READINGS).times(*frames(30, 100))
    assert times[: BURST + 1] == [0.0] * (BURST + 1)  # a burst, and one more that overdraws
    assert times[BURST + 1 :] == [float(second) for second in range(1, 30 - BURST)]


async def test_bytes_count_as_well() -> None:
    (one,) = frames(1, 100)
    times = await Service(Quotas(Rates(0, one.size), Rates(0, 0))).times(*frames(20, 100))
    assert times[-1] == 20 - 1 - BURST


async def test_a_backlog_has_a_quota_of_its_own() -> None:
    service = Service(READINGS)
    assert (await service.times(*frames(15, 100)))[-1] == 4
    times = await service.times(*frames(10, 100, historical=True, first=16))
    assert times[:6] == [4.0] * 6
    assert times[6:] == [6.0, 8.0, 10.0, 12.0]


async def test_a_new_stream_does_not_begin_with_a_full_bucket_and_another_gateway_does() -> None:
    service = Service(READINGS)
    last = (await service.times(*frames(20, 100)))[-1]
    again = await service.times(*frames(1, 100, first=21), key=stream(epoch="another-epoch-0123"))
    assert again == [last + 1]
    assert await service.times(*frames(1, 100), key=stream(SOUTH)) == again
    service.clock.advance(1000)
    assert (await service.times(*frames(5, 100, first=22)))[-1] == again[0] + 1000


async def test_one_large_frame_is_never_too_large() -> None:
    assert await Service(READINGS).times(*frames(2, 50_000)) == [0.0, 490.0]


async def test_without_a_limit_nothing_waits() -> None:
    assert set(await Service(UNLIMITED).times(*frames(50, 10_000))) == {0.0}


def test_the_default_lets_a_million_readings_a_second_of_one_gateway_through() -> None:
    assert DevicesSettings().quotas().live.readings >= 1_000_000
    assert DevicesSettings().quotas().live.bytes >= 1_000_000 * 24


def test_less_than_nothing_is_no_quota() -> None:
    with pytest.raises(SettingError, match="backlog-bytes"):
        DevicesSettings(backlog_bytes=-1).quotas()
