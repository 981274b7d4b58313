"""The store: runs use cases in transactions, and questions in snapshots."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import sqlalchemy as sa

from consentry_authority.audit.chain import AuditKeys
from consentry_authority.change_limits import ChangeLimits
from consentry_authority.commands import ports
from consentry_authority.storage import audit, credentials, enforcement, history
from consentry_authority.storage.credentials import SqlKeys, SqlTokens
from consentry_authority.storage.facts import SqlFacts
from consentry_authority.storage.history import Origin, Touched
from consentry_authority.storage.key_lists import KeyLists
from consentry_authority.storage.organizations import SqlConnections, SqlConsents, SqlCustomers, SqlPartners
from consentry_authority.storage.requests import SqlRequests
from consentry_authority.storage.wanted import Wanted, number_of
from consentry_core.clock import BootTime, Clock
from consentry_core.database import Database
from consentry_core.follow import Revision
from consentry_core.kept_head import Head, KeptHead
from consentry_rule import Instant

__all__ = ["Committed", "Origin", "Store"]

_T = TypeVar("_T")
_log = logging.getLogger(__name__)
_NOBODY = Origin()


@dataclass(frozen=True, slots=True)
class Committed(Generic[_T]):
    """What a use case returned, and its place in the history.

    For one that changed nothing (`changed` False): the place of the change that has brought about what was wanted; without such
    a change, or a call that does not say what it wants, the head, which is somebody else's (`own` False). `narrowing`: that
    change took access away, and is to be enforced, or has been. `subjects`: the names of everything that was touched.
    `listed`: how many customers were on the lists that had to be looked at. `since`: when it was committed, by the clock that
    leases are counted with; None where nobody waits for them.
    """

    value: _T
    revision: Revision
    commit_time: Instant
    changed: bool
    narrowing: bool = False
    subjects: frozenset[str] = frozenset()
    """The credentials and standings that it has touched, if it changed something."""
    own: bool = True
    listed: int = 0
    since: BootTime | None = None


class SqlTransaction:
    """Everything at one moment, to look at and to change; see `ports.View` and `ports.Transaction`."""

    def __init__(self, connection: sa.Connection, now: Instant) -> None:
        self.now = now
        lists = KeyLists(connection)
        self.facts = SqlFacts(connection, lists)
        self.touched = Touched(self.facts, connection, lists)
        self.partners = SqlPartners(connection, self.touched)
        self.customers = SqlCustomers(connection, self.touched)
        self.connections = SqlConnections(connection, self.touched)
        self.consents = SqlConsents(connection, self.touched)
        self.keys = SqlKeys(connection, self.touched, lists, now)
        self.tokens = SqlTokens(connection, self.touched, now)
        self.audit = audit.SqlAudit(connection, now)
        self.requests = SqlRequests(connection, now)
        self._connection = connection

    @property
    def listed(self) -> int:
        """How many customers are on the lists that were looked at."""
        return self.touched.lists.length()

    def kill_secret(self, credential: str, secret_id: str) -> str | None:
        """See `ports.Transaction.kill_secret`."""
        return credentials.kill_secret(self._connection, self.touched, credential, secret_id, self.now)

    def rehash(self, secret_id: str, old_hash: str, new_hash: str) -> None:
        """See `ports.Transaction.rehash`."""
        credentials.rehash(self._connection, secret_id, old_hash, new_hash)


class Store:
    """What the authority knows. Reads side by side, writes one after the other, each with its entry in the audit log.

    Those who ask take turns, so that one that asks as fast as it can holds up nobody else: `asking` says who asks now. Each
    change of the history is noted in `kept_head`.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        audit_keys: AuditKeys,
        *,
        asking: Callable[[], str] = lambda: "",
        limits: ChangeLimits | None = None,
        kept_head: KeptHead | None = None,
    ) -> None:
        self._limits = limits or ChangeLimits(clock)
        self._kept_head = kept_head
        self._asking = asking
        self._database = database
        self._clock = clock
        self._audit_keys = audit_keys
        self._listeners: list[Callable[[Committed[Any]], None]] = []
        self._writes: set[asyncio.Task[object]] = set()

    async def write(
        self, use_case: Callable[[ports.Transaction], _T], *, origin: Origin = _NOBODY, wanted: Wanted | None = None
    ) -> Committed[_T]:
        """Run a use case: all that it changed is committed, or, when it raises, nothing.

        So are its place in the history and its entry in the audit log: what cannot be written there is not done.
        A caller that is cancelled does not stop it, and does not keep the listeners from hearing of it. `wanted` is what it
        wants to be so; see `Committed`.
        """
        write = asyncio.create_task(self._write(use_case, origin, wanted))
        self._writes.add(write)
        write.add_done_callback(self._written)
        return await asyncio.shield(write)

    async def _write(self, use_case: Callable[[ports.Transaction], _T], origin: Origin, wanted: Wanted | None) -> Committed[_T]:
        any_change = await self._limits.turn(origin.organization, origin.actor, origin.method)
        since = BootTime(0)

        def note(committed: Committed[_T]) -> None:
            nonlocal since
            since = self._clock.boot()  # in the writer's thread: a busy event loop hears of it later
            self._note(committed)

        committed = await self._database.write(
            lambda connection: self._run(connection, use_case, origin, wanted, any_change=any_change),
            lane=self.lane,
            committed=note,
        )
        committed = replace(committed, since=since)
        self._limits.made(origin.organization, committed.listed)
        if committed.changed:
            for listener in self._listeners:
                listener(committed)
        return committed

    def _written(self, write: asyncio.Task[object]) -> None:
        self._writes.discard(write)
        if not write.cancelled():
            write.exception()  # whoever waits raises it; with nobody waiting it would be reported as never retrieved

    def write_now(
        self, use_case: Callable[[ports.Transaction], _T], *, origin: Origin = _NOBODY, wanted: Wanted | None = None
    ) -> Committed[_T]:
        """`write` in the calling thread, for programs without an event loop. Nobody listens."""
        return self._database.write_now(
            lambda connection: self._run(connection, use_case, origin, wanted), committed=self._note
        )

    def _note(self, committed: Committed[Any]) -> None:
        if self._kept_head is not None and committed.changed:
            self._kept_head.write(Head(committed.revision.epoch, committed.revision.number))

    def _run(
        self,
        connection: sa.Connection,
        use_case: Callable[[ports.Transaction], _T],
        origin: Origin,
        wanted: Wanted | None,
        *,
        any_change: bool = True,
    ) -> Committed[_T]:
        transaction = SqlTransaction(connection, self._clock.now())
        value = use_case(transaction)
        differences = transaction.touched.differences()
        recorded = history.record(
            connection, transaction.touched, differences, self._clock, origin, receipted=wanted is not None
        )
        if not any_change and differences and not (recorded is not None and recorded.withdrawing):
            raise self._limits.exceeded(origin.organization)
        audit.append_changes(connection, self._audit_keys, differences, origin, recorded=recorded, now=transaction.now)
        head = transaction.facts.head()
        if recorded is None:
            number = None if wanted is None else number_of(connection, wanted)
            place = head if number is None else replace(head, number=number)
            commit_time = transaction.facts.exact_commit_time(place.number)
            narrowing = number is not None and enforcement.receipt(connection, place) is not None
            own = number is not None and (narrowing or commit_time is not None)
            return Committed(value, place, commit_time or transaction.now, changed=False, narrowing=narrowing, own=own)
        return Committed(
            value,
            head,
            recorded.commit_time,
            changed=True,
            narrowing=recorded.narrowing,
            subjects=recorded.subjects,
            listed=transaction.listed,
        )

    async def read(self, question: Callable[[ports.View], _T], *, lane: str | None = None) -> _T:
        """The answer to a question, all of it from one snapshot. `lane`: in whose turn, if not in that of who asks now."""
        return await self._database.read(
            lambda connection: question(SqlTransaction(connection, self._clock.now())),
            lane=self.lane if lane is None else lane,
        )

    @property
    def lane(self) -> str:
        """In whose turn whoever asks now is served; empty when nobody has been let in yet."""
        return self._asking()

    async def write_aside(self, change: Callable[[sa.Connection], _T], *, urgent: bool = False, lane: str | None = None) -> _T:
        """Write what is no part of the history. `urgent`: leases and receipts, before most of what waits (`Turns`).

        `lane`: whose turn it takes; without it, that of who asks now.
        """
        return await self._database.write(change, urgent=urgent, lane=self.lane if lane is None else lane)

    async def read_aside(self, question: Callable[[sa.Connection], _T]) -> _T:
        """Read what is no part of the history."""
        return await self._database.read(question, lane=self.lane)

    def on_commit(self, listener: Callable[["Committed[Any]"], None]) -> None:
        """Call `listener` with every change, on the event loop, after it was committed. It must not block."""
        self._listeners.append(listener)

    def close(self) -> None:
        """Let what has begun finish, then close the database."""
        self._database.close()
