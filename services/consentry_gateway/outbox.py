"""What is still to be sent, on disk: frames that are not acknowledged, and what a restart must not forget.

Numbers count up from 1 within an epoch, without holes, because the service demands it. A frame has its number from the moment
it is put here, so that it keeps it over a restart, and:

* a frame that the service refuses for good is **emptied**, not removed: an empty frame goes out under its number;
* what does not fit is not taken in at all (`OutboxFull`), rather than pushing out something that has a number;
* when the numbering turns out not to be the service's (it lost its store, or this file is an old copy), a **new epoch**
  begins, and what is pending is numbered anew from 1.

One process at a time: the file is locked as long as it is open.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from consentry_core.encoding import RandomBytes, new_public_id
from consentry_core.lifecycle import check_writable
from consentry_core.settings import SettingError

_TABLES = """
CREATE TABLE IF NOT EXISTS numbering (epoch TEXT NOT NULL, next INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS frames (number INTEGER PRIMARY KEY, about TEXT NOT NULL, payload BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS memory (key TEXT PRIMARY KEY, value TEXT NOT NULL);
"""

MOST_BYTES = 256 * 1024 * 1024


class OutboxFull(Exception):
    """There is no room for more; nothing was taken in."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A frame without its number: `about` says whose agent's it is, `payload` is the serialised frame."""

    about: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Pending:
    """A frame that is not acknowledged. Its payload is empty when the service refused it."""

    number: int
    payload: bytes


class Outbox:
    """The file. Calls block on the disk; one thread at a time."""

    def __init__(self, folder: Path, random: RandomBytes, *, most_bytes: int = MOST_BYTES) -> None:
        self._random = random
        self._most_bytes = most_bytes
        check_writable(folder)
        self._file = sqlite3.connect(folder / "outbox.sqlite3", isolation_level=None, check_same_thread=False, timeout=0.2)
        try:
            for pragma in ("locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=FULL"):
                self._file.execute(f"PRAGMA {pragma}")
            self._file.executescript(_TABLES)
            self._begin_numbering()
        except sqlite3.Error as error:
            self._file.close()
            raise SettingError(
                f"the gateway's folder {folder} cannot be used ({error}); is another gateway running with the same --data-dir?"
            ) from error
        self._bytes = self._one("SELECT coalesce(sum(length(payload)), 0) FROM frames")

    def _begin_numbering(self) -> None:
        with _Transaction(self._file):
            if not self._one("SELECT count(*) FROM numbering"):
                self._file.execute("INSERT INTO numbering VALUES (?, 1)", (new_public_id(self._random),))

    @property
    def epoch(self) -> str:
        """The name of the numbering."""
        return str(self._file.execute("SELECT epoch FROM numbering").fetchone()[0])

    def append(self, drafts: Sequence[Draft], remember: Mapping[str, str | None]) -> None:
        """Take frames in, and what is to be remembered with them (None: forgotten); all of it is on disk when this returns.

        OutboxFull when there is no room, here or on the disk.
        """
        size = sum(len(draft.payload) for draft in drafts)
        if self._bytes + size > self._most_bytes:
            raise OutboxFull(f"{self._bytes} bytes wait to be sent already")
        try:
            with _Transaction(self._file):
                number = self._one("SELECT next FROM numbering")
                rows = [(number + place, draft.about, draft.payload) for place, draft in enumerate(drafts)]
                self._file.executemany("INSERT INTO frames VALUES (?, ?, ?)", rows)
                self._file.execute("UPDATE numbering SET next = ?", (number + len(rows),))
                for key, value in remember.items():
                    self._file.execute("DELETE FROM memory WHERE key = ?", (key,))
                    if value is not None:
                        self._file.execute("INSERT INTO memory VALUES (?, ?)", (key, value))
        except sqlite3.OperationalError as error:
            raise OutboxFull(f"the disk takes nothing more: {error}") from error
        self._bytes += size

    def after(self, number: int, most: int) -> list[Pending]:
        """The next frames after a number, in order."""
        rows = self._file.execute("SELECT number, payload FROM frames WHERE number > ? ORDER BY number LIMIT ?", (number, most))
        return [Pending(*row) for row in rows]

    def __len__(self) -> int:
        return self._one("SELECT count(*) FROM frames")

    def acknowledge(self, number: int) -> None:
        """All frames up to a number are committed: they need not be kept."""
        with _Transaction(self._file):
            self._file.execute("DELETE FROM frames WHERE number <= ?", (number,))
            self._bytes = self._one("SELECT coalesce(sum(length(payload)), 0) FROM frames")

    def fits(self, number: int) -> bool:
        """Whether a service that has committed everything up to `number` has this numbering in common with us."""
        following = self._one("SELECT next FROM numbering")
        first = self._one("SELECT coalesce(min(number), ?) FROM frames", following)
        return first - 1 <= number < following

    def empty(self, number: int) -> str | None:
        """Give up a frame's contents; whom it was about. None when there is nothing to give up."""
        row = self._file.execute(
            "SELECT about, length(payload) FROM frames WHERE number = ? AND length(payload) > 0", (number,)
        ).fetchone()
        if row is None:
            return None
        with _Transaction(self._file):
            self._file.execute("UPDATE frames SET payload = x'' WHERE number = ?", (number,))
        self._bytes -= row[1]
        return str(row[0])

    def renumber(self) -> None:
        """Begin a new epoch; what is pending is numbered from 1, in the same order."""
        with _Transaction(self._file):
            rows = self._file.execute("SELECT about, payload FROM frames WHERE length(payload) > 0 ORDER BY number").fetchall()
            self._file.execute("DELETE FROM frames")
            self._file.executemany(
                "INSERT INTO frames VALUES (?, ?, ?)", [(number, *row) for number, row in enumerate(rows, 1)]
            )
            self._file.execute("UPDATE numbering SET epoch = ?, next = ?", (new_public_id(self._random), len(rows) + 1))

    def recall(self, prefix: str) -> list[str]:
        """What is remembered under the keys that begin so."""
        rows = self._file.execute("SELECT value FROM memory WHERE substr(key, 1, ?) = ? ORDER BY key", (len(prefix), prefix))
        return [row[0] for row in rows]

    def close(self) -> None:
        """Let another process have the file."""
        self._file.close()

    def _one(self, question: str, *values: object) -> int:
        return int(self._file.execute(question, values).fetchone()[0])


class _Transaction:
    """All or nothing."""

    def __init__(self, file: sqlite3.Connection) -> None:
        self._file = file

    def __enter__(self) -> None:
        self._file.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._file.execute("COMMIT" if kind is None else "ROLLBACK")
