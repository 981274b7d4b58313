"""The audit log of a data folder, for who looks at it from outside, also while an authority runs on it."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import sqlalchemy as sa

from consentry_authority.audit.chain import AuditKeys, Head, Sealed
from consentry_authority.storage import backup
from consentry_authority.storage.logs import audit_log
from consentry_authority.storage.logs.audited_state import AuditedState
from consentry_authority.storage.opening import open_existing
from consentry_core.sql import kept_head
from consentry_core.sql.database import Database
from consentry_rule import Instant


class AuditReader:
    """One snapshot of the log, and of what it tells of."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    @classmethod
    @contextlib.contextmanager
    def opened(cls, file: Path) -> Iterator["AuditReader"]:
        """The log in a database file, which may be a backup's copy. SettingError when the file cannot be used."""
        engine = open_existing(file, copy=True)
        try:
            with engine.connect() as connection, connection.begin():
                yield cls(connection)
        finally:
            engine.dispose()

    def head(self) -> Head:
        """The end of the log, as the database says."""
        return audit_log.head(self._connection)

    def base(self) -> Head:
        """The last entry that was removed; number 0 when none was."""
        return audit_log.base(self._connection)

    def history_head(self) -> kept_head.Head:
        """Where the history stands."""
        return backup.head_of(self._connection)

    def entries(self, *, after: int = 0) -> Iterator[Sealed]:
        """The log, those after a number, in its order."""
        return audit_log.entries(self._connection, after=after)

    def last_before(self, time: Instant) -> Head | None:
        """The last entry of those that all were written before a time; None when there is none."""
        return audit_log.last_before(self._connection, time)

    def unwritten_changes(self) -> Sequence[int]:
        """The changes of the history since the log was begun that no entry names: some, at most."""
        return audit_log.unwritten_changes(self._connection)

    def misfiled(self) -> Sequence[int]:
        """The entries that do not stand in the histories that they belong to, or in others."""
        return audit_log.misfiled(self._connection)

    def differences(self, state: AuditedState) -> Iterator[str]:
        """What is not as the log left it."""
        return state.differences(self._connection)


def last_entry(engine: sa.Engine) -> Sealed | None:
    """The log's last entry; None when it is empty."""
    with engine.connect() as connection, connection.begin():
        return next(audit_log.entries(connection, after=audit_log.head(connection).number - 1), None)


def remove_exported(file: Path, keys: AuditKeys, exported: Head, now: Instant) -> None:
    """Let the log begin after an entry, and remove what lies before it, a piece at a time."""
    database = Database(open_existing(file))
    try:
        database.write_now(lambda connection: audit_log.begin_after(connection, keys, exported, now))
        while database.write_now(audit_log.remove_exported):
            pass
    finally:
        database.close()
