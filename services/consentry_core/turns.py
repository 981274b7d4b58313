"""Work that one thread does, or a few, in an order in which nobody can keep the others from having their turn.

What is urgent goes first. All else goes in lanes that take turns, in order within each: whoever has a thousand pieces of work
waiting in a lane makes its own lane wait, and every other one for a single piece.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from consentry_core.lanes import Lanes

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class _Piece:
    work: Callable[[], Any]
    done: "Future[Any]" = field(default_factory=Future)


class Turns:
    """Threads, and what waits for one. `name` is the threads'."""

    def __init__(self, name: str, *, threads: int = 1) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._urgent: deque[_Piece] = deque()
        self._lanes: Lanes[_Piece] = Lanes()
        self._lock = threading.Lock()

    async def run(self, work: Callable[[], _T], *, lane: str = "", urgent: bool = False) -> _T:
        """What `work` returns. Once it has begun it runs to its end, also when the caller is cancelled."""
        piece = _Piece(work)
        with self._lock:
            if urgent:
                self._urgent.append(piece)
            else:
                self._lanes.add(lane, piece)
        self._threads.submit(self._take_one)  # as many of these as there are pieces, so each finds one
        result: _T = await asyncio.wrap_future(piece.done)
        return result

    def close(self) -> None:
        """Let what waits finish."""
        self._threads.shutdown()

    def _take_one(self) -> None:
        piece = self._next()
        if not piece.done.set_running_or_notify_cancel():
            return
        try:
            piece.done.set_result(piece.work())
        except BaseException as error:  # noqa: BLE001 - it is the caller's, whatever it is
            piece.done.set_exception(error)

    def _next(self) -> _Piece:
        with self._lock:
            if self._urgent:
                return self._urgent.popleft()
            found = self._lanes.next()
            assert found is not None  # noqa: S101 - there are as many pieces as there is to take
            return found[1]
