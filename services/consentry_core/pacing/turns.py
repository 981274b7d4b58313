"""Work that one thread does, or a few, in an order in which nobody can keep the others from having their turn.

Work waits in lanes that take turns, in order within each: whoever has a thousand pieces of work waiting in a lane makes its own
lane wait, and every other one for a single piece. With several threads a lane has one of them at a time, so that none keeps
all of them busy; only work that is in nobody's lane in particular has as many as there are.

What is urgent goes first, in lanes of its own; but urgency has a budget: after every few urgent pieces one that is not has its
turn. So whoever can make urgent work, as fast as it likes, slows others down by a factor and stops nobody.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from consentry_core.pacing.lanes import Lanes

_T = TypeVar("_T")

URGENT_AT_ONCE = 4
"""How many urgent pieces are done in a row while others wait."""

_NOBODYS = ""


@dataclass(frozen=True, slots=True)
class _Piece:
    work: Callable[[], Any]
    done: "Future[Any]" = field(default_factory=Future)


class Turns:
    """Threads, and what waits for one. `name` is the threads'."""

    def __init__(self, name: str, *, threads: int = 1) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._urgent: Lanes[_Piece] = Lanes()
        self._lanes: Lanes[_Piece] = Lanes()
        self._urgent_in_a_row = 0
        self._busy: set[str] = set()
        self._passed = 0  # threads' calls that found only what waits for its own lane
        self._lock = threading.Lock()

    async def run(self, work: Callable[[], _T], *, lane: str = _NOBODYS, urgent: bool = False) -> _T:
        """What `work` returns. Once it has begun it runs to its end, also when the caller is cancelled."""
        piece = _Piece(work)
        with self._lock:
            (self._urgent if urgent else self._lanes).add(lane, piece)
        self._threads.submit(self._take_one)  # as many of these as there are pieces, so each finds one
        result: _T = await asyncio.wrap_future(piece.done)
        return result

    def close(self) -> None:
        """Let what waits finish."""
        self._threads.shutdown()

    def _take_one(self) -> None:
        while True:
            with self._lock:
                taken = self._next()
                if taken is None:
                    self._passed += 1  # whoever finishes the piece that is waited for goes on with the next
                    return
            lane, piece = taken
            if piece.done.set_running_or_notify_cancel():
                try:
                    piece.done.set_result(piece.work())
                except BaseException as error:  # noqa: BLE001 - it is the caller's, whatever it is
                    piece.done.set_exception(error)
            with self._lock:
                self._busy.discard(lane)
                if not self._passed:
                    return
                self._passed -= 1

    def _next(self) -> tuple[str, _Piece] | None:
        """The piece whose turn it is, and its lane; None when nothing waits, or only in lanes that are busy."""
        urgent_first = self._urgent_in_a_row < URGENT_AT_ONCE
        for lanes in (self._urgent, self._lanes) if urgent_first else (self._lanes, self._urgent):
            found = lanes.next(self._is_free)
            if found is not None:
                self._urgent_in_a_row = self._urgent_in_a_row + 1 if lanes is self._urgent else 0
                if found[0] != _NOBODYS:
                    self._busy.add(found[0])
                return found
        return None

    def _is_free(self, lane: str) -> bool:
        return lane not in self._busy
