"""When secrets were last in use: collected in memory, written in batches, so that no call waits for it or writes by itself."""

import asyncio
import contextlib
import logging
from collections.abc import Iterable

from consentry_authority.storage.repositories.credentials import mark_used
from consentry_authority.storage.store import Store
from consentry_core.values.errors import Unavailable
from consentry_rule import Instant

_log = logging.getLogger(__name__)

WRITE_EVERY = 20.0
"""Seconds. Guards tell as often, so what is shown is at most some forty seconds old."""

_AT_ONCE = 500  # in one transaction: whoever renews a lease waits for no more than these
_MOST = 1_000_000


class LastUses:
    """The one writer of `last_use_time`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._unwritten: dict[str, Instant] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Write every now and then, in the background."""
        self._task = asyncio.create_task(self._keep_writing())

    async def stop(self) -> None:
        """Write what is left."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self.write()

    def used(self, secret_id: str, at: Instant) -> None:
        """A secret that was proved is in use."""
        before = self._unwritten.get(secret_id)
        if before is None and len(self._unwritten) >= _MOST:
            return  # more than are in use in twenty seconds anywhere: whoever tells of so many makes them up
        if before is None or before < at:
            self._unwritten[secret_id] = at

    def told(self, uses: Iterable[tuple[str, Instant]], now: Instant) -> None:
        """An enforcement point tells of uses there. None of them lies in the future, whatever its clock shows."""
        for secret_id, at in uses:
            self.used(secret_id, min(at, now))

    async def write(self) -> None:
        """Write what has come since the last time. What cannot be written now is kept for the next."""
        unwritten, self._unwritten = list(self._unwritten.items()), {}
        while unwritten:
            piece = unwritten[:_AT_ONCE]
            try:
                await self._store.write_aside(lambda connection, piece=piece: mark_used(connection, piece))  # type: ignore[misc]
            except Unavailable:
                _log.warning("the last uses of %d secrets cannot be written now", len(unwritten))
                for secret_id, at in unwritten:
                    self.used(secret_id, at)
                return
            del unwritten[:_AT_ONCE]

    async def _keep_writing(self) -> None:
        while True:
            await asyncio.sleep(WRITE_EVERY)
            try:
                await self.write()
            except Exception:  # noqa: BLE001 - a writer that gave up would never write again
                _log.exception("last uses were lost")
