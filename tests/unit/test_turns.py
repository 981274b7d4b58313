"""Work that waits for one thread: whose turn it is, and what becomes of who gives up."""

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from consentry_core.turns import Turns


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
