"""A coroutine that has begun already, instead of in a later step of the event loop as a task does.

From Python 3.12 on asyncio has tasks like this (`eager_start`); 3.11 has none.
"""

from collections.abc import Coroutine, Generator
from typing import Any, Generic, TypeVar

_T = TypeVar("_T")


class Begun(Generic[_T]):
    """Makes the first step of a coroutine at once. Await it, once, for the rest; what the first step raised is raised then."""

    def __init__(self, coroutine: Coroutine[Any, Any, _T]) -> None:
        self._coroutine = coroutine
        self._waits_for: Any = None
        self._ended: StopIteration | Exception | None = None
        try:
            self._waits_for = coroutine.send(None)
        except (StopIteration, Exception) as end:  # noqa: BLE001 - it is for whoever awaits
            self._ended = end

    @property
    def over(self) -> bool:
        """Whether the first step was the last one, and nothing went wrong."""
        return isinstance(self._ended, StopIteration)

    def __await__(self) -> Generator[Any, Any, _T]:
        if isinstance(self._ended, StopIteration):
            result: _T = self._ended.value
            return result
        if self._ended is not None:
            raise self._ended
        waits_for = self._waits_for
        while True:
            step, value = self._coroutine.send, None
            try:
                value = yield waits_for
            except BaseException as error:  # noqa: BLE001 - a cancellation, say: the coroutine's affair
                step, value = self._coroutine.throw, error
            try:
                waits_for = step(value)
            except StopIteration as end:
                result = end.value
                return result
