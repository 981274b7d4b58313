"""Bells, and ringing many of them a slice at a time."""

import asyncio

from consentry_core.pacing.waking import SLICE, Bell, Waking


async def test_a_bell_that_was_rung_before_is_not_waited_for() -> None:
    bell = Bell()
    bell.ring()
    assert await bell.wait()
    bell.clear()
    assert not await bell.wait(0)


async def test_a_bell_ends_a_wait() -> None:
    bell = Bell()
    waiting = asyncio.create_task(bell.wait(60))
    await asyncio.sleep(0)
    bell.ring()
    assert await asyncio.wait_for(waiting, 1)


async def test_many_bells_leave_room_for_what_comes_in_between() -> None:
    """What is due after the first slice runs before the last."""
    bells, waking, order = [Bell() for _ in range(3 * SLICE)], Waking(), []
    waiting = [asyncio.create_task(bell.wait()) for bell in bells]
    for task in waiting:
        task.add_done_callback(lambda _: order.append("woken"))
    await asyncio.sleep(0)
    waking.ring(bells)
    asyncio.get_running_loop().call_soon(lambda: asyncio.get_running_loop().call_soon(order.append, "something else"))
    await asyncio.gather(*waiting)
    await asyncio.sleep(0)
    assert order.index("something else") < 2 * SLICE
    assert order.count("woken") == 3 * SLICE


async def test_a_bell_stands_in_line_once() -> None:
    bell, waking = Bell(), Waking()
    for _ in range(3):
        waking.ring([bell])
    await asyncio.sleep(0)
    await bell.wait()
    bell.clear()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not await bell.wait(0)
