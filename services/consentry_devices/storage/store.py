"""The data folder of the device-data service: one SQLite file, held by one process."""

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from consentry_core.clock import Clock
from consentry_core.database import Database, check_writable, open_sqlite
from consentry_core.encoding import RandomBytes, new_public_id
from consentry_core.folders import FolderLock
from consentry_core.settings import SettingError
from consentry_devices.frames import Encoder
from consentry_devices.storage import tables
from consentry_devices.storage.log import SqlLog
from consentry_devices.storage.migrations import migrate
from consentry_devices.storage.state import SqlState

FILE = "devices.db"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Store:
    """An open store. The keys authenticate page tokens and cursors, which so outlive a restart."""

    log: SqlLog
    state: SqlState
    page_token_key: bytes = field(repr=False)
    cursor_key: bytes = field(repr=False)
    database: Database
    lock: FolderLock

    async def close(self) -> None:
        """Commit what is under way, close the file, and let another process have the folder."""
        await self.log.close()
        self.database.close()
        self.lock.release()


def open_store(folder: Path, *, encoder: Encoder, clock: Clock, random: RandomBytes) -> Store:
    """Open the store in a folder, or make it there; within an event loop. SettingError when that folder cannot be had."""
    check_writable(folder)
    lock = FolderLock(folder, "devices.lock", "device-data service")
    database = Database(open_sqlite(folder / FILE))
    try:
        migrate(database.engine)
        row = database.write_now(lambda connection: _identity(connection, clock, random))
    except BaseException as error:
        database.close()
        lock.release()
        if isinstance(error, sa.exc.DatabaseError):
            raise SettingError(
                f"{folder / FILE} cannot be used as a database ({error.orig}); restore it, or choose another with --data-dir"
            ) from error
        raise
    _log.info("store=%s tail=%d", row.id, row.tail)
    log = SqlLog(database, encoder, store_id=row.id, tail=row.tail)
    return Store(log, SqlState(database), row.page_token_key, row.cursor_key, database, lock)


def _identity(connection: sa.Connection, clock: Clock, random: RandomBytes) -> sa.Row[Any]:
    query = sa.select(tables.store)
    row = connection.execute(query).one_or_none()
    if row is None:
        new = {
            "id": new_public_id(random),
            "create_time": clock.now(),
            "page_token_key": random(32),
            "cursor_key": random(32),
            "tail": 0,
        }
        connection.execute(sa.insert(tables.store), new)
        row = connection.execute(query).one()
    return row
