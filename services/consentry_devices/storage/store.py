"""The data folder of the device-data service: one SQLite file, held by one process."""

import contextlib
import logging
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path

import sqlalchemy as sa

from consentry_core.process.folders import FolderLock, check_files
from consentry_core.process.settings import SettingError
from consentry_core.sql.database import Database, Lane, check_writable, one_lane, open_sqlite
from consentry_core.sql.kept_head import Head, KeptHead
from consentry_core.values.clock import Clock
from consentry_core.values.encoding import RandomBytes
from consentry_devices.domain.frames import Encoder
from consentry_devices.log.appender import AppendedLog
from consentry_devices.storage.engine import SqlEngine
from consentry_devices.storage.migrations import migrate
from consentry_devices.storage.opening import OpenedStore, head_of, open_run
from consentry_devices.storage.state import SqlState
from consentry_devices.storage.tidying import SqlTidying

FILE = "devices.db"
PRAGMAS = (
    # What retention frees can be given back piece by piece.
    "auto_vacuum=INCREMENTAL",
    # Freed pages are not overwritten one by one, as some builds of SQLite do: retention would write as much as ingest.
    "secure_delete=FAST",
    # A write-ahead log that grew while somebody read for long is cut down again.
    "journal_size_limit=67108864",
)
"""How the file is made and used, besides what holds for all: `consentry_core.sql.database.PRAGMAS`."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Store:
    """An open store. The keys authenticate page tokens and cursors, which so outlive a restart."""

    log: AppendedLog
    state: SqlState
    tidying: SqlTidying
    page_token_key: bytes = field(repr=False)
    cursor_key: bytes = field(repr=False)
    database: Database
    lock: FolderLock
    kept_head: KeptHead

    async def close(self) -> None:
        """Commit what is under way, close the file, and let another process have the folder."""
        await self.log.close()
        self.database.close()
        self.kept_head.close()
        self.lock.release()


def open_engine(file: Path) -> sa.Engine:
    """An engine for the file. Text that is none any more is read all the same: that it is damaged shows by its checksum."""
    engine = open_sqlite(file, PRAGMAS)
    sa.event.listen(engine, "connect", lambda connection, _: _read_any_text(connection))
    return engine


def _read_any_text(connection: sqlite3.Connection) -> None:
    connection.text_factory = lambda text: text.decode(errors="surrogateescape")


def open_store(folder: Path, *, encoder: Encoder, clock: Clock, random: RandomBytes, lane: Lane = one_lane) -> Store:
    """Open the store in a folder, or make it there; within an event loop. SettingError when that folder cannot be had.

    Lanes take turns at reading it; `lane` says whose turn it is that reads now.
    """
    check_writable(folder)
    check_files(folder, "devices.*", "accesses", "accesses/*", "accesses/*/*")
    lock = FolderLock(folder, "devices.lock", "device-data service")
    with contextlib.ExitStack() as held:
        held.callback(lock.release)
        database = Database(open_engine(folder / FILE))
        held.callback(database.close)
        kept_head = KeptHead(folder / FILE)
        held.callback(kept_head.close)
        opened = _opened(database, folder, kept_head, clock, random)
        held.pop_all()
    _log.info("store=%s first=%d tail=%d", opened.log.store_id, opened.log.first, opened.log.tail)

    def noted(tail: int) -> None:
        kept_head.write(Head(opened.log.store_id, tail))

    log = AppendedLog(SqlEngine(database, opened.log.runs.current, lane, noted=noted), encoder, opened.log)
    return Store(
        log, SqlState(database, lane), SqlTidying(database), opened.page_token_key, opened.cursor_key, database, lock, kept_head
    )


def _opened(database: Database, folder: Path, kept_head: KeptHead, clock: Clock, random: RandomBytes) -> OpenedStore:
    try:
        migrate(database.engine)
        with database.engine.connect() as connection, connection.begin():
            head = head_of(connection)
        if head is not None:
            kept_head.require(head)
        opened = database.write_now(lambda connection: open_run(connection, clock, random))
    except sa.exc.DatabaseError as error:
        raise SettingError(
            f"{folder / FILE} cannot be used as a database ({error.orig}); restore it, or choose another with --data-dir"
        ) from error
    if head is None:
        kept_head.require(Head(opened.log.store_id, opened.log.tail))
    return opened
