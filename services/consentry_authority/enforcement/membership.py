"""Who is a member, as the database has it: incarnations that speak, are granted leases, and leave.

What one token's incarnations need written is written together: while one write is under way, and for a moment after it, the
next ones gather, and go into one transaction, a bounded number at a time. So a fleet's renewals cost a few writes, and whoever
renews as fast as it can has one piece of work waiting, whatever it asks for.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import sqlalchemy as sa

from consentry_authority.enforcement.barriers import Speaker
from consentry_authority.enforcement.limits import Fleets, Newcomers
from consentry_authority.storage.enforcement import members as rows
from consentry_authority.storage.logs import accesses
from consentry_authority.storage.store import Store
from consentry_core.protocol.follow import Revision
from consentry_core.values.clock import Clock
from consentry_core.values.errors import ConsentryError

_AT_ONCE = 50  # in one transaction: some milliseconds
_GATHERED = 0.025  # seconds from one write of a token to its next: each waits for the disk, however little it holds

_Change = Callable[[sa.Connection], None]


class _Asked(NamedTuple):
    change: _Change
    done: "asyncio.Future[None]"


class Membership:
    """The rows of the members."""

    def __init__(self, store: Store, clock: Clock, fleets: Fleets, newcomers: Newcomers) -> None:
        self._store = store
        self._clock = clock
        self._fleets = fleets
        self._newcomers = newcomers
        self._asked: dict[str, deque[_Asked]] = {}  # by token, while something of it is being written
        self._tasks: set[asyncio.Task[None]] = set()

    async def stop(self) -> None:
        """Let what is under way finish."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def claim(self, speaker: Speaker) -> None:
        """A token speaks for an incarnation. PermissionDenied when that is another's, ResourceExhausted for one too many."""
        wall, admit = self._clock.now(), self._admit(speaker)
        await self._write(speaker.token, lambda connection: accesses.claim(connection, speaker, wall, admit=admit))

    async def grant(self, speaker: Speaker, applied: Revision | None) -> None:
        """A lease is about to be granted. See `claim`."""
        wall, admit, most = self._clock.now(), self._admit(speaker), self._fleets.most_rows
        await self._write(
            speaker.token, lambda connection: rows.grant(connection, speaker, applied, wall, most=most, admit=admit)
        )

    async def leave(self, speaker: Speaker) -> None:
        """A member has given its lease back."""
        wall = self._clock.now()
        await self._write(speaker.token, lambda connection: rows.leave(connection, speaker.incarnation, wall))

    def _admit(self, speaker: Speaker) -> Callable[[], None]:
        return partial(self._newcomers.admit, speaker.token, self._clock.boot())

    async def _write(self, token: str, change: _Change) -> None:
        asked = _Asked(change, asyncio.get_running_loop().create_future())
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
            try:
                outcomes = await self._store.write_aside(partial(_all, piece), urgent=True, lane=token)
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


def _all(piece: list[_Asked], connection: sa.Connection) -> list[Exception | None]:
    """Make all of these changes; what is refused is undone, and the others are made."""
    outcomes: list[Exception | None] = []
    for asked in piece:
        try:
            with connection.begin_nested():
                asked.change(connection)
            outcomes.append(None)
        except ConsentryError as refusal:
            outcomes.append(refusal)
    return outcomes
