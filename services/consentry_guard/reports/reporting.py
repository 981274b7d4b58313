"""The guard's access log and refusals at work: counts on the event loop, files in a thread, reports one after the other."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from consentry_core.values.errors import ConsentryError, InvalidArgument
from consentry_guard.reports.files import Report, Reports
from consentry_guard.reports.refusals import Refusals
from consentry_guard.reports.tally import Tally
from consentry_rule import Instant

_log = logging.getLogger(__name__)
WRITE_EVERY = 2.0
"""Seconds. What a killed process has handed out since the last time is not reported, and shows as such."""
_TELL_EVERY = 15.0  # seconds, when nothing was read
_LONGEST_BACKOFF = 30.0

Send = Callable[[Report], Awaitable[None]]
"""Hand a report to the authority; returns when it is kept. ConsentryError when it is not."""


class Reporting:
    """Reports what `tally` counts, and `refusals`. `now` is the authority's time as it is known here; 0 before it is."""

    def __init__(
        self,
        tally: Tally,
        refusals: Refusals,
        folder: Path,
        incarnation: str,
        service: str,
        *,
        now: Callable[[], Instant],
        send: Send,
        write_every: float = WRITE_EVERY,
    ) -> None:
        self._tally = tally
        self._refusals = refusals
        self._folder = folder
        self._names = incarnation, service
        self._now = now
        self._send = send
        self._write_every = write_every
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._left_out = 0

    def start(self) -> None:
        """Report from now on, in the background."""
        self._task = asyncio.create_task(self._work())

    async def stop(self) -> None:
        """Write and report what is left; what does not arrive stays on the disk. Called when nothing is served any more."""
        self._stopping.set()
        if self._task is not None:
            await self._task

    async def _work(self) -> None:
        try:
            reports = await self._begun()
            if reports is not None:
                await self._report_now_and_then(reports)
                await self._finish(reports)
        except Exception:  # noqa: BLE001 - the guard serves all the same, and what it hands out shows as not reported
            _log.exception("what is read cannot be reported")

    async def _begun(self) -> Reports | None:
        """The reports, once the time is known; None when the guard was stopped before."""
        while not self._now():
            if await self._stopped_within(self._write_every / 10) and not self._now():
                return None
        return await asyncio.to_thread(Reports, self._folder, *self._names, self._now())

    async def _report_now_and_then(self, reports: Reports) -> None:
        loop = asyncio.get_running_loop()
        told_at, not_before, backoff, left = loop.time(), 0.0, 1.0, True
        while not await self._stopped_within(self._write_every):
            await self._write(reports)
            if loop.time() < not_before:
                continue
            try:
                if left:
                    await self._report_what_was_left(reports)
                    left = False
                while reports.pressing or loop.time() - told_at >= _TELL_EVERY:
                    await self._report(reports)
                    told_at = loop.time()
                backoff = 1.0
            except ConsentryError as error:
                _log.warning("what was read cannot be reported now, and is kept: %s", error)
                not_before, backoff = loop.time() + backoff, min(backoff * 2, _LONGEST_BACKOFF)

    async def _finish(self, reports: Reports) -> None:
        await self._write(reports, last=True)
        with contextlib.suppress(ConsentryError):
            while reports.pressing:
                await self._report(reports)
        await asyncio.to_thread(reports.close)

    async def _stopped_within(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        return self._stopping.is_set()

    async def _write(self, reports: Reports, *, last: bool = False) -> None:
        if self._tally.left_out != self._left_out:
            _log.error("too many different keys and customers in one hour: %d messages are not counted", self._tally.left_out)
            self._left_out = self._tally.left_out
        counts, now = self._tally.take(), self._now()
        refused = self._refusals.take(now, last=last)
        try:
            await asyncio.to_thread(reports.add, counts, now, refused=refused, last=last)
        except OSError as error:
            # In memory they are part of the report all the same, and are written with what comes next.
            _log.error("what was read cannot be written to %s: %s", self._folder, error)

    async def _report(self, reports: Reports) -> None:
        await self._hand_over(reports.next())
        await asyncio.to_thread(reports.acknowledged)

    async def _report_what_was_left(self, reports: Reports) -> None:
        """Send what dead incarnations have left."""
        for file, report in await asyncio.to_thread(lambda: list(reports.left())):
            await self._hand_over(report)
            await asyncio.to_thread(file.unlink, missing_ok=True)
        await asyncio.to_thread(lambda: list(reports.left()))  # removes the folders that are empty now

    async def _hand_over(self, report: Report) -> None:
        """Send a report; one that is never taken is let go of: the time that it spoke for shows as not reported."""
        try:
            await self._send(report)
        except InvalidArgument as error:
            _log.error("the authority does not take a report of what was read: %s", error)
