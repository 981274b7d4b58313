"""Bells, and ringing a thousand of them without keeping the event loop from everything else.

A stream that is woken does some 60 microseconds of work before it waits again. A thousand that are woken in one step are one
step of 60 ms for the event loop, and whatever arrives meanwhile waits behind them, a barrier's message too. Rung a slice at a
time, with the event loop looking around in between, a barrier waits for one slice, however many streams there are.
"""

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Protocol

SLICE = 8
"""How many bells are rung in one step: about half a millisecond of work for those that are woken."""


class Rung(Protocol):
    """Something that is rung, by whoever has a reason; `owed` is for `Waking`."""

    owed: bool
    """Whether a `Waking` is going to ring it: so that none waits in line twice."""

    def ring(self) -> None:
        """Wake whoever waits."""
        ...


class Bell:
    """Something to wait for. Whoever likes may ring it; one waits."""

    __slots__ = ("_rung", "_waiter", "owed")

    def __init__(self) -> None:
        self.owed = False
        """Whether a `Waking` is going to ring it: so that none waits in line twice."""
        self._rung = False
        self._waiter: asyncio.Future[None] | None = None

    def ring(self) -> None:
        """Wake whoever waits; with nobody waiting, the next wait is over at once."""
        self._rung = True
        _wake(self._waiter)

    def clear(self) -> None:
        """Forget what has been rung."""
        self._rung = False

    async def wait(self, patience: float | None = None) -> bool:
        """Wait until it is rung, at most `patience` seconds; whether it was. Rung before and not cleared counts."""
        if self._rung:
            return True
        loop = asyncio.get_running_loop()
        waiter = self._waiter = loop.create_future()
        timer = None if patience is None else loop.call_later(patience, _wake, waiter)
        try:
            await waiter
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()
        return self._rung


class Waking:
    """Rings bells, a slice in each step of the event loop."""

    def __init__(self) -> None:
        self._owed: deque[Rung] = deque()
        self._under_way = False

    def ring(self, bells: Iterable[Rung]) -> None:
        """Ring all of these soon, in their order. A step of the event loop may come before the first."""
        for bell in bells:
            if not bell.owed:
                bell.owed = True
                self._owed.append(bell)
        if self._owed and not self._under_way:
            self._under_way = True
            asyncio.get_running_loop().call_soon(self._ring_slice)

    def _ring_slice(self) -> None:
        for _ in range(min(SLICE, len(self._owed))):
            bell = self._owed.popleft()
            bell.owed = False
            bell.ring()
        self._under_way = bool(self._owed)
        if self._under_way:
            asyncio.get_running_loop().call_soon(self._ring_slice)


def _wake(waiter: "asyncio.Future[None] | None") -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
