"""Verifications under way: one for all calls that wait for the same secret, for as long as one of them waits."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from consentry_guard.rpc.authority import Verified

_Verify = Callable[[str, str], Awaitable[Verified]]


@dataclass(slots=True)
class _Asking:
    task: asyncio.Task[Verified]
    waiting: int = 0


class Verifications:
    """Asks `verify` whose secret it is, that a peer sent."""

    def __init__(self, verify: _Verify) -> None:
        self._verify = verify
        self._asking: dict[str, _Asking] = {}

    async def ask(self, secret: str, peer: str) -> Verified:
        """What `verify` answers.

        A call that goes away, or whose deadline passes, does not take the answer from the others. When none is left, the
        authority is told to stop: it hashes for nobody.
        """
        asking = self._asking.get(secret)
        if asking is None:
            asking = self._asking[secret] = _Asking(asyncio.ensure_future(self._verify(secret, peer)))
            asking.task.add_done_callback(lambda task: self._over(secret, task))
        asking.waiting += 1
        try:
            return await asyncio.shield(asking.task)
        finally:
            asking.waiting -= 1
            if not asking.waiting:
                self._over(secret, asking.task)
                asking.task.cancel()

    def stop(self) -> None:
        """End all of them."""
        for asking in self._asking.values():
            asking.task.cancel()

    def _over(self, secret: str, task: asyncio.Future[Verified]) -> None:
        asking = self._asking.get(secret)
        if asking is not None and asking.task is task:
            del self._asking[secret]
