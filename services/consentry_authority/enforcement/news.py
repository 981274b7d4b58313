"""Commits as events: whoever tells others what changed waits here for the next one, and learns what it touched.

What a stream is told of a commit that does not concern it is its revision alone. With hundreds of streams that is nearly all
that they are told, and reading the database hundreds of times for it would make others wait: the newest commits are remembered
here, by what they touched.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from consentry_core.protocol.follow import Revision

_MOST_SUBJECTS = 10_000


class Commit(Protocol):
    """A change that was committed. `subjects` are the credentials and standings that it touched."""

    @property
    def revision(self) -> Revision:
        """Its place in the history."""
        ...

    @property
    def subjects(self) -> frozenset[str]:
        """By name."""
        ...


@dataclass(frozen=True, slots=True)
class Since:
    """What was committed after a revision, up to `head`."""

    head: Revision
    subjects: frozenset[str]


class News:
    """Wakes its listeners after every commit. Whoever was told of none that it has heard of reads the change log."""

    def __init__(self) -> None:
        self._listeners: set[asyncio.Event] = set()
        self._commits: deque[Commit] = deque()
        self._subjects = 0
        self._missed = False

    def committed(self, commit: Commit) -> None:
        """Something was committed here. Called on the event loop, in the order of the commits."""
        last = self._commits[-1].revision if self._commits else None
        if last is not None and (last.epoch, last.number + 1) != (commit.revision.epoch, commit.revision.number):
            self._forget()
            if last.epoch == commit.revision.epoch and last.number >= commit.revision.number:
                self._wake()  # what came after it was heard of first: nothing is known to be the newest
                return
        self._commits.append(commit)
        self._subjects += len(commit.subjects)
        while self._subjects > _MOST_SUBJECTS and len(self._commits) > 1:
            self._subjects -= len(self._commits.popleft().subjects)
            self._missed = True
        self._wake()

    def missed(self) -> None:
        """Something may have been committed elsewhere."""
        self._forget()
        self._wake()

    def since(self, told: Revision) -> Since | None:
        """What was committed after what somebody was told of last; None when that has to be read in the change log."""
        if not self._commits:
            return None if self._missed else Since(told, frozenset())
        first, last = self._commits[0].revision, self._commits[-1].revision
        if told.epoch != last.epoch or told.number < first.number - 1:
            return None
        if told.number >= last.number:
            return Since(told, frozenset())
        new = [self._commits[index] for index in range(told.number - last.number, 0)]
        return Since(last, frozenset().union(*(commit.subjects for commit in new)))

    @contextlib.contextmanager
    def listening(self) -> Iterator[asyncio.Event]:
        """An event that is set at every commit; set already, for what came before."""
        listener = asyncio.Event()
        listener.set()
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    def _forget(self) -> None:
        self._commits.clear()
        self._subjects, self._missed = 0, True

    def _wake(self) -> None:
        for listener in self._listeners:
            listener.set()
