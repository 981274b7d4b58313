"""The store on SQL: runs use cases in transactions, and questions in snapshots."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import sqlalchemy as sa

from consentry_authority.audit.chain import AuditKeys
from consentry_authority.commands.change_limits import ChangeLimits
from consentry_authority.commands.ports import NOBODY, Committed, Origin, Transaction, View
from consentry_authority.storage.commits import OwnCommits
from consentry_authority.storage.enforcement import receipts
from consentry_authority.storage.history import marks
from consentry_authority.storage.history import place as history
from consentry_authority.storage.history.place import Touched
from consentry_authority.storage.history.retention import Removal
from consentry_authority.storage.logs.audit_log import append
from consentry_authority.storage.logs.audited_changes import entries_of
from consentry_authority.storage.logs.customer_history import SqlAudit
from consentry_authority.storage.repositories import secrets
from consentry_authority.storage.repositories.credentials import SqlKeys, SqlTokens
from consentry_authority.storage.repositories.facts import SqlFacts
from consentry_authority.storage.repositories.key_lists import KeyLists
from consentry_authority.storage.repositories.organizations import SqlConnections, SqlConsents, SqlCustomers, SqlPartners
from consentry_authority.storage.repositories.requests import SqlRequests
from consentry_core.sql.database import Database
from consentry_core.sql.kept_head import Head, KeptHead
from consentry_core.values.clock import BootTime, Clock
from consentry_rule import Instant

_T = TypeVar("_T")


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
        self.audit = SqlAudit(connection, now)
        self.requests = SqlRequests(connection, now)
        self._connection = connection

    @property
    def listed(self) -> int:
        """How many customers are on the lists that were looked at."""
        return self.touched.lists.length()

    def kill_secret(self, credential: str, secret_id: str) -> str | None:
        return secrets.kill_secret(self._connection, self.touched, credential, secret_id, self.now)

    def rehash(self, secret_id: str, old_hash: str, new_hash: str) -> None:
        secrets.rehash(self._connection, secret_id, old_hash, new_hash)


class SqlStore:
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
        commits: OwnCommits | None = None,
        kept_head: KeptHead | None = None,
    ) -> None:
        self._limits = limits or ChangeLimits(clock)
        self._kept_head = kept_head
        self._asking = asking
        self._database = database
        self._clock = clock
        self._audit_keys = audit_keys
        self._commits = commits or OwnCommits()
        self._writes: set[asyncio.Task[object]] = set()

    async def write(self, use_case: Callable[[Transaction], _T], *, origin: Origin = NOBODY) -> Committed[_T]:
        """Run a use case: all that it changed is committed, or, when it raises, nothing.

        So are its place in the history and its entry in the audit log: what cannot be written there is not done.
        A caller that is cancelled does not stop it, and does not keep the listeners from hearing of it.
        """
        write = asyncio.create_task(self._write(use_case, origin))
        self._writes.add(write)
        write.add_done_callback(self._written)
        return await asyncio.shield(write)

    async def _write(self, use_case: Callable[[Transaction], _T], origin: Origin) -> Committed[_T]:
        any_change = await self._limits.turn(origin.organization, origin.actor, origin.method)
        since = BootTime(0)

        def note(committed: Committed[_T]) -> None:
            nonlocal since
            since = self._clock.boot()  # in the writer's thread: a busy event loop hears of it later
            self._note(committed)

        committed = await self._database.write(
            lambda connection: self._run(connection, use_case, origin, any_change=any_change),
            lane=self.lane,
            committed=note,
        )
        committed = replace(committed, since=since)
        self._limits.made(origin.organization, committed.listed)
        if committed.changed:
            self._commits.committed(committed)
        return committed

    def _written(self, write: asyncio.Task[object]) -> None:
        self._writes.discard(write)
        if not write.cancelled():
            write.exception()  # whoever waits raises it; with nobody waiting it would be reported as never retrieved

    def write_now(self, use_case: Callable[[Transaction], _T], *, origin: Origin = NOBODY) -> Committed[_T]:
        """`write` in the calling thread, for programs without an event loop. Nobody listens."""
        return self._database.write_now(lambda connection: self._run(connection, use_case, origin), committed=self._note)

    def _note(self, committed: Committed[Any]) -> None:
        if self._kept_head is not None and committed.changed:
            self._kept_head.write(Head(committed.revision.epoch, committed.revision.number))

    def _run(
        self,
        connection: sa.Connection,
        use_case: Callable[[Transaction], _T],
        origin: Origin,
        *,
        any_change: bool = True,
    ) -> Committed[_T]:
        history.lock(connection)
        transaction = SqlTransaction(connection, self._clock.now())
        value = use_case(transaction)
        differences = transaction.touched.differences()
        recorded = history.record(connection, transaction.touched, differences, self._clock, origin)
        if not any_change and differences and not (recorded is not None and recorded.withdrawing):
            raise self._limits.exceeded(origin.organization)
        append(connection, self._audit_keys, entries_of(differences, origin, recorded=recorded, now=transaction.now))
        head = transaction.facts.head()
        if recorded is None:
            number = marks.number_of(connection, transaction.touched.found)
            place = head if number is None else replace(head, number=number)
            commit_time = transaction.facts.exact_commit_time(place.number)
            narrowing = number is not None and receipts.receipt(connection, place) is not None
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

    async def read(self, question: Callable[[View], _T], *, lane: str | None = None) -> _T:
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

    async def remove(self, removal: Removal, before: Instant) -> int:
        """Let a piece of what is older than an instant go; how many rows that were."""
        return await self.write_aside(lambda connection: removal(connection, before, self._audit_keys))

    def close(self) -> None:
        """Let what has begun finish, then close the database."""
        self._database.close()
