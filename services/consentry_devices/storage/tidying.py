"""What retention does beside the log: old events of alarms, and space that is given back."""

import sqlalchemy as sa

from consentry_core.sql.database import Database
from consentry_devices.storage import tables
from consentry_rule import Instant

_FREE_SHARE = 8  # of the file's pages, one in so many may stay free for what comes
_FREE_PAGES = 1_024
_PIECE_PAGES = 256  # some ten milliseconds


class SqlTidying:
    """See `consentry_devices.log.retention.Tidying`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def remove_alarm_events(self, *, cleared_before: Instant, limit: int) -> int:
        """See `Tidying.remove_alarm_events`."""
        alarms, events = tables.alarms, tables.alarm_events
        old = (
            sa.select(events.c.customer, events.c.id, events.c.number)
            .join(alarms, sa.and_(alarms.c.customer == events.c.customer, alarms.c.id == events.c.id))
            .where(alarms.c.clear_time < cleared_before, events.c.number < alarms.c.number)
            .limit(limit)
        )
        # Found beside the appends, by a look at all alarms; what was found is removed between two of them.
        found = await self._database.read(lambda connection: [tuple(row) for row in connection.execute(old)])
        if found:
            these = sa.tuple_(events.c.customer, events.c.id, events.c.number).in_(found)
            await self._database.write(lambda connection: connection.execute(sa.delete(events).where(these)))
        return len(found)

    async def give_back(self) -> bool:
        """See `Tidying.give_back`."""
        if not await self._database.read(_has_too_much):
            return False
        await self._database.write(_give_back)
        return True


def _has_too_much(connection: sa.Connection) -> bool:
    if connection.dialect.name != "sqlite" or not connection.exec_driver_sql("PRAGMA auto_vacuum").scalar_one():
        return False
    pages, free = (connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in ("page_count", "freelist_count"))
    return bool(free >= max(_FREE_PAGES, pages // _FREE_SHARE) + _PIECE_PAGES)


def _give_back(connection: sa.Connection) -> None:
    for _ in range(_PIECE_PAGES):  # the driver stops after the first page, however many it is asked for
        connection.exec_driver_sql("PRAGMA incremental_vacuum(1)")
