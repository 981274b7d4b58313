"""The publisher against a real server: nothing is lost, nothing comes twice, numbers have no holes."""

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from consentry_core.rpc.client.channels import open_channel
from consentry_core.values.clock import SECOND
from consentry_core.values.errors import Aborted, InvalidArgument, PermissionDenied, Unavailable
from consentry_gateway.outbox.outbox import MOST_BYTES, Draft, Outbox, OutboxFailed, Pending, Span
from consentry_gateway.publishing.publisher import Publisher
from consentry_rule import Instant
from support.clocks import START, FakeClock
from support.publishing import Frame, ScriptedService, serving

RANDOM = random.Random(2)  # noqa: S311 - to be repeated


class Running:
    """A publisher that runs, and what it said."""

    def __init__(self) -> None:
        self.publisher: Publisher
        self.tokens = iter(["ct_secret"] * 100)
        self.refused: list[str] = []
        self.new_epochs = 0

    async def put(self, *names: str) -> None:
        await self.publisher.put([draft(name) for name in names], {})

    async def acknowledged(self) -> None:
        async with asyncio.timeout(10):
            await self.publisher.acknowledged()

    def begun_new_epoch(self) -> None:
        self.new_epochs += 1


def draft(name: str) -> Draft:
    frame = Frame()
    frame.inventory.devices.add(name=name)
    return Draft(name, frame.SerializeToString())


def measured(seconds: int, told: str = "") -> Draft:
    """A frame with a reading of so many seconds after the start of the clock."""
    time = Instant(START + seconds * SECOND)
    frame = Frame()
    frame.telemetry.add(device="ups").block.times_unix_nano.append(time)
    return Draft("ups", draft(told).told if told else b"", frame.SerializeToString(), Span(time, time))


def seconds_of(frame: Frame) -> list[int]:
    return [(time - START) // SECOND for block in frame.telemetry for time in block.block.times_unix_nano]


def lost(frame: Frame) -> tuple[int, int] | None:
    ends = [(time.ToNanoseconds() - START) // SECOND for time in (frame.loss.start_time, frame.loss.end_time)]
    return (ends[0], ends[1]) if frame.HasField("loss") else None


def names(frames: Sequence[Frame]) -> list[str]:
    return [frame.inventory.devices[0].name if frame.inventory.devices else "" for frame in frames]


@contextlib.asynccontextmanager
async def publishing(
    folder: Path,
    address: str,
    *,
    run: bool = True,
    clock: FakeClock | None = None,
    most_bytes: int = MOST_BYTES,
    outbox: Outbox | None = None,
) -> AsyncIterator[Running]:
    if outbox is None:
        outbox = Outbox(folder, RANDOM.randbytes, most_bytes=most_bytes)
    channel = open_channel(address)
    running = Running()
    running.publisher = publisher = Publisher(
        channel,
        lambda: next(running.tokens),
        "gateway",
        outbox,
        clock=clock or FakeClock(),
        random=RANDOM.random,
        on_refused=running.refused.append,
        on_new_epoch=running.begun_new_epoch,
        longest_wait=0.1,
    )
    task = asyncio.create_task(publisher.run()) if run else None
    try:
        yield running
    finally:
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await channel.close()
        publisher.close()


async def test_frames_arrive_in_order_and_leave_the_outbox(tmp_path: Path) -> None:
    service = ScriptedService()
    async with serving(service) as address, publishing(tmp_path, address) as running:
        await running.put("a", "b")
        await running.put("c")
        await running.acknowledged()
        assert names(service.frames()) == ["a", "b", "c"]
        assert [frame.number for frame in service.frames()] == [1, 2, 3]
        assert service.credentials == ["Bearer ct_secret"]
        assert service.hellos[0].gateway == "gateway"


async def test_what_was_not_acknowledged_is_sent_again_on_a_new_stream(tmp_path: Path) -> None:
    service = ScriptedService()
    service.acknowledge = False
    async with serving(service) as address, publishing(tmp_path, address) as running:
        await running.put("a", "b")
        await service.committed_count(2)
        service.acknowledge = True
        service.cut()
        await running.put("c")
        await running.acknowledged()
        # The first acknowledgement said that both had arrived, so they did not come again.
        assert service.received == [1, 2, 3]
        assert len(service.hellos) == 2


async def test_what_the_service_does_not_have_comes_again_and_is_committed_once(tmp_path: Path) -> None:
    service = ScriptedService()
    refusals = iter([Unavailable("not now", retry_after=0.01), None])
    service.answer = lambda frame: next(refusals, None) if frame.number == 2 else None
    async with serving(service) as address, publishing(tmp_path, address) as running:
        await running.put("a", "b", "c")
        await running.acknowledged()
        assert names(service.frames()) == ["a", "b", "c"]
        assert running.refused == []


async def test_a_refused_frame_is_dropped_and_an_empty_one_takes_its_number(tmp_path: Path) -> None:
    service = ScriptedService()
    service.answer = lambda frame: InvalidArgument("frame", "no good") if names([frame]) == ["bad"] else None
    async with serving(service) as address, publishing(tmp_path, address) as running:
        await running.put("a", "bad", "c")
        await running.acknowledged()
        assert names(service.frames()) == ["a", "", "c"]
        assert [frame.number for frame in service.frames()] == [1, 2, 3]
        assert running.refused == ["bad"]


async def test_a_frame_is_kept_when_only_the_token_does_not_reach_that_far(tmp_path: Path) -> None:
    service = ScriptedService()
    denials = iter([PermissionDenied("another customer's", reason="FOREIGN_CUSTOMER")] * 2)
    service.answer = lambda _frame: next(denials, None)
    async with serving(service) as address, publishing(tmp_path, address) as running:
        await running.put("a")
        await running.acknowledged()
        assert names(service.frames()) == ["a"]


async def test_a_restart_sends_what_was_pending_under_the_same_numbers(tmp_path: Path) -> None:
    service = ScriptedService()
    async with serving(service) as address:
        async with publishing(tmp_path, address) as before:
            await before.put("a")
            await before.acknowledged()
        async with publishing(tmp_path, address, run=False) as stopped:
            await stopped.put("b", "c")
        async with publishing(tmp_path, address) as after:
            await after.put("d")
            await after.acknowledged()
            assert names(service.frames()) == ["a", "b", "c", "d"]
            assert len(service.committed) == 1


async def test_the_service_may_come_up_later(tmp_path: Path) -> None:
    service = ScriptedService()
    async with serving(ScriptedService()) as address:
        pass
    async with publishing(tmp_path, address) as running:
        await running.put("a")
        async with serving(service, address):
            await running.acknowledged()
    assert names(service.frames()) == ["a"]


async def test_a_service_that_lost_its_store_is_given_a_new_epoch(tmp_path: Path) -> None:
    service = ScriptedService()
    async with serving(service) as address, publishing(tmp_path, address) as running:
        await running.put("a", "b")
        await running.acknowledged()
        service.committed.clear()
        service.cut()
        await running.put("c")
        await running.acknowledged()
        assert names(service.frames()) == ["c"]
        assert running.new_epochs == 1


async def test_a_number_that_the_service_knows_with_other_content_begins_a_new_epoch(tmp_path: Path) -> None:
    service = ScriptedService()
    conflicts = iter([InvalidArgument("frame.number", "committed with other content", reason="FRAME_CONFLICT")])
    service.answer = lambda _frame: next(conflicts, None)
    async with serving(service) as address, publishing(tmp_path, address) as running:
        await running.put("a")
        await running.acknowledged()
        assert len({hello.epoch for hello in service.hellos}) == 2
        assert (names(service.frames()), running.refused) == (["a"], [])


async def test_a_stream_that_was_replaced_is_opened_again(tmp_path: Path) -> None:
    service = ScriptedService()
    replaced = iter([Aborted("another stream", reason="STREAM_REPLACED")])
    service.answer = lambda _frame: next(replaced, None)
    async with serving(service) as address, publishing(tmp_path, address) as running:
        await running.put("a")
        await running.acknowledged()
        assert names(service.frames()) == ["a"]


async def test_a_replaced_token_is_picked_up_and_no_token_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    service = ScriptedService()
    denials = iter([PermissionDenied("ended")])
    service.answer = lambda _frame: next(denials, None)
    async with serving(service) as address, publishing(tmp_path, address) as running:
        running.tokens = iter(["ct_old", "ct_new"])
        await running.put("a")
        await running.acknowledged()
    assert service.credentials == ["Bearer ct_old", "Bearer ct_new"]
    assert "ct_" not in caplog.text


async def test_what_goes_out_late_is_historical(tmp_path: Path) -> None:
    service, clock = ScriptedService(), FakeClock()
    async with serving(service) as address:
        async with publishing(tmp_path, address, run=False) as stopped:
            await stopped.publisher.put([measured(0), measured(100)], {})
        clock.advance(120)
        async with publishing(tmp_path, address, clock=clock) as running:
            await running.acknowledged()
            assert [(seconds_of(frame), frame.historical) for frame in service.frames()] == [([0], True), ([100], False)]


async def test_what_was_dropped_goes_out_as_empty_frames_and_a_loss(tmp_path: Path) -> None:
    service, clock = ScriptedService(), FakeClock()
    async with serving(service) as address:
        async with publishing(tmp_path, address, run=False, most_bytes=600) as stopped:
            for second in range(10):
                await stopped.publisher.put([measured(second, "ups" if second == 2 else "")], {})
        async with publishing(tmp_path, address, clock=clock) as running:
            await running.acknowledged()
        frames = service.frames()
        assert [frame.number for frame in frames] == list(range(1, 11))
        assert [(names([frame])[0], lost(frame)) for frame in frames if lost(frame)] == [("ups", (0, 2)), ("", (3, 6))]
        assert [seconds_of(frame) for frame in frames[-3:]] == [[7], [8], [9]]


async def test_a_refused_frame_s_readings_are_a_loss_and_refused_times_are_given_up(tmp_path: Path) -> None:
    service = ScriptedService()
    service.answer = lambda frame: InvalidArgument("frame", "no good") if frame.telemetry or frame.HasField("loss") else None
    async with serving(service) as address, publishing(tmp_path, address) as running:
        await running.publisher.put([measured(0)], {})
        await running.acknowledged()
        assert running.refused == ["ups", "ups"]
        assert [frame.ByteSize() for frame in service.frames()] == [Frame(number=1).ByteSize()]


async def test_what_a_restored_service_has_lost_is_announced_in_a_new_epoch(tmp_path: Path) -> None:
    service = ScriptedService()
    async with serving(service) as address, publishing(tmp_path, address) as running:
        for second in (0, 100, 200, 300):
            await running.publisher.put([measured(second)], {})
            await running.acknowledged()
        del service.frames()[2:]
        service.cut()
        await running.publisher.put([measured(400)], {})
        await running.acknowledged()
        assert running.new_epochs == 1
        assert [(lost(frame), seconds_of(frame)) for frame in service.frames()] == [((200, 300), []), (None, [400])]


class _FailingOutbox(Outbox):
    """The disk fails for some calls."""

    fails = 0

    def after(self, number: int, most: int) -> list[Pending]:
        if self.fails:
            self.fails -= 1
            raise OutboxFailed("no such disk")
        return super().after(number, most)


async def test_a_disk_that_fails_for_a_while_is_told_once_and_holds_up_nothing_after_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    service = ScriptedService()
    outbox = _FailingOutbox(tmp_path, RANDOM.randbytes)
    async with serving(service) as address, publishing(tmp_path, address, outbox=outbox) as running:
        outbox.fails = 3
        await running.put("a")
        await running.acknowledged()
        assert names(service.frames()) == ["a"]
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert told == ["nothing is published while the outbox cannot be used: no such disk"]
