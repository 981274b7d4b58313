"""The ports of the audit log and the access log, on SQL: each call a transaction."""

from collections.abc import Callable, Sequence

import sqlalchemy as sa

from consentry_authority.access_log.ports import FindCredential, Forget
from consentry_authority.access_log.reports import AccessCount, AccessReport, Period, Unreported
from consentry_authority.audit.chain import AuditKeys, Entry
from consentry_authority.storage.logs import access_log, audit_log
from consentry_authority.storage.repositories.facts import SqlFacts
from consentry_authority.storage.store import SqlStore
from consentry_rule import CustomerId, Instant


class SqlAuditEntries:
    """The port `AuditEntries`, on SQL."""

    def __init__(self, store: SqlStore, keys: AuditKeys) -> None:
        self._store = store
        self._keys = keys

    async def append(self, entries: Sequence[Entry]) -> None:
        await self._store.write_aside(lambda connection: audit_log.append(connection, self._keys, entries))


class SqlAccesses:
    """The port `Accesses`, on SQL. What a report tells of refused calls is sealed with the audit log's keys."""

    def __init__(self, store: SqlStore, keys: AuditKeys) -> None:
        self._store = store
        self._keys = keys

    async def keep(
        self,
        report: AccessReport,
        token: str,
        *,
        admit: Callable[[], None],
        entries: Callable[[FindCredential], Sequence[Entry]],
        forget: Forget | None,
    ) -> int:

        def keep(connection: sa.Connection) -> int:
            new = access_log.keep(connection, report, token, admit=admit)
            if new is not None:
                audit_log.append(connection, self._keys, entries(SqlFacts(connection).credential))
            if forget is not None:
                access_log.forget_before(connection, forget.before, forget.now)
            return new or 0

        return await self._store.write_aside(keep)

    async def page(
        self,
        customer: CustomerId,
        keys: str,
        period: Period,
        *,
        after: tuple[int, str, str] | None,
        limit: int,
    ) -> Sequence[AccessCount]:
        return await self._store.read_aside(
            lambda connection: access_log.page(connection, customer, keys, period, after=after, limit=limit)
        )

    async def unreported(self, period: Period, now: Instant) -> Sequence[Unreported]:
        return await self._store.read_aside(lambda connection: access_log.unreported(connection, period, now))
