"""Waiting in lanes, and what a lane waits for on the event loop: its next step (`LoopTurns`) or a place to work at (`Places`).

Lanes take turns, in order within each. Whoever has a thousand things waiting in a lane makes its own lane wait, and every other
one for a single thing. (`turns` does the same for threads.)
"""

import asyncio
import contextlib
import time
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Callable
from typing import Generic, TypeVar

from consentry_core.values.errors import ResourceExhausted

_T = TypeVar("_T")
_PIECE = 2_000_000  # nanoseconds
_RETRY = 1.0


class Lanes(Generic[_T]):
    """What waits, by lane."""

    def __init__(self) -> None:
        self._lanes: OrderedDict[str, deque[_T]] = OrderedDict()

    def __len__(self) -> int:
        """How many wait in all."""
        return sum(map(len, self._lanes.values()))

    def __bool__(self) -> bool:
        return bool(self._lanes)

    def add(self, lane: str, item: _T) -> None:
        """It waits behind the others of its lane."""
        self._lanes.setdefault(lane, deque()).append(item)

    def waiting(self, lane: str) -> int:
        """How many wait in a lane."""
        return len(self._lanes.get(lane, ()))

    def next(self, may: Callable[[str], bool] = lambda _: True) -> tuple[str, _T] | None:
        """The next one and its lane, of the lanes that may go on now; its lane goes behind the others."""
        for lane in self._lanes:
            if may(lane):
                waiting = self._lanes[lane]
                item = waiting.popleft()
                if waiting:
                    self._lanes.move_to_end(lane)
                else:
                    del self._lanes[lane]
                return lane, item
        return None


class LoopTurns:
    """Work on the event loop, piece by piece: in each step of the loop one piece of all that want to go on.

    Whatever else the loop has to do is done between two pieces. A thousand that have work for two milliseconds each would
    otherwise be one step of two seconds.
    """

    def __init__(self) -> None:
        self._waiting: Lanes[asyncio.Future[None]] = Lanes()
        self._taken = False

    async def turn(self, lane: str) -> None:
        """Wait for the lane's turn. What is done until the next `await` is the piece."""
        loop = asyncio.get_running_loop()
        if not self._taken:
            self._taken = True
            loop.call_soon(self._let_next)
            return
        waiter: asyncio.Future[None] = loop.create_future()
        self._waiting.add(lane, waiter)
        await waiter

    def _let_next(self) -> None:
        while found := self._waiting.next():
            _, waiter = found
            if not waiter.done():  # it has not given up
                waiter.set_result(None)
                asyncio.get_running_loop().call_soon(self._let_next)
                return
        self._taken = False


class Pace:
    """One long piece of work on the event loop, cut by the clock into pieces of some two milliseconds."""

    def __init__(self, turns: LoopTurns, lane: str) -> None:
        self._turns = turns
        self._lane = lane
        self._until = 0

    async def turn(self) -> None:
        """Wait for the lane's turn; `over` is False for a while."""
        await self._turns.turn(self._lane)
        self._until = time.perf_counter_ns() + _PIECE

    @property
    def over(self) -> bool:
        """Whether the piece has been long enough: it is the others' turn."""
        return time.perf_counter_ns() > self._until


class Places:
    """So many may be at work at the same time, and so many of one lane. The others wait, so many of a lane.

    `what` says what they do there, in words for whoever is refused.
    """

    def __init__(self, what: str, *, in_all: int, per_lane: int, waiting: int) -> None:
        self._what = what
        self._in_all = in_all
        self._per_lane = per_lane
        self._most_waiting = waiting
        self._taken: Counter[str] = Counter()
        self._count = 0
        self._waiting: Lanes[asyncio.Future[None]] = Lanes()

    @contextlib.asynccontextmanager
    async def taken(self, lane: str) -> AsyncIterator[None]:
        """A place, once there is one. ResourceExhausted when too many of the lane wait already."""
        await self._take(lane)
        try:
            yield
        finally:
            self._leave(lane)

    async def _take(self, lane: str) -> None:
        if self._count < self._in_all and self._has_room(lane) and not self._waiting.waiting(lane):
            self._sit_down(lane)
            return
        if self._waiting.waiting(lane) >= self._most_waiting:
            raise ResourceExhausted(
                f"{self._most_waiting} of your calls wait for {self._what} already; ask less at a time, or a little later",
                retry_after=_RETRY,
                reason="TOO_MANY_AT_ONCE",
                metadata={"most": str(self._most_waiting)},
            )
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(lane, waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self._leave(lane)  # it was given the place in the step in which it gave up
            raise

    def _has_room(self, lane: str) -> bool:
        return self._taken[lane] < self._per_lane

    def _sit_down(self, lane: str) -> None:
        self._taken[lane] += 1
        self._count += 1

    def _leave(self, lane: str) -> None:
        self._count -= 1
        self._taken[lane] -= 1
        if not self._taken[lane]:
            del self._taken[lane]
        while self._count < self._in_all and (found := self._waiting.next(self._has_room)):
            next_lane, waiter = found
            if not waiter.done():
                self._sit_down(next_lane)
                waiter.set_result(None)
