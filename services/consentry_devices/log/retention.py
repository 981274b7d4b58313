"""Retention: what is too old goes, and of the rest the oldest until it fits."""

import asyncio
import logging
from typing import Protocol

from consentry_core.values.clock import SECOND, Clock
from consentry_core.values.errors import Unavailable
from consentry_devices.log.engine import Fenced
from consentry_devices.log.entries import RetainedLog
from consentry_rule import Instant

_log = logging.getLogger(__name__)

_EVERY_SECONDS = 1.0  # what comes in between two looks is what a store may be too large by
_PIECE_ENTRIES = 500
_PIECE_BYTES = 4 * 1024 * 1024
_PIECE_EVENTS = 500
_ALARMS_EVERY = 3_600 * SECOND  # all alarms are looked at


class Tidying(Protocol):
    """What is kept beside the log."""

    async def remove_alarm_events(self, *, cleared_before: Instant, limit: int) -> int:
        """Remove events of alarms that were cleared before an instant, at most `limit`; how many. The newest of each stays."""
        ...

    async def give_back(self) -> bool:
        """Give a piece of the space that is free back to the machine; False when little is free."""
        ...


class Retention:
    """Keeps a log within an age and a size. `age` is in nanoseconds since an entry was taken in, `size` in bytes of the store.

    It works in pieces, each a short transaction between two of the appender's.
    """

    def __init__(self, log: RetainedLog, tidying: Tidying, clock: Clock, *, age: int, size: int) -> None:
        self._log = log
        self._tidying = tidying
        self._clock = clock
        self._age = age
        self._size = size
        self._alarms_after = Instant(0)

    async def run(self) -> None:
        """Enforce it again and again, until this is cancelled or another process has the store."""
        while True:
            try:
                await self.enforce()
            except Fenced:
                return  # the appender says so
            except Unavailable:
                pass  # the database says so
            except Exception:  # noqa: BLE001 - what comes later may go better
                _log.exception("what is too old could not be removed")
            await asyncio.sleep(_EVERY_SECONDS)

    async def enforce(self) -> int:
        """Remove what is to go at this moment; how many entries it was."""
        now = self._clock.now()
        oldest = Instant(now - self._age)
        removed = 0
        while piece := await self._remove(oldest):
            removed += piece
        while await self._log.size() > self._size and (piece := await self._remove(None)):
            removed += piece
        if now >= self._alarms_after:
            while await self._tidying.remove_alarm_events(cleared_before=oldest, limit=_PIECE_EVENTS):
                pass
            self._alarms_after = Instant(now + _ALARMS_EVERY)
        while await self._tidying.give_back():
            pass
        if removed:
            _log.info("removed=%d", removed)
        return removed

    async def _remove(self, taken_before: Instant | None) -> int:
        return await self._log.remove_oldest(taken_before=taken_before, max_entries=_PIECE_ENTRIES, max_bytes=_PIECE_BYTES)
