"""Backups: copies of databases that may be in use, and of the files that belong to them, in a new folder that says what it is.

1. All is written into `DESTINATION.part`, for its owner only. Nothing is ever overwritten.
2. A database is copied by SQLite itself, as it is at one moment, its newest commits included, while others go on writing.
3. The copy is looked through (`integrity_check`) and opened by the service that it is of.
4. `manifest.json` says of every file what it is, where it stands, and the digest of its bytes. All is synced.
5. The folder gets its name: a folder of that name is whole.
"""

import contextlib
import hashlib
import json
import os
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from consentry_core.process.settings import SettingError

MANIFEST = "manifest.json"
_FORMAT = 1


class Backup:
    """A backup that is being made."""

    def __init__(self, folder: Path, time: str) -> None:
        self._folder = folder
        self._time = time
        self._files: dict[str, dict[str, Any]] = {}

    def database(self, source: Path) -> Path:
        """Copy a database that may be in use; where the copy lies. SettingError when it is not whole."""
        target = self._new(source.name)
        try:
            with contextlib.closing(sqlite3.connect(source)) as reading, contextlib.closing(sqlite3.connect(target)) as written:
                reading.execute("PRAGMA busy_timeout=30000")
                reading.backup(written)
                written.execute("PRAGMA journal_mode=DELETE")  # one file, whose newest commits are in it
                found = [row[0] for row in written.execute("PRAGMA integrity_check(1)")]
                if found != ["ok"] or written.execute("PRAGMA foreign_key_check").fetchone() is not None:
                    raise SettingError(f"the copy of {source} is not whole ({found[0]}): the database itself is damaged")
        except sqlite3.Error as error:
            raise SettingError(f"{source} cannot be copied ({error})") from error
        return target

    def file(self, name: str, content: str) -> None:
        """Add a file with this content."""
        self._new(name).write_text(content, encoding="utf-8")
        self.describe(name, {"kind": "keys"})

    def describe(self, name: str, facts: Mapping[str, Any]) -> None:
        """Add what the manifest says of a file."""
        self._files[name] = dict(facts)

    def finish(self) -> None:
        """Write the manifest; everything is on the disk then."""
        files = {name: {**facts, **_bytes_of(self._folder / name)} for name, facts in self._files.items()}
        said = {"format": _FORMAT, "consentry": version("consentry"), "time": self._time, "files": files}
        self._new(MANIFEST).write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")
        for path in (*self._folder.iterdir(), self._folder):
            _sync(path)

    def _new(self, name: str) -> Path:
        path = self._folder / name
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600))
        return path


@contextlib.contextmanager
def new_backup(destination: Path, time: str) -> Iterator[Backup]:
    """A backup, in its place once the block has ended well; nothing is left of one that has not."""
    if os.path.lexists(destination):
        raise SettingError(f"there is something at {destination} already; a backup overwrites nothing, so name a new folder")
    part = destination.with_name(f"{destination.name}.part")
    try:
        part.mkdir(mode=0o700)
    except FileExistsError:
        raise SettingError(f"{part} is there: another backup is under way, or was killed; look at it, and remove it") from None
    except OSError as error:
        raise SettingError(f"{part} cannot be made ({error.strerror})") from error
    try:
        backup = Backup(part, time)
        yield backup
        backup.finish()
        part.rename(destination)
        _sync(destination.parent)
    except OSError as error:
        shutil.rmtree(part, ignore_errors=True)
        raise SettingError(f"the backup {destination} cannot be written ({error.strerror})") from error
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def check_copied(folder: Path) -> None:
    """SettingError when files that were copied here with a backup's manifest are not what that says. Without one: nothing."""
    manifest = folder / MANIFEST
    try:
        files = json.loads(manifest.read_bytes())["files"]
        wanted = {name: {"sha256": said["sha256"], "bytes": said["bytes"]} for name, said in files.items()}
    except FileNotFoundError:
        return
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise SettingError(f"{manifest} cannot be read; copy it from the backup again, or remove it") from error
    for name, said in wanted.items():
        file = folder / name
        if Path(name).name != name or not file.is_file() or _bytes_of(file) != said:
            raise SettingError(
                f"{file} is not what {manifest} says; copy the backup's files again, or remove {MANIFEST} if it was used since"
            )


def refuse_foreign_wal(database: Path) -> None:
    """SettingError when a `-wal` lies beside a copy that a backup was made of: SQLite would mix the two.

    A database in use is marked as one that has such a file (bytes 18 and 19 of its header are 2); a copy is not.
    """
    wal = database.with_name(f"{database.name}-wal")
    with contextlib.suppress(FileNotFoundError):
        if not wal.stat().st_size:
            return
        with database.open("rb") as opened:
            header = opened.read(20)
        if header[18:20] == b"\1\1":
            raise SettingError(f"{wal} is of another database than {database}, which is a backup's copy; move {wal.name} away")


def _bytes_of(file: Path) -> dict[str, Any]:
    with file.open("rb") as opened:
        return {"sha256": hashlib.file_digest(opened, "sha256").hexdigest(), "bytes": file.stat().st_size}


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
