"""Waiting in lanes: for a step of the event loop, and for a place."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from consentry_core.pacing.lanes import LoopTurns, Pace, Slots
from consentry_core.values.errors import ResourceExhausted


async def test_in_each_step_of_the_loop_one_goes_on_and_lanes_take_turns() -> None:
    turns, order, step = LoopTurns(), list[tuple[int, str]](), 0

    async def work(lane: str) -> None:
        await turns.turn(lane)
        order.append((step, lane))

    tasks = [asyncio.create_task(work(lane)) for lane in "aaaabcb"]
    while not all(task.done() for task in tasks):
        step += 1
        await asyncio.sleep(0)
    assert [lane for _, lane in order] == ["a", "a", "b", "c", "a", "b", "a"]
    assert len({step for step, _ in order}) == len(order)


async def test_who_gives_up_its_turn_keeps_nobody_waiting() -> None:
    turns = LoopTurns()
    await turns.turn("a")
    gone, waits = asyncio.create_task(turns.turn("a")), asyncio.create_task(turns.turn("a"))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.wait_for(waits, 5)


async def test_a_piece_of_work_is_over_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0
    monkeypatch.setattr("time.perf_counter_ns", lambda: now)
    pace = Pace(LoopTurns(), "a")
    await pace.turn()
    assert not pace.over
    now += 3_000_000
    assert pace.over
    await pace.turn()
    assert not pace.over


async def test_so_many_are_at_work_and_so_many_of_a_lane() -> None:
    places, order = Slots("a test", in_all=3, per_lane=2, waiting=10), list[str]()

    async def work(name: str, over: asyncio.Event) -> None:
        async with places.taken(name[0]):
            order.append(name)
            await over.wait()

    events = {name: asyncio.Event() for name in ("a0", "a1", "a2", "a3", "b0", "b1")}
    tasks = [asyncio.create_task(work(name, over)) for name, over in events.items()]
    for over, expected in ((None, ["a0", "a1", "b0"]), ("b0", ["b1"]), ("a0", ["a2"]), ("a1", ["a3"])):
        if over is not None:
            events[over].set()
        for _ in range(5):
            await asyncio.sleep(0)
        assert order == expected
        order.clear()
    for event in events.values():
        event.set()
    await asyncio.gather(*tasks)


async def test_too_many_of_one_lane_are_refused_and_others_wait() -> None:
    places = Slots("a test", in_all=1, per_lane=1, waiting=2)

    async def work(lane: str) -> None:
        async with places.taken(lane):
            pass

    async with AsyncExitStack() as stack:
        await stack.enter_async_context(places.taken("a"))
        waiting = [asyncio.create_task(work(lane)) for lane in "aab"]
        await asyncio.sleep(0)
        with pytest.raises(ResourceExhausted) as refused:
            await work("a")
        assert refused.value.reason == "TOO_MANY_AT_ONCE"
        waiting[0].cancel()
    await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 5)
    await asyncio.wait_for(work("a"), 5)
