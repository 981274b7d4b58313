"""Lets go of what is older than it is kept for: now and then, a piece at a time, behind everybody who changes something."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import sqlalchemy as sa

from consentry_authority.audit.chain import AuditKeys
from consentry_authority.storage.history import retention as removals
from consentry_authority.storage.history.retention import Removal
from consentry_authority.storage.repositories.requests import KEPT as REQUESTS_KEPT
from consentry_authority.storage.store import Store
from consentry_core.values.clock import SECOND, Clock
from consentry_core.values.errors import Unavailable
from consentry_rule import Instant

_log = logging.getLogger(__name__)
_EVERY: Final = 600.0  # seconds
_BETWEEN: Final = 0.05  # seconds, from one piece to the next
_DAY: Final = 24 * 3600 * SECOND


@dataclass(frozen=True, slots=True)
class Kept:
    """For how many days what is kept; 0: for ever. `ended`: what was deleted, and secrets that are dead."""

    receipts: int = 0
    history: int = 0
    ended: int = 0


class Retention:
    """The one who removes."""

    def __init__(self, store: Store, clock: Clock, audit_keys: AuditKeys, kept: Kept) -> None:
        self._audit_keys = audit_keys
        self._store = store
        self._clock = clock
        days = (
            (removals.receipts, kept.receipts),
            (removals.history, kept.history),
            (removals.secrets, kept.ended),
            (removals.tokens, kept.ended),
            (removals.keys, kept.ended),
        )
        self._kept: Sequence[tuple[Removal, int]] = (
            *((removal, count * _DAY) for removal, count in days if count),
            (removals.requests, REQUESTS_KEPT),
        )
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Remove from now on, in the background."""
        self._task = asyncio.create_task(self._now_and_then())

    async def stop(self) -> None:
        """Remove no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def remove(self, *, between: float = 0.0) -> int:
        """Everything that has been kept for long enough; how many rows that were."""
        total = 0
        for removal, kept in self._kept:
            before = Instant(self._clock.now() - kept)
            while found := await self._store.write_aside(partial(_remove, removal, before, self._audit_keys)):
                total += found
                await asyncio.sleep(between)
        return total

    async def _now_and_then(self) -> None:
        while True:
            await asyncio.sleep(_EVERY)
            try:
                removed = await self.remove(between=_BETWEEN)
            except Unavailable:
                continue  # the next time, then
            except Exception:  # noqa: BLE001 - whoever gave up would never remove again
                _log.exception("what is kept no longer could not be removed")
                continue
            if removed:
                _log.info("removed what is kept no longer rows=%d", removed)


def _remove(removal: Removal, before: Instant, audit_keys: AuditKeys, connection: sa.Connection) -> int:
    return removal(connection, before, audit_keys)
