"""Judges what was put on record: writes that began, changes that were answered ENFORCED, processes that were stopped.

All times are nanoseconds of the host's one boot-time clock.

A change takes one or more *subjects* away: ("consent", partner, customer, data class), ("subscription", customer),
("key", name) or ("listed", key's name, customer). From the answer ENFORCED until somebody begins to give it back, the subject
is denied, and a write that needs it is late. A write needs several subjects; each counts by itself.

A write lasts from before its check until it was handed to the transport, and the whole of it must lie outside: that is stricter
than the promise where a process was stopped by the kernel in between. Such a write is told apart, as *straddling*: the
published exception. It is one only if the stop as a whole, from when the process stood still until it was sent on, lies within
the write.
"""

import bisect
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

Subject = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Write:
    """One write that some process has begun. `call` and `number` name it in what the client received."""

    process: str
    before: int
    until: int
    call: str
    number: int
    credential: str
    partner: str
    accesses: tuple[tuple[str, str], ...]

    def subjects(self) -> Iterator[Subject]:
        """Everything that it needs."""
        yield "key", self.credential
        for customer, data_class in self.accesses:
            yield "consent", self.partner, customer, data_class
            yield "listed", self.credential, customer
            yield "subscription", customer


@dataclass(slots=True)
class Denial:
    """A subject is denied: from an ENFORCED answer until a call that gives it back begins. `ended` None: to this day."""

    subject: Subject
    began: int
    ended: int | None = None


@dataclass(frozen=True, slots=True)
class Pause:
    """A process stood still from `stopped`, when it was seen to, until `continued`, when it was about to be sent on."""

    process: str
    stopped: int
    continued: int


@dataclass(frozen=True, slots=True)
class Received:
    """A message that a client had in hands."""

    call: str
    number: int
    time: int
    size: int


@dataclass(slots=True)
class AfterTheCut:
    """What had been handed to the transport before a cut and was received after it."""

    messages: int = 0
    size: int = 0
    longest: int = 0
    by_call: dict[str, int] = field(default_factory=dict)


class Denials:
    """Denials by subject, to be asked about times."""

    def __init__(self, denials: Iterable[Denial]) -> None:
        self._by_subject: dict[Subject, list[Denial]] = {}
        for denial in sorted(denials, key=lambda denial: denial.began):
            self._by_subject.setdefault(denial.subject, []).append(denial)

    def within(self, subject: Subject, start: int, end: int) -> Denial | None:
        """A denial of the subject at some time after `start` and before `end`, if there was one: the last."""
        denials = self._by_subject.get(subject)
        if not denials:
            return None
        last = bisect.bisect_left(denials, end, key=lambda denial: denial.began) - 1
        if last < 0 or (denials[last].ended is not None and denials[last].ended <= start):  # type: ignore[operator]
            return None
        return denials[last]

    def begun_within(self, subject: Subject, start: int, end: int) -> Denial | None:
        """The first denial of the subject that began after `start` and before `end`, if there was one."""
        denials = self._by_subject.get(subject, [])
        first = bisect.bisect_right(denials, start, key=lambda denial: denial.began)
        return denials[first] if first < len(denials) and denials[first].began < end else None


@dataclass(frozen=True, slots=True)
class Verdict:
    """`late` breaks the promise. `straddling` is the exception that is stated with it."""

    writes: int
    late: Sequence[tuple[Write, Denial]]
    straddling: Sequence[tuple[Write, Denial]]
    longest_step: int


def judge(writes: Iterable[Write], denials: Denials, pauses: Iterable[Pause]) -> Verdict:
    """Which writes began although what they hold was denied."""
    count, longest = 0, 0
    late: list[tuple[Write, Denial]] = []
    straddling: list[tuple[Write, Denial]] = []
    stops: dict[str, list[Pause]] = {}
    for pause in pauses:
        stops.setdefault(pause.process, []).append(pause)
    for write in writes:
        count += 1
        stopped = any(
            write.before <= pause.stopped and pause.continued <= write.until for pause in stops.get(write.process, ())
        )
        if not stopped:
            longest = max(longest, write.until - write.before)
        for subject in write.subjects():
            denial = denials.within(subject, write.before, write.until)
            if denial is not None:
                (straddling if stopped else late).append((write, denial))
                break
    return Verdict(count, late, straddling, longest)


def after_the_cut(writes: Mapping[tuple[str, int], Write], received: Iterable[Received], denials: Denials) -> AfterTheCut:
    """What clients received after a change was ENFORCED although it was sent, rightly, before."""
    found = AfterTheCut()
    for message in received:
        write = writes.get((message.call, message.number))
        if write is None:
            continue
        cuts = [denials.begun_within(subject, write.until, message.time) for subject in write.subjects()]
        lags = [message.time - cut.began for cut in cuts if cut is not None]
        if lags:
            found.messages += 1
            found.size += message.size
            found.longest = max(found.longest, *lags)
            found.by_call[message.call] = found.by_call.get(message.call, 0) + message.size
    return found


def read_writes(process: str, path: Path) -> list[Write]:
    """A process's record; see `support.recorded_process`."""
    writes: dict[tuple[str, int], Write] = {}
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            kind, *rest = json.loads(line)
            if kind == "t":
                call, number, until = rest
                former = writes[call, number]
                writes[call, number] = Write(
                    process, former.before, until, call, number, former.credential, former.partner, former.accesses
                )
                continue
            before, begun, call, number, credential, partner, accesses = rest
            scope = tuple((customer, data_class) for customer, data_class in accesses)
            writes[call, number] = Write(process, before, begun, call, number, credential, partner, scope)
    return list(writes.values())


def read_received(path: Path) -> Iterator[Received]:
    """What readers received; see `support.many_readers`."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            call, number, time, size = json.loads(line)
            yield Received(call, number, time, size)
