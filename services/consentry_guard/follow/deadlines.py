"""Ends that nobody sends a message about: a heap of instants at which somebody has to look again.

Only wakes. Whether an end has come is decided by the rule, at every write.
"""

import heapq
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

from consentry_rule import Instant

_T = TypeVar("_T", bound=Hashable)


class Deadlines(Generic[_T]):
    """Subjects by the instant at which they change by themselves.

    A subject may stand in it more than once: looking twice is harmless.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[Instant, int, _T]] = []
        self._count = 0  # breaks ties, so that subjects are never compared

    def add(self, instant: Instant | None, subject: _T) -> None:
        """Look at the subject at this instant; None: never."""
        if instant is not None:
            self._count += 1
            heapq.heappush(self._heap, (instant, self._count, subject))

    def next(self) -> Instant | None:
        """The earliest instant; None when there is none."""
        return self._heap[0][0] if self._heap else None

    def due(self, now: Instant) -> Iterator[_T]:
        """Take out, and return, all subjects whose instant has come."""
        while self._heap and self._heap[0][0] <= now:
            yield heapq.heappop(self._heap)[2]
