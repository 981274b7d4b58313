"""When secrets were last used, on SQL."""

from collections.abc import Sequence

import sqlalchemy as sa

from consentry_authority.storage.schema import tables as t
from consentry_authority.storage.store import SqlStore
from consentry_rule import Instant


class SqlSecretsInUse:
    """The port `SecretsInUse`, on SQL."""

    def __init__(self, store: SqlStore) -> None:
        self._store = store

    async def mark_used(self, uses: Sequence[tuple[str, Instant]]) -> None:
        await self._store.write_aside(lambda connection: _mark_used(connection, uses))


def _mark_used(connection: sa.Connection, uses: Sequence[tuple[str, Instant]]) -> None:
    """These secrets, by id, were in use at these times; times before the one that is kept change nothing."""
    columns = t.secrets.c
    at: sa.BindParameter[int] = sa.bindparam("at")
    later = sa.or_(columns.last_use_time.is_(None), columns.last_use_time < at)
    connection.execute(
        sa.update(t.secrets).where(columns.id == sa.bindparam("secret_id"), later).values(last_use_time=at),
        [{"secret_id": secret_id, "at": used} for secret_id, used in uses],
    )
