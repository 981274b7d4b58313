"""Argon2id for secrets, in a bounded pool off the event loop.

A run costs memory and tens of milliseconds by design. More of them at once than there are cores only makes all of them late,
and a queue without a bound is an outage that anybody can order.

There are three shares, each with threads and places of its own. One is reserved for secrets whose holder could be let in; all
others, unknown, ended or suspended, share a thread and a few places, and so do new secrets that are made: whoever has many of
those delays only others like it. Their threads give way to the event loop, which has leases to renew.
"""

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from consentry_authority.secrets.cost import Cost
from consentry_core.values.encoding import RandomBytes, base32
from consentry_core.values.errors import ResourceExhausted

__all__ = ["Cost", "Passwords"]

_T = TypeVar("_T")
_NICE = 5


class Passwords:
    """Hashes and verifies. ResourceExhausted at once when so many callers wait already: `waiting`, or a quarter of them."""

    def __init__(self, cost: Cost, random: RandomBytes, *, threads: int | None = None, waiting: int = 64) -> None:
        self._hasher = PasswordHasher(
            time_cost=cost.time, memory_cost=cost.memory_kib, parallelism=cost.parallelism, hash_len=32, salt_len=16
        )
        self._random = random
        threads = threads or max((os.cpu_count() or 1) - 1, 1)  # one core is left to the other share, and to the event loop
        self._reserved = _Share(threads, waiting)
        self._others = _Share(1, waiting // 4)
        self._made = _Share(1, waiting // 4)
        # Verifying against this costs the same as verifying against a real one, and nothing matches it.
        self._nobodys = self.hash_now(base32(random(32)))

    async def hash(self, secret: str) -> str:
        """The hash to keep of a secret."""
        return await self._made.run(lambda: self.hash_now(secret))

    def hash_now(self, secret: str) -> str:
        """`hash` in the calling thread, for programs without an event loop."""
        return self._hasher.hash(secret, salt=self._random(16))

    async def verify(self, argon2_hash: str | None, secret: str, *, usable: bool = True) -> bool:
        """Whether the secret is the one that the hash was made of. None takes as long, and is nobody's.

        `usable` says whether its holder could be let in: only then it counts among those for whom there is a share.
        """
        share = self._reserved if usable else self._others
        return await share.run(lambda: self._verify(argon2_hash or self._nobodys, secret))

    def outdated(self, argon2_hash: str) -> bool:
        """Whether the hash was made at another cost than is set now."""
        return self._hasher.check_needs_rehash(argon2_hash)

    def close(self) -> None:
        """Let what has begun finish."""
        for share in (self._reserved, self._others, self._made):
            share.close()

    def _verify(self, argon2_hash: str, secret: str) -> bool:
        try:
            return self._hasher.verify(argon2_hash, secret)
        except (VerificationError, InvalidHashError):
            return False


class _Share:
    """Threads, and places for who waits for one."""

    def __init__(self, threads: int, waiting: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="argon2", initializer=_give_way)
        self._places = threads + waiting

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    async def run(self, work: Callable[[], _T]) -> _T:
        if self._places == 0:
            raise ResourceExhausted(
                "too many credentials are being verified at this moment; try again",
                retry_after=1.0,
                reason="ARGON2_POOL_FULL",
            )
        self._places -= 1
        running = asyncio.get_running_loop().run_in_executor(self._pool, work)
        # The place is taken until the work is over, also when the caller has gone.
        running.add_done_callback(self._free)
        return await asyncio.shield(running)

    def _free(self, _done: asyncio.Future[_T]) -> None:
        self._places += 1


def _give_way() -> None:
    """Let this thread have what the process's other threads leave. Where threads have no priority of their own: nothing."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
