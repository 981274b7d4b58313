"""Argon2id for secrets, in a bounded pool off the event loop.

A run costs memory and tens of milliseconds by design. More of them at once than there are cores only makes all of them late,
and a queue without a bound is an outage that anybody can order.
"""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from consentry_authority.cost import Cost
from consentry_core.encoding import RandomBytes, base32
from consentry_core.errors import ResourceExhausted

__all__ = ["Cost", "Passwords"]

_T = TypeVar("_T")


class Passwords:
    """Hashes and verifies. ResourceExhausted when `waiting` callers wait already."""

    def __init__(self, cost: Cost, random: RandomBytes, *, threads: int | None = None, waiting: int = 64) -> None:
        self._hasher = PasswordHasher(
            time_cost=cost.time, memory_cost=cost.memory_kib, parallelism=cost.parallelism, hash_len=32, salt_len=16
        )
        self._random = random
        threads = threads or os.cpu_count() or 1
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="argon2")
        self._places = threads + waiting
        # Verifying against this costs the same as verifying against a real one, and nothing matches it.
        self._nobodys = self.hash_now(base32(random(32)))

    async def hash(self, secret: str) -> str:
        """The hash to keep of a secret."""
        return await self._run(lambda: self.hash_now(secret))

    def hash_now(self, secret: str) -> str:
        """`hash` in the calling thread, for programs without an event loop."""
        return self._hasher.hash(secret, salt=self._random(16))

    async def verify(self, argon2_hash: str | None, secret: str) -> bool:
        """Whether the secret is the one that the hash was made of. None takes as long, and is nobody's."""
        return await self._run(lambda: self._verify(argon2_hash or self._nobodys, secret))

    def outdated(self, argon2_hash: str) -> bool:
        """Whether the hash was made at another cost than is set now."""
        return self._hasher.check_needs_rehash(argon2_hash)

    def close(self) -> None:
        """Let what has begun finish."""
        self._pool.shutdown(cancel_futures=True)

    async def _run(self, work: Callable[[], _T]) -> _T:
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

    def _verify(self, argon2_hash: str, secret: str) -> bool:
        try:
            return self._hasher.verify(argon2_hash, secret)
        except (VerificationError, InvalidHashError):
            return False
