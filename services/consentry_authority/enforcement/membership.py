"""Who is a member, as the database has it: incarnations that speak, are granted leases, and leave.

What one token's incarnations need written is written together: while one write is under way, and for a moment after it, the
next ones gather, and go into one transaction, a bounded number at a time. So a fleet's renewals cost a few writes, and whoever
renews as fast as it can has one piece of work waiting, whatever it asks for.
"""

import asyncio
from collections import deque
from functools import partial
from typing import NamedTuple

from consentry_authority.enforcement.limits import Fleets, Newcomers
from consentry_authority.enforcement.ports import EnforcementRecords, MemberChange
from consentry_core.values.clock import Clock

_AT_ONCE = 50  # in one transaction: some milliseconds
_GATHERED = 0.025  # seconds from one write of a token to its next: each waits for the disk, however little it holds


class _Asked(NamedTuple):
    change: MemberChange
    done: "asyncio.Future[None]"


class Membership:
    """Writes the rows of the members."""

    def __init__(self, records: EnforcementRecords, clock: Clock, fleets: Fleets, newcomers: Newcomers) -> None:
        self._records = records
        self._clock = clock
        self._fleets = fleets
        self._newcomers = newcomers
        self._asked: dict[str, deque[_Asked]] = {}  # by token, while something of it is being written
        self._tasks: set[asyncio.Task[None]] = set()

    async def stop(self) -> None:
        """Let what is under way finish."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def write(self, change: MemberChange) -> None:
        """Make a change, together with others of its token. What it was refused with is raised."""
        token, asked = change.speaker.token, _Asked(change, asyncio.get_running_loop().create_future())
        if token in self._asked:
            self._asked[token].append(asked)
        else:
            self._asked[token] = deque([asked])
            task = asyncio.create_task(self._work(token))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        await asyncio.shield(asked.done)  # who asked may go: what it asked for is written all the same

    async def _work(self, token: str) -> None:
        asked = self._asked[token]
        while asked:
            piece = [asked.popleft() for _ in range(min(_AT_ONCE, len(asked)))]
            outcomes: list[Exception | None]
            try:
                admit = partial(self._newcomers.admit, token, self._clock.boot())
                changes = [each.change for each in piece]
                outcomes = list(await self._records.change_members(changes, token, most=self._fleets.most_rows, admit=admit))
            except Exception as error:  # noqa: BLE001 - it is theirs who asked
                outcomes = [error] * len(piece)
            for each, outcome in zip(piece, outcomes, strict=True):
                if outcome is None:
                    each.done.set_result(None)
                else:
                    each.done.set_exception(outcome)
                    each.done.exception()  # with nobody waiting it would be reported as never retrieved
            await asyncio.sleep(_GATHERED)
        del self._asked[token]
