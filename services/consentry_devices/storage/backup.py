"""`consentry backup` and `consentry restored`, the device-data service's part."""

import contextlib
from pathlib import Path

import sqlalchemy as sa

from consentry_core.process.folders import FolderLock, check_files
from consentry_core.process.lifecycle import check_writable
from consentry_core.process.settings import SettingError
from consentry_core.sql.backups import Backup, refuse_foreign_wal
from consentry_core.sql.kept_head import KeptHead
from consentry_devices.storage.opening import head_of
from consentry_devices.storage.store import FILE


def back_up(folder: Path, backup: Backup) -> None:
    """Add the store of a data folder, which may be serving."""
    check_writable(folder)
    check_files(folder, "devices.*")
    copy = backup.database(folder / FILE)
    engine = sa.create_engine(f"sqlite:///{copy}")
    try:
        with engine.connect() as connection:
            head = head_of(connection)
    except sa.exc.DatabaseError as error:
        raise SettingError(f"{folder / FILE} is no store of the device-data service ({error.orig})") from error
    finally:
        engine.dispose()
    if head is None:
        raise SettingError(f"{folder / FILE} was never used; start `consentry devices` on it first")
    backup.describe(copy.name, {"kind": "devices", "store": head.history, "tail": head.number})


def restored(folder: Path) -> None:
    """A backup was put back: what was committed after it is given up. SettingError while a service runs on it."""
    check_writable(folder)
    check_files(folder, "devices.*")
    lock = FolderLock(folder, "devices.lock", "device-data service")
    try:
        refuse_foreign_wal(folder / FILE)
        engine = sa.create_engine(f"sqlite:///{folder / FILE}")
        try:
            with engine.connect() as connection:
                head = head_of(connection)
        finally:
            engine.dispose()
        if head is not None:
            with contextlib.closing(KeptHead(folder / FILE)) as kept_head:
                kept_head.write(head)
    finally:
        lock.release()
