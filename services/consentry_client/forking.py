"""A process that forks leaves gRPC's threads behind: its child would wait for ever for what the parent has opened.

Nor can the child open anything of its own: gRPC, once used, hangs or aborts there. Only without asyncio, and when it was told
so before it was first used (GRPC_ENABLE_FORK_SUPPORT), it begins anew in the child. With asyncio the same setting does harm:
gRPC starts the threads of its event engine again in the child, on what the fork has left of their state, and in one process of
four on a busy machine they crash it, also when the child only counts to a number and exits.
"""

import os

from consentry_client.errors import forked

_ANEW = "fork before the first client is opened, or start processes with multiprocessing's method 'spawn'"
_SUPPORTED = "with GRPC_ENABLE_FORK_SUPPORT=1 in the environment of the program, a new Client can be opened here"

_first: list["Process"] = []  # of those that opened a client, whatever was forked since


class Process:
    """The process that a client was opened in. Raises `Cancelled` (PROCESS_FORKED) where gRPC has stayed behind."""

    def __init__(self, *, asyncio: bool) -> None:
        self._number = os.getpid()
        self._advice = _ANEW if asyncio else f"{_ANEW}; {_SUPPORTED}"
        _first[:] = _first or [self]
        if not _first[0].is_this and (asyncio or not _supports_forks()):
            raise forked(self._advice)

    @property
    def is_this(self) -> bool:
        """Whether this process opened the client. Another one may touch nothing of gRPC's, not even to close it."""
        return os.getpid() == self._number

    def check(self) -> None:
        """Raises in another process than the one that opened the client."""
        if os.getpid() != self._number:
            raise forked(self._advice)


def _supports_forks() -> bool:
    return os.environ.get("GRPC_ENABLE_FORK_SUPPORT", "").lower() in {"1", "true", "yes"}
