"""Work that waits for one thread: whose turn it is, and what becomes of who gives up."""

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator
from functools import partial

import pytest

from consentry_core.pacing.turns import Turns


class Busy:
    """A thread that is held up until `go_on`, and what was done in which order."""

    def __init__(self) -> None:
        self.turns = Turns("test")
        self.done: list[str] = []
        self._held = threading.Event()
        self._begun = threading.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def hold(self) -> None:
        self._tasks.append(asyncio.create_task(self.turns.run(self._wait)))
        await asyncio.to_thread(self._begun.wait, 10)

    async def ask(self, name: str, *, lane: str = "", urgent: bool = False) -> asyncio.Task[None]:
        """Work that waits now."""
        task = asyncio.create_task(self.turns.run(lambda: self.done.append(name), lane=lane, urgent=urgent))
        self._tasks.append(task)
        await asyncio.sleep(0)  # it has begun, and waits
        return task

    async def go_on(self) -> list[str]:
        self._held.set()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        return self.done

    def _wait(self) -> None:
        self._begun.set()
        self._held.wait(10)


@pytest.fixture
async def busy() -> AsyncIterator[Busy]:
    held = Busy()
    await held.hold()
    yield held
    await held.go_on()
    held.turns.close()


async def test_lanes_take_turns_and_keep_their_own_order(busy: Busy) -> None:
    for number in range(4):
        await busy.ask(f"a{number}", lane="a")
    for name in ("b0", "c0", "b1"):
        await busy.ask(name, lane=name[0])
    assert await busy.go_on() == ["a0", "b0", "c0", "a1", "b1", "a2", "a3"]


async def test_what_is_urgent_waits_for_nothing_but_what_has_begun(busy: Busy) -> None:
    await busy.ask("a0")
    await busy.ask("lease", urgent=True)
    await busy.ask("receipt", urgent=True)
    assert await busy.go_on() == ["lease", "receipt", "a0"]


async def test_who_gives_up_before_its_turn_is_left_out(busy: Busy) -> None:
    gone = await busy.ask("gone", lane="a")
    await busy.ask("a1", lane="a")
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    assert await busy.go_on() == ["a1"]


async def test_an_error_is_the_callers_and_the_next_one_has_its_turn() -> None:
    turns = Turns("test")
    with pytest.raises(ZeroDivisionError):
        await turns.run(lambda: 1 // 0)
    assert await turns.run(lambda: 1) == 1
    turns.close()


async def test_urgent_work_has_a_budget_and_lanes_of_its_own(busy: Busy) -> None:
    """Who makes urgent work as fast as it can keeps no other urgent work from its turn, nor the rest from being done."""
    for number in range(12):
        await busy.ask(f"u{number}", lane="hostile", urgent=True)
    await busy.ask("lease", lane="honest", urgent=True)
    for number in range(3):
        await busy.ask(f"a{number}", lane="a")
    done = await busy.go_on()
    assert done.index("lease") == 1
    assert [done.index(f"a{number}") for number in range(3)] == [4, 9, 14]


async def test_a_lane_has_one_of_several_threads() -> None:
    """Else one that asks for much at once would have all of them, and all of the processor."""
    turns, begun, go_on = Turns("test", threads=3), Counter[str](), threading.Event()

    def work(lane: str) -> None:
        begun[lane] += 1
        go_on.wait(10)

    asked = [asyncio.create_task(turns.run(partial(work, lane), lane=lane)) for lane in ("a", "a", "a", "b", "a")]
    nobodys = asyncio.create_task(turns.run(lambda: begun.update([""])))
    await asyncio.wait_for(nobodys, 10)
    assert begun == {"a": 1, "b": 1, "": 1}
    go_on.set()
    await asyncio.gather(*asked)
    assert begun == {"a": 4, "b": 1, "": 1}
    turns.close()
