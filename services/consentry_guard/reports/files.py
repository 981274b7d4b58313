"""Reports of what was read and refused, on their way to the authority: made here, kept on disk until they are acknowledged.

Each incarnation has a folder of its own below the guard's, locked while it lives, with a file for each report. The report that
is being added to is written anew every time; once it is sent it stays as it is, and is sent under the same number until it is
acknowledged, so that the authority counts nothing twice. What a dead incarnation has left is sent by the next one, under the
dead one's name.

A report says for which time it speaks, and each begins where the one before ended: what a killed process had not yet written
shows as an interval that nobody reported.
"""

import contextlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, replace
from pathlib import Path

from consentry_core.process.folders import FolderLock
from consentry_core.process.settings import SettingError
from consentry_core.protocol.refused_call import RefusedCall
from consentry_guard.reports.refusals import NOTHING_REFUSED, Refused
from consentry_guard.reports.tally import HOUR, Count
from consentry_rule import CustomerId, DataClass, Instant

MOST_COUNTS = 500
"""In one report: as many as the authority takes."""

LONGEST_SPAN = 24 * HOUR
"""Of one report. One that cannot be sent for longer is followed by another: the authority takes none of more than a month."""


@dataclass(frozen=True, slots=True)
class Report:
    """What an incarnation handed out, and what it refused, from `start` to `end`. `last`: nothing since, and never will.

    `more`: what else it handed out in that time comes in the next report.
    """

    incarnation: str
    service: str
    number: int
    start: Instant
    end: Instant
    counts: tuple[Count, ...] = ()
    last: bool = False
    refused: Refused = NOTHING_REFUSED
    more: bool = False


class Reports:
    """The reports of one incarnation, and what others before it have left. Blocks on the disk: not for an event loop."""

    def __init__(self, folder: Path, incarnation: str, service: str, start: Instant) -> None:
        self._folder = folder
        self._own = folder / incarnation
        self._own.mkdir(mode=0o700, parents=True)
        self._lock = FolderLock(self._own, "lock", "guard")
        self._open = Report(incarnation, service, 1, start, start)
        self._sent: list[Report] = []

    def left(self) -> Iterator[tuple[Path, Report]]:
        """What dead incarnations have left, in the order in which it is to be sent."""
        for folder in sorted(path for path in self._folder.iterdir() if path.is_dir() and path != self._own):
            try:
                lock = FolderLock(folder, "lock", "guard")
            except SettingError:
                continue  # it lives
            try:
                for file in sorted(folder.glob("*.json")):
                    report = _read(file)
                    if report is not None:
                        yield file, report
                if not list(folder.glob("*.json")):
                    (folder / "lock").unlink()
                    with contextlib.suppress(OSError):  # something else lies there: it stays
                        folder.rmdir()
            finally:
                lock.release()

    def add(self, counts: Iterable[Count], end: Instant, *, refused: Refused = NOTHING_REFUSED, last: bool = False) -> None:
        """This was handed out until now, and refused: on the disk when this returns."""
        merged = {_subject(count): count for count in self._open.counts}
        for count in counts:
            before = merged.get(_subject(count))
            merged[_subject(count)] = count if before is None else _sum(before, count)
        refused = self._open.refused.followed_by(refused)
        end = max(end, self._open.start)
        self._open = replace(self._open, end=end, counts=tuple(merged.values()), last=last, refused=refused)
        while self._open.end - self._open.start > LONGEST_SPAN:
            self._split(Instant(self._open.start + LONGEST_SPAN))
        while len(self._open.counts) > MOST_COUNTS:
            self._split(self._open.end)
        if self._open.counts or last or refused:
            self._write(self._open)

    def _split(self, end: Instant) -> None:
        """Put the open report's counts up to a time, as many as it may hold, into one that is to be sent as it is."""
        report = self._open
        early = tuple(count for count in report.counts if count.hour <= end)
        late = tuple(count for count in report.counts if count.hour > end)
        more = len(early) > MOST_COUNTS
        part = replace(report, end=end, counts=early[:MOST_COUNTS], last=False, refused=NOTHING_REFUSED, more=more)
        start = report.start if more else end
        self._open = replace(report, number=report.number + 1, start=start, counts=early[MOST_COUNTS:] + late)
        self._sent.append(part)
        self._write(part)

    def next(self) -> Report:
        """What is to be sent now: the oldest that is not acknowledged. From now on it stays as it is."""
        if not self._sent:
            self._sent.append(self._open)
            report = self._open
            self._open = Report(report.incarnation, report.service, report.number + 1, report.end, report.end)
        return self._sent[0]

    @property
    def pressing(self) -> bool:
        """Whether there is something to tell, and not only that nothing was read."""
        return bool(self._sent or self._open.counts or self._open.refused or self._open.last)

    def acknowledged(self) -> None:
        """`next` has arrived."""
        report = self._sent.pop(0)
        self._file(report).unlink(missing_ok=True)

    def close(self) -> None:
        """Leave what is not acknowledged to the next incarnation."""
        if not list(self._own.glob("*.json")):
            (self._own / "lock").unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                self._own.rmdir()
        self._lock.release()

    def _file(self, report: Report) -> Path:
        return self._own / f"{report.number:012}.json"

    def _write(self, report: Report) -> None:
        file = self._file(report)
        part = file.with_suffix(".part")
        part.unlink(missing_ok=True)
        made = os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)  # whatever the umask lets others do
        with os.fdopen(made, "w", encoding="utf-8") as opened:
            json.dump(_plain(report), opened, separators=(",", ":"))
            opened.flush()
            os.fsync(opened.fileno())
        part.replace(file)


def _subject(count: Count) -> tuple[Instant, str, CustomerId, DataClass | None]:
    return count.hour, count.key, count.customer, count.data_class


def _sum(one: Count, other: Count) -> Count:
    return replace(
        one,
        messages=one.messages + other.messages,
        readings=one.readings + other.readings,
        bytes=one.bytes + other.bytes,
        devices=max(one.devices, other.devices),
        refusals=one.refusals + other.refusals,
    )


def _plain(report: Report) -> dict[str, object]:
    counts = [
        [
            count.hour, count.key, count.customer, count.data_class and count.data_class.value,
            count.messages, count.readings, count.bytes, count.devices, count.refusals,
        ]
        for count in report.counts
    ]  # fmt: skip
    refused = [[astuple(call) for call in report.refused.calls], report.refused.left_out]
    return {name: getattr(report, name) for name in _PLAIN} | {"counts": counts, "refused": refused}


_PLAIN = ("incarnation", "service", "number", "start", "end", "last", "more")


def _read(file: Path) -> Report | None:
    """A report as it was written; None for one that cannot be read, which stays where it is."""
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
        counts = tuple(
            Count(Instant(hour), key, CustomerId(customer), data_class and DataClass(data_class), *numbers)
            for hour, key, customer, data_class, *numbers in said["counts"]
        )
        calls, left_out = said.get("refused", ((), ()))  # not there: written by an older version
        refused = Refused(tuple(RefusedCall(*call) for call in calls), tuple((reason, count) for reason, count in left_out))
        plain = {"more": False} | said  # likewise
        return Report(**{name: plain[name] for name in _PLAIN}, counts=counts, refused=refused)
    except (OSError, ValueError, KeyError, TypeError):
        return None
