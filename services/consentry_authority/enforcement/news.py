"""Commits as events: whoever tells others what changed waits here for the next one."""

import asyncio
import contextlib
from collections.abc import Iterator


class News:
    """Wakes its listeners after every commit. Says nothing of what was committed: that is read from the change log."""

    def __init__(self) -> None:
        self._listeners: set[asyncio.Event] = set()

    def committed(self, _committed: object) -> None:
        """Something was committed. Called on the event loop."""
        for listener in self._listeners:
            listener.set()

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
