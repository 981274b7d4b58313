"""The log in SQL. An engine of `consentry_devices.log.engine`."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import sqlalchemy as sa

from consentry_core.sql.database import Database, Lane, one_lane
from consentry_devices.log.engine import Transaction
from consentry_devices.log.entries import Entry, Removals
from consentry_devices.storage.reading import read_entries
from consentry_devices.storage.removals import read_removals, remove_oldest
from consentry_devices.storage.transaction import SqlTransaction
from consentry_rule import CustomerId, Instant

_T = TypeVar("_T")


class SqlEngine:
    """See `Engine`. `noted` is told the tail of the log after each commit that moves it."""

    def __init__(
        self, database: Database, run: str, lane: Lane = one_lane, *, noted: Callable[[int], None] = lambda _: None
    ) -> None:
        self._database = database
        self._run = run
        self._lane = lane
        self._noted = noted

    async def transact(self, change: Callable[[Transaction], _T]) -> _T:
        """See `Engine.transact`."""

        def changed(connection: sa.Connection) -> tuple[_T, int | None]:
            transaction = SqlTransaction(connection, self._run)
            return change(transaction), transaction.tail

        value, _ = await self._database.write(changed, committed=self._committed)
        return value

    def _committed(self, result: tuple[object, int | None]) -> None:
        if result[1] is not None:
            self._noted(result[1])

    async def read_after(self, seq: int, limit: int, *, max_bytes: int) -> Sequence[Entry]:
        """See `Log.read_after`."""
        return await self._database.read(
            lambda connection: read_entries(connection, seq, limit, max_bytes=max_bytes), lane=self._lane()
        )

    async def removed(self, customers: Iterable[CustomerId] | None) -> Removals:
        """See `Log.removed`."""
        wanted = None if customers is None else set(customers)
        return await self._database.read(lambda connection: read_removals(connection, wanted), lane=self._lane())

    async def remove_oldest(self, *, up_to: int, taken_before: Instant | None, max_entries: int, max_bytes: int) -> int:
        """See `Engine.remove_oldest`."""
        return await self._database.write(
            lambda connection: remove_oldest(
                connection, self._run, up_to=up_to, taken_before=taken_before, max_entries=max_entries, max_bytes=max_bytes
            )
        )

    async def size(self) -> int:
        """See `RetainedLog.size`: what the file's pages hold. Pages that are free are used again before the file grows."""
        return await self._database.read(_used_bytes)


def _used_bytes(connection: sa.Connection) -> int:
    pages, free, page_bytes = (
        connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * page_bytes)
