"""Whether a database can be written, found out by writing to it: health says so before the first client is refused.

A full disk is no state that anything announces. So a small change is committed every few seconds; when that fails, whoever is
to know is told, and told again once one succeeds. Nothing is kept of it: SQLite has a number in its header that is nobody's.
"""

import asyncio
import logging
from collections.abc import Callable

import sqlalchemy as sa

from consentry_core.sql.database import Database

_log = logging.getLogger(__name__)
_EVERY = 2.0  # seconds; a commit is a few milliseconds of the disk


async def probe_writes(database: Database, tell: Callable[[bool], None], *, every: float = _EVERY) -> None:
    """Try, again and again, until cancelled; `tell` whenever it begins to fail, and whenever it works again."""
    worked, number = True, 0
    while True:
        works = await _try(database, number := 1 - number)
        if works != worked:
            worked = works
            tell(works)
            _log.log(logging.INFO if works else logging.ERROR, "the database can%s be written", "" if works else "not")
        await asyncio.sleep(every)


async def _try(database: Database, number: int) -> bool:
    def change(connection: sa.Connection) -> None:
        connection.exec_driver_sql(f"PRAGMA user_version = {number}")

    try:
        await database.write(change, lane="probe")
    except Exception:  # noqa: BLE001 - whatever it is, what is to be written now is not written
        _log.debug("a probe was not written", exc_info=True)
        return False
    return True
