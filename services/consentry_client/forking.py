"""A process that forks leaves gRPC's threads behind: in its child, what the parent has opened would be waited for for ever."""

import os

from consentry_client.errors import forked

_NEW_CLIENT = "open a new client in this process"
_SPAWN = (
    "asyncio's gRPC cannot be used in it at all: fork before the first client is opened, or start processes anew "
    "(multiprocessing.set_start_method('spawn'))"
)


class Process:
    """The process that a client was opened in."""

    def __init__(self, advice: str) -> None:
        self._number = os.getpid()
        self._advice = advice

    @property
    def is_this(self) -> bool:
        """Whether it is this one. In another, nothing of gRPC's may be touched, not even to end it."""
        return os.getpid() == self._number

    def check(self) -> None:
        """Raises `Cancelled` (PROCESS_FORKED) in another process than the one that opened the client."""
        if os.getpid() != self._number:
            raise forked(self._advice)


_first_with_asyncio: list[Process] = []


def process() -> Process:
    """This process, for a client without an event loop: its child can open one of its own."""
    return Process(_NEW_CLIENT)


def process_with_asyncio() -> Process:
    """This process, for a client for asyncio. Raises in the child of one that has had such a client."""
    _first_with_asyncio[:] = _first_with_asyncio or [Process(_SPAWN)]
    _first_with_asyncio[0].check()
    return _first_with_asyncio[0]
