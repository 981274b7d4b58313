"""The outbox's tables, and each change of them, within a transaction of the caller's.

What is returned as bytes is how much the frames take up by it, or no longer do.

A row of `pending` stands for `count` frames, the last of which is `number`: those before it are empty. `told` is what that says
of inventory and alarms, `readings` the rest, both serialised and, one behind the other, the frame. `since` and `until` are when
the readings were measured, also once they are dropped (`lost`).
"""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from consentry_gateway.outbox.spans import Span, joined
from consentry_rule import Instant

ROW_BYTES = 100
"""What a row takes up beside its contents, about."""

_MINUTE = 60 * 10**9
_MOST_MINUTES = 20_000

_TABLES = """
CREATE TABLE IF NOT EXISTS numbering (epoch TEXT NOT NULL, next INTEGER NOT NULL, acknowledged INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS pending (
    number INTEGER PRIMARY KEY, count INTEGER NOT NULL, about TEXT NOT NULL, told BLOB NOT NULL, readings BLOB NOT NULL,
    since INTEGER, until INTEGER, lost INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS with_readings ON pending (number) WHERE length(readings) > 0;
CREATE TABLE IF NOT EXISTS acknowledged (number INTEGER PRIMARY KEY, since INTEGER NOT NULL, until INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS memory (key TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class Draft:
    """A frame without its number. `about` says whose agent's it is; `span` is that of its readings, or of what is lost.

    `partly_lost`: not all readings of that time are in it.
    """

    about: str
    told: bytes = b""
    readings: bytes = b""
    span: Span | None = None
    partly_lost: bool = False

    @property
    def lost(self) -> bool:
        """Whether it says that readings are lost."""
        return self.span is not None and (self.partly_lost or not self.readings)


@dataclass(frozen=True, slots=True)
class Pending:
    """A frame that is not acknowledged, and `count - 1` empty ones before it. `lost` is what it says is lost."""

    number: int
    count: int
    payload: bytes
    span: Span | None
    lost: bool


class Transaction:
    """All or nothing."""

    def __init__(self, file: sqlite3.Connection) -> None:
        self._file = file

    def __enter__(self) -> None:
        self._file.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._file.execute("COMMIT")
        finally:
            # A disk that fails may have ended it already, or have left it open when it could not be committed: then nothing
            # could ever begin again.
            if self._file.in_transaction:
                self._file.execute("ROLLBACK")


class Rows:
    """The tables of an open file; made when they are not there."""

    def __init__(self, file: sqlite3.Connection, epoch: str) -> None:
        self._file = file
        file.executescript(_TABLES)
        with Transaction(file):
            if not self._one("SELECT count(*) FROM numbering"):
                file.execute("INSERT INTO numbering VALUES (?, 1, 0)", (epoch,))

    def epoch(self) -> str:
        """The name of the numbering."""
        return str(self._file.execute("SELECT epoch FROM numbering").fetchone()[0])

    def bounds(self) -> tuple[int, int]:
        """The last number that was acknowledged, and the next that is given."""
        acknowledged, following = self._file.execute("SELECT acknowledged, next FROM numbering").fetchone()
        return acknowledged, following

    def count(self) -> int:
        """How many rows are pending."""
        return self._one("SELECT count(*) FROM pending")

    def size(self) -> int:
        """What all of them take up."""
        return self._sizes(self._file.execute("SELECT count(*), sum(length(told) + length(readings)) FROM pending").fetchone())

    def add(self, drafts: Sequence[Draft]) -> int:
        """Take frames in, each with the next number; the bytes."""
        _, number = self.bounds()
        for place, draft in enumerate(drafts):
            self._insert(number + place, 1, draft)
        self._file.execute("UPDATE numbering SET next = ?", (number + len(drafts),))
        return sum(ROW_BYTES + len(draft.told) + len(draft.readings) for draft in drafts)

    def lose(self, span: Span, *, unsent_after: int) -> int:
        """Say last that readings are lost: with the frame that says so already, if it is beyond `unsent_after`; the bytes."""
        last = self._last_loss(self.bounds()[1], unsent_after)
        if last is None:
            return self.add([Draft("", span=span)])
        number, _, known = last
        self._file.execute("UPDATE pending SET since = ?, until = ? WHERE number = ?", (*_ends(joined([span, known])), number))
        return 0

    def drop_oldest(self, *, unsent_after: int) -> int:
        """Drop the oldest readings; the bytes, 0 when there are none.

        The row is joined with the one before, if that too only says what is lost and neither may have been sent.
        """
        row = self._file.execute(
            "SELECT number, length(readings), since, until FROM pending WHERE length(readings) > 0 ORDER BY number LIMIT 1"
        ).fetchone()
        if row is None:
            return 0
        number, freed, since, until = row
        self._file.execute("UPDATE pending SET readings = x'', lost = 1 WHERE number = ?", (number,))
        before = self._last_loss(number, unsent_after)
        if before is not None:
            gone, count, known = before
            self._file.execute("DELETE FROM pending WHERE number = ?", (gone,))
            ends = _ends(joined([Span(since, until), known]))
            self._file.execute(
                "UPDATE pending SET count = count + ?, since = ?, until = ? WHERE number = ?", (count, *ends, number)
            )
            freed += ROW_BYTES
        return int(freed)

    def after(self, number: int, most: int) -> list[Pending]:
        """The next rows after a number, in order."""
        found = self._file.execute(
            "SELECT number, count, told, readings, since, until, lost FROM pending WHERE number > ? ORDER BY number LIMIT ?",
            (number, most),
        )
        return [
            Pending(last, count, told + readings, None if since is None else Span(since, until), bool(lost))
            for last, count, told, readings, since, until, lost in found
        ]

    def acknowledge(self, number: int) -> int:
        """Frames up to a number are committed; the bytes. When they were measured is remembered, to about a minute."""
        *sizes, since, until = self._file.execute(
            "SELECT count(*), sum(length(told) + length(readings)), min(since), max(until) FROM pending WHERE number <= ?",
            (number,),
        ).fetchone()
        self._file.execute("DELETE FROM pending WHERE number <= ?", (number,))
        self._file.execute("UPDATE numbering SET acknowledged = max(acknowledged, ?)", (number,))
        if since is not None:
            self._remember_acknowledged(number, Span(since, until))
        return self._sizes(sizes)

    def acknowledged_after(self, number: int) -> Span | None:
        """When the readings of the acknowledged frames after this number were measured."""
        since, until = self._file.execute(
            "SELECT min(since), max(until) FROM acknowledged WHERE number > ?", (number,)
        ).fetchone()
        return None if since is None else Span(since, until)

    def draft(self, number: int) -> Draft | None:
        """The frame under a number; None when there is none that says anything."""
        row = self._file.execute(
            "SELECT about, told, readings, since, until, lost FROM pending"
            " WHERE number = ? AND (length(told) + length(readings) > 0 OR lost)",
            (number,),
        ).fetchone()
        return None if row is None else _draft(row)

    def replace(self, number: int, draft: Draft) -> None:
        """Let a number have another frame."""
        self._file.execute(
            "UPDATE pending SET told = ?, readings = ?, since = ?, until = ?, lost = ? WHERE number = ?",
            (draft.told, draft.readings, *_ends(draft.span), draft.lost, number),
        )

    def empty_without(self, mark: bytes) -> int:
        """Give up what does not hold these bytes: its readings become a loss; how many frames."""
        return self._file.execute(
            "UPDATE pending SET told = x'', readings = x'', lost = since IS NOT NULL"
            " WHERE length(told) + length(readings) > 0 AND instr(told || readings, ?) = 0",
            (mark,),
        ).rowcount

    def renumber(self, epoch: str, lost: Span | None) -> None:
        """Begin an epoch, with what is pending and says something; `lost` comes first."""
        rows = self._file.execute(
            "SELECT about, told, readings, since, until, lost FROM pending"
            " WHERE length(told) + length(readings) > 0 OR lost ORDER BY number"
        ).fetchall()
        drafts = [_draft(row) for row in rows]
        self._file.execute("DELETE FROM pending")
        self._file.execute("DELETE FROM acknowledged")
        self._file.execute("UPDATE numbering SET epoch = ?, next = 1, acknowledged = 0", (epoch,))
        self.add([*([Draft("", span=lost)] if lost else []), *drafts])

    def remember(self, changes: Mapping[str, str | None]) -> None:
        """Remember values by key; None: forget."""
        for key, value in changes.items():
            if value is None:
                self._file.execute("DELETE FROM memory WHERE key = ?", (key,))
            else:
                self._file.execute("INSERT OR REPLACE INTO memory VALUES (?, ?)", (key, value))

    def recall(self, prefix: str) -> list[str]:
        """What is remembered under the keys that begin so."""
        rows = self._file.execute("SELECT value FROM memory WHERE substr(key, 1, ?) = ? ORDER BY key", (len(prefix), prefix))
        return [row[0] for row in rows]

    def _insert(self, number: int, count: int, draft: Draft) -> None:
        values = (number, count, draft.about, draft.told, draft.readings, *_ends(draft.span), draft.lost)
        self._file.execute("INSERT INTO pending VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)

    def _last_loss(self, below: int, unsent_after: int) -> tuple[int, int, Span] | None:
        """The last row below a number, if it says nothing but what is lost, and none of its frames may have been sent."""
        row = self._file.execute(
            "SELECT number, count, since, until,"
            " lost AND length(told) + length(readings) = 0 AND number - count >= ? FROM pending"
            " WHERE number < ? ORDER BY number DESC LIMIT 1",
            (unsent_after, below),
        ).fetchone()
        return (row[0], row[1], Span(row[2], row[3])) if row is not None and row[4] else None

    def _remember_acknowledged(self, number: int, span: Span) -> None:
        last = self._file.execute("SELECT number, since, until FROM acknowledged ORDER BY number DESC LIMIT 1").fetchone()
        if last is not None:
            both = joined([span, Span(last[1], last[2])])
            if both is not None and both.until - both.since < _MINUTE:
                self._file.execute("DELETE FROM acknowledged WHERE number = ?", (last[0],))
                span = both
        self._file.execute("INSERT OR REPLACE INTO acknowledged VALUES (?, ?, ?)", (number, span.since, span.until))
        if self._one("SELECT count(*) FROM acknowledged") > _MOST_MINUTES:
            self._join_oldest()

    def _join_oldest(self) -> None:
        first, second = self._file.execute("SELECT number, since, until FROM acknowledged ORDER BY number LIMIT 2").fetchall()
        ends = _ends(joined([Span(*first[1:]), Span(*second[1:])]))
        self._file.execute("DELETE FROM acknowledged WHERE number = ?", (first[0],))
        self._file.execute("UPDATE acknowledged SET since = ?, until = ? WHERE number = ?", (*ends, second[0]))

    @staticmethod
    def _sizes(counted: Sequence[int | None]) -> int:
        count, contents = counted
        return (count or 0) * ROW_BYTES + (contents or 0)

    def _one(self, question: str) -> int:
        return int(self._file.execute(question).fetchone()[0])


def _ends(span: Span | None) -> tuple[Instant | None, Instant | None]:
    return (None, None) if span is None else (span.since, span.until)


def _draft(row: Any) -> Draft:
    about, told, readings, since, until, lost = row
    return Draft(about, told, readings, None if since is None else Span(since, until), bool(lost and readings))
