"""Where a database stood when it last committed, kept in a file beside it.

SQLite keeps its newest commits in a `-wal` file. When that is lost or cut off (copied without it, or an older copy put back),
what is left is a good database that knows nothing of them: what was revoked is active again, and nothing is wrong with it. So
the service notes each commit here, and does not start on a database that is behind its note.

The note is written after every commit, in place, and not synced: a process that is killed leaves it to the kernel. After a
power failure it may be older than the database, which is no lie, or torn, and then it says nothing.
"""

import hashlib
import logging
import os
from dataclasses import dataclass
from pathlib import Path

from consentry_core.process.settings import SettingError

_BYTES = 256
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Head:
    """A place in one history: `number` counts up within it."""

    history: str
    number: int


class KeptHead:
    """The note. One process writes it."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._file = head_file(database)
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self._descriptor = os.open(self._file, flags, 0o600)
        except OSError as error:
            raise SettingError(f"{self._file} cannot be written ({error.strerror})") from error
        self._fails = False

    def require(self, head: Head) -> None:
        """Note where the database stands. SettingError when it is behind the note, or of another history."""
        told = behind(self._database, head, noted(self._database))
        if told:
            raise SettingError(told)
        self.write(head)

    def write(self, head: Head) -> None:
        """Note a commit. A disk that does not take it is told to the log, once."""
        said = f"{head.number} {head.history}"
        line = f"{said} {_mark(said)}".encode().ljust(_BYTES - 1) + b"\n"
        try:
            os.pwrite(self._descriptor, line, 0)
            self._fails = False
        except OSError as error:
            if not self._fails:
                _log.error("%s cannot be written (%s): a lost -wal would not be noticed", self._file, error.strerror)
            self._fails = True

    def close(self) -> None:
        """Leave it as it is."""
        os.close(self._descriptor)


def head_file(database: Path) -> Path:
    """Where the note of a database lies."""
    return database.with_suffix(".head")


def behind(database: Path, head: Head, noted: Head | None) -> str:
    """What is wrong with a database that stands at `head`, by what was noted before; empty when nothing is."""
    if noted is None or (noted.history == head.history and noted.number <= head.number):
        return ""
    where = f"it stands at {head.number}, and {noted.number} was committed"
    if noted.history != head.history:
        where = "it is of another history than the one that was written here last"
    return (
        f"{database} is not what it was: {where} ({head_file(database).name}). Either {database.name}-wal was lost or cut off: "
        f"put it back. Or an older copy was put in its place: run `consentry restored --data-dir {database.parent}`"
    )


def noted(database: Path) -> Head | None:
    """The note beside a database; None when there is none to be read. Read it before a database that is in use."""
    try:
        said, _, mark = head_file(database).read_text(encoding="ascii").strip().rpartition(" ")
    except (OSError, UnicodeDecodeError):
        return None
    number, _, history = said.partition(" ")
    return Head(history, int(number)) if mark == _mark(said) and number.isdecimal() else None


def _mark(said: str) -> str:
    return hashlib.sha256(said.encode()).hexdigest()[:16]
