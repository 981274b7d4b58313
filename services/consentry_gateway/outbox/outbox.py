"""What is still to be sent, on disk: frames that are not acknowledged, and what a restart must not forget.

Numbers count up from 1 within an epoch, without holes, because the service demands it. A frame has its number from the moment
it is put here, so that it keeps it over a restart, and:

* it is **bounded**: when there is no room the oldest readings are dropped, and what stands for them says so as a loss. What
  frames tell of inventory and alarms is never dropped: where that alone fills the outbox, nothing more is taken in
  (`OutboxFull`), and what was measured meanwhile is a loss too;
* neighbours that were dropped become one row, which stands for all their numbers: an outage of months is one loss;
* a frame that the service refuses for good is **mended**: what is left of it goes out under its number, if need be nothing
  (`empty`), and the readings that are left out are a loss;
* when the numbering turns out not to be the service's (it lost its store, or has an older one back, or this file is an old
  copy), a **new epoch** begins: what is pending is numbered anew from 1, and what the service had acknowledged and has no more
  comes first, as a loss. For that it is remembered roughly what was acknowledged when (`acknowledged`).

Every change is one transaction: whenever the process is killed, each reading is pending, acknowledged or part of a loss. Only
what comes while the disk takes nothing at all is remembered in memory, until it does.

* whatever the disk does is an `OutboxFailed`, in words. The file is opened anew before the next call, so that it goes on once
  the disk is well again.

One process at a time: the file is locked as long as it is open.
"""

import contextlib
import logging
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from consentry_core.process.folders import check_files
from consentry_core.process.lifecycle import check_writable
from consentry_core.process.settings import SettingError
from consentry_core.values.encoding import RandomBytes, new_public_id
from consentry_gateway.outbox.pending import Draft, Pending, Rows, Transaction
from consentry_gateway.outbox.spans import Span, joined

__all__ = ["MOST_BYTES", "Draft", "Outbox", "OutboxFailed", "OutboxFull", "Pending", "Span"]

MOST_BYTES = 256 * 1024 * 1024
_NOTHING: Mapping[str, str | None] = MappingProxyType({})
_log = logging.getLogger(__name__)


class OutboxFailed(Exception):
    """The disk does not do what it should; the message says what."""


class OutboxFull(OutboxFailed):
    """There is no room for more; nothing was taken in. That its readings are lost will be told."""


class Outbox:
    """The file. Calls block on the disk; one thread at a time. `most_bytes` bounds what is pending."""

    def __init__(self, folder: Path, random: RandomBytes, *, most_bytes: int = MOST_BYTES) -> None:
        self._random = random
        self._most_bytes = most_bytes
        check_writable(folder)
        check_files(folder, "pending.*")
        self._path = folder / "pending.sqlite3"
        try:
            self._open()
        except sqlite3.Error as error:
            taken = getattr(error, "sqlite_errorcode", 0) & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
            told = "another gateway uses it; stop that, or" if taken else f"{error}; see what lies there, or"
            raise SettingError(
                f"the gateway's folder {folder} cannot be used: {told} choose another with --data-dir"
            ) from error
        self._bytes = self._rows.size()
        self._handed_out = 0
        self._unsaid: Span | None = None
        self._failed = False

    @property
    def epoch(self) -> str:
        """The name of the numbering."""
        with self._disk() as rows:
            return rows.epoch()

    def append(self, drafts: Sequence[Draft], remember: Mapping[str, str | None]) -> None:
        """Take frames in, and what is to be remembered with them (None: forgotten); all of it is on disk when this returns.

        The oldest readings make room. OutboxFull when there is none all the same, here or on the disk.
        """
        lost = joined(draft.span for draft in drafts)
        try:
            with self._disk() as rows, Transaction(self._file):
                size = self._bytes + rows.add(drafts)
                while size > self._most_bytes and (freed := rows.drop_oldest(unsent_after=self._handed_out)):
                    size -= freed
                self._check_room(size)
                rows.remember(remember)
        except OutboxFull:
            self._lose(lost)
            raise
        except OutboxFailed as error:
            self._lose(lost)
            raise OutboxFull(f"the disk takes nothing more: {error}") from error
        self._bytes = size
        self._lose(None)

    def after(self, number: int, most: int) -> list[Pending]:
        """The next frames after a number, in order."""
        with self._disk() as rows:
            found = rows.after(number, most)
        if found:
            self._handed_out = max(self._handed_out, found[-1].number)
        return found

    def __len__(self) -> int:
        with self._disk() as rows:
            return rows.count()

    def acknowledge(self, number: int) -> None:
        """All frames up to a number are committed: they need not be kept."""
        try:
            with self._disk() as rows, Transaction(self._file):
                freed = rows.acknowledge(number)
        except OutboxFailed as error:
            _log.warning("what is acknowledged stays in the outbox until the disk takes that: %s", error)
        else:
            self._bytes -= freed

    def fits(self, number: int) -> bool:
        """Whether a service that has committed everything up to `number` has this numbering in common with us."""
        with self._disk() as rows:
            acknowledged, following = rows.bounds()
        return acknowledged <= number < following

    def draft(self, number: int) -> Draft | None:
        """The frame under a number; None when there is none that says anything."""
        with self._disk() as rows:
            return rows.draft(number)

    def replace(self, number: int, draft: Draft, remember: Mapping[str, str | None] = _NOTHING) -> None:
        """Let a number have another frame, which was refused as it was; `remember` as in `append`."""
        with self._disk() as rows, Transaction(self._file):
            rows.replace(number, draft)
            rows.remember(remember)
        self._bytes = self._rows.size()

    def empty(self, number: int) -> str | None:
        """Give up a frame's contents; whom it was about. None when there is nothing to give up. Its readings become a loss.

        What it says is lost is given up too, if that is all that it says: its times may be what was refused.
        """
        draft = self.draft(number)
        if draft is None:
            return None
        contents = draft.told or draft.readings
        self.replace(number, Draft(draft.about, span=draft.span if contents else None))
        return draft.about

    def empty_without(self, mark: str) -> int:
        """Give up all frames in which a text does not occur; how many."""
        with self._disk() as rows, Transaction(self._file):
            count = rows.empty_without(mark.encode())
        self._bytes = self._rows.size()
        return count

    def renumber(self, committed: int | None = None) -> Span | None:
        """Begin a new epoch; what is pending is numbered from 1, in the same order.

        `committed` is what the service has of the former epoch; None: all that it acknowledged. What is lost by that is
        returned, and told first.
        """
        with self._disk() as rows, Transaction(self._file):
            lost = None if committed is None else rows.acknowledged_after(committed)
            rows.renumber(new_public_id(self._random), lost)
        self._bytes = self._rows.size()
        self._handed_out = 0
        return lost

    def remember(self, key: str, value: str) -> None:
        """Remember a value."""
        with self._disk() as rows, Transaction(self._file):
            rows.remember({key: value})

    def recall(self, prefix: str) -> list[str]:
        """What is remembered under the keys that begin so."""
        with self._disk() as rows:
            return rows.recall(prefix)

    def close(self) -> None:
        """Let another process have the file."""
        self._file.close()

    def _check_room(self, size: int) -> None:
        if size > self._most_bytes:
            raise OutboxFull(f"{self._bytes} bytes wait to be sent already, none of them readings")

    def _lose(self, span: Span | None) -> None:
        """Readings are lost, with those that are not on disk as such yet."""
        self._unsaid = joined([self._unsaid, span])
        if self._unsaid is None:
            return
        with contextlib.suppress(OutboxFailed):
            with self._disk() as rows, Transaction(self._file):
                taken = rows.lose(self._unsaid, unsent_after=self._handed_out)
            self._bytes += taken
            self._unsaid = None

    def _open(self) -> None:
        if not self._path.exists():
            self._path.touch(mode=0o600)  # what lies here is a customer's, whatever the folder lets others do
        self._file = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=0.2)
        try:
            for pragma in ("locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=FULL"):
                self._file.execute(f"PRAGMA {pragma}")
            self._rows = Rows(self._file, new_public_id(self._random))
        except sqlite3.Error:
            self._file.close()
            raise

    @contextlib.contextmanager
    def _disk(self) -> Iterator[Rows]:
        """The tables, for one call. What fails of the disk is an OutboxFailed."""
        try:
            if self._failed:
                self._file.close()
                self._open()
                self._bytes, self._failed = self._rows.size(), False
            yield self._rows
        except (sqlite3.Error, OSError) as error:
            self._failed = getattr(error, "sqlite_errorcode", 0) & 0xFF not in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY}
            raise OutboxFailed(f"{self._path}: {error}") from error
