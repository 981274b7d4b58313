"""Refusals and failures on their way to the audit log: noted on the event loop, written by the dozen.

What is noted waits for at most a second, and is lost if the process is killed meanwhile; changes are written with what they
change, and never wait here. A note costs microseconds. At most as many wait as the sampler lets through; what the database does
not take is counted with what was left out.
"""

import asyncio
import json
import logging
from dataclasses import dataclass

import sqlalchemy as sa

from consentry_authority.audit.chain import AuditKeys, EntryKind
from consentry_authority.audit.sampling import Sampler
from consentry_authority.storage.logs import audit as rows
from consentry_authority.storage.logs.audit import Note
from consentry_authority.storage.store import Store
from consentry_core.values.clock import Clock

_log = logging.getLogger(__name__)
_EVERY = 1.0  # seconds
_MOST_WAITING = 1_000


@dataclass(frozen=True, slots=True)
class Refused:
    """A call that was refused. `detail` is for this log alone."""

    kind: EntryKind
    outcome: str
    actor: str
    organization: str
    method: str
    peer: str
    request_id: str
    detail: str


class Auditing:
    """Writes what was refused."""

    def __init__(self, store: Store, keys: AuditKeys, clock: Clock, *, sampler: Sampler | None = None) -> None:
        self._store = store
        self._keys = keys
        self._clock = clock
        self._sampler = sampler or Sampler()
        self._waiting: list[Note] = []
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Write from now on, in the background."""
        self._task = asyncio.create_task(self._write_now_and_then())

    async def stop(self) -> None:
        """Write what waits, and what was left out."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.flush(last=True)

    def takes(self, kind: EntryKind, source: str, outcome: str) -> bool:
        """Whether there is room for one more of these; counted as left out if not. `source` is what a flood has in common."""
        if not self._sampler.takes(kind, source, outcome, self._clock.boot()):
            self._wake.set()
            return False
        if len(self._waiting) >= _MOST_WAITING:
            self._sampler.leave_out(kind, outcome)
            return False
        return True

    def note(self, refused: Refused) -> None:
        """Take note of a refusal that there is room for."""
        self._waiting.append(
            Note(
                time=self._clock.now(),
                kind=refused.kind,
                actor=refused.actor,
                organization=refused.organization,
                method=refused.method,
                peer=refused.peer,
                request_id=refused.request_id,
                outcome=refused.outcome,
                document=json.dumps({"detail": refused.detail}) if refused.detail else "",
            )
        )
        self._wake.set()

    async def flush(self, *, last: bool = False) -> None:
        """Write what waits; what was left out only once a minute, and when it is the last time."""
        notes, self._waiting = self._waiting, []
        left_out = self._sampler.left_out() if last else self._sampler.left_out_by(self._clock.boot())
        if left_out:
            notes.append(Note(time=self._clock.now(), kind=EntryKind.LEFT_OUT, document=json.dumps({"left_out": left_out})))
        if not notes:
            return

        def write(connection: sa.Connection) -> None:
            rows.append(connection, self._keys, notes)

        try:
            await self._store.write_aside(write)
        except Exception:  # noqa: BLE001 - whatever it was, those who are refused are refused all the same
            _log.exception("%d entries could not be written to the audit log", len(notes))
            for note in notes:
                self._sampler.leave_out(note.kind, note.outcome)

    async def _write_now_and_then(self) -> None:
        while True:
            await self._wake.wait()
            await asyncio.sleep(_EVERY)
            self._wake.clear()
            await asyncio.shield(asyncio.ensure_future(self.flush()))
