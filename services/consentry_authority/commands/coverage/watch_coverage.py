"""Watch what a key covers, without I/O: what is kept once for all watches of a key, and the place of each of them.

A `CoverageView` is what a key covers as it is told to everybody who watches with it. It is looked at once for all of them: in
the beginning page by page, and from then on for the customers that something was committed about, and for those whose end has
come. What has changed goes into its log. A `CoverageReader` is one watch's place: first in what is covered, or in what it has
missed, and then in the log.

Nothing is told by comparing two looks alone: between them a customer may have been withdrawn and given back. The marks of its
standing and of the key's list say so (`opened_number`, `closed_number`, `unlisted`), and then it is told to have left before
it is told to be there.
"""

import heapq
from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from consentry_core.protocol.follow import Revision
from consentry_core.protocol.marks import MarkedKey, MarkedStanding
from consentry_core.values.errors import Unavailable
from consentry_core.values.reasons import ErrorReason
from consentry_rule import CustomerId, DataClass, Deny, Instant, Reason, covered, next_end, opened_classes

WITHDRAWN: Final = "WITHDRAWN"
"""Why a customer left that is there again by the time that anybody looks: what it was is not known any more."""

_MOST_LOGGED = 10_000
_SLACK = 1_000  # ends that are no longer so, before the heap is made anew


@dataclass(frozen=True, slots=True)
class Covered:
    """The customer is covered, with these classes, from now on."""

    customer: CustomerId
    data_classes: frozenset[DataClass]


@dataclass(frozen=True, slots=True)
class Uncovered:
    """The customer is covered no longer, and why."""

    customer: CustomerId
    reason: str


@dataclass(frozen=True, slots=True)
class Synced:
    """The start is complete."""


CoverageEvent: TypeAlias = Covered | Uncovered | Synced
Told: TypeAlias = tuple[str, CoverageEvent]
"""With the revision to come back after, as text."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look at one customer found. `classes` None: not covered, for this reason. `left`: why it was not, meanwhile."""

    customer: CustomerId
    classes: frozenset[DataClass] | None
    reason: str = ""
    left: str = ""
    end: Instant | None = None


class Marks:
    """What a key's list says of a time that has passed. Made anew for each state of the key."""

    def __init__(self, key: MarkedKey) -> None:
        self.key = key
        self._off = {customer: (first, last) for customer, first, last in key.unlisted}

    def relisted_after(self, number: int) -> set[CustomerId]:
        """Who came onto the list after a change, or left it."""
        off = {customer for customer, (_, last) in self._off.items() if last > number}
        return off | {customer for customer, listed in self.key.listed_numbers.items() if listed > number}

    def off_since(self, customer: CustomerId, number: int) -> bool:
        """Whether one that may have been on the list at a change was taken off it after."""
        first, last = self._off.get(customer, (0, 0))
        return first <= number < last

    def look(self, standing: MarkedStanding, number: int, now: Instant) -> Seen:
        """What is so now, and whether it was otherwise between a change and now."""
        customer, decision = standing.customer, covered(self.key, standing, now)
        if isinstance(decision, Deny):
            return Seen(customer, None, decision.reason.value)
        left = WITHDRAWN if standing.closed_number > number else ""
        if not left and self.off_since(customer, number):
            left = Reason.NOT_ON_KEY.value
        end = None if standing.demo else next_end(None, None, standing, now)
        return Seen(customer, opened_classes(standing), left=left, end=end)

    def missed(self, standing: MarkedStanding, number: int, since: Instant, now: Instant) -> Iterator[CoverageEvent]:
        """What a watch that dealt with everything up to a change, committed at `since`, has to be told of a customer."""
        seen = self.look(standing, number, now)
        if seen.classes is None:
            if seen.reason == Reason.NOT_ON_KEY.value:
                told = self.off_since(seen.customer, number)
            else:
                told = standing.closed_number > number or (standing.connected and _ended_between(standing, since, now))
            if told:
                yield Uncovered(seen.customer, seen.reason)
            return
        numbers = [standing.opened_number, self.key.listed_numbers.get(seen.customer, 0)]
        numbers.extend(changed for _, changed in standing.class_numbers)
        if seen.left:
            yield Uncovered(seen.customer, seen.left)
        if seen.left or max(numbers) > number:
            yield Covered(seen.customer, seen.classes)


def _ended_between(standing: MarkedStanding, since: Instant, now: Instant) -> bool:
    end = next_end(None, None, standing, since)
    return end is not None and end <= now


class CoverageView:
    """What a key covers, for all who watch with it. Everything up to `revision` has been looked at, and is in the log."""

    def __init__(self, marks: Marks, revision: Revision) -> None:
        self.marks = marks
        self.revision = revision
        self._covered: dict[CustomerId, frozenset[DataClass]] = {}
        self._order: list[CustomerId] = []
        self._ends: list[tuple[Instant, CustomerId]] = []
        self._end_of: dict[CustomerId, Instant] = {}
        self._ahead: dict[CustomerId, int] = {}
        self._log: deque[Told] = deque()
        self._dropped = 0

    def __len__(self) -> int:
        return len(self._covered)

    @property
    def end(self) -> int:
        """Where the log ends."""
        return self._dropped + len(self._log)

    def seen_at(self, customer: CustomerId) -> int:
        """The number of the change up to which a customer has been looked at, at least."""
        return max(self.revision.number, self._ahead.get(customer, 0))

    def begin(self, seen: Iterable[Seen]) -> None:
        """Take what is covered in the beginning, in the order of names. Nobody has been told anything yet."""
        for each in seen:
            if each.classes is not None:
                self._covered[each.customer] = each.classes
                self._order.append(each.customer)
                self._ends_at(each.customer, each.end)

    def take(self, seen: Iterable[Seen]) -> None:
        """Take another look at some customers: what differs goes into the log. It is told whole with the next `advance`."""
        revision = str(self.revision)
        for event in [event for each in seen for event in self._differences(each)]:
            self._log.append((revision, event))
            if len(self._log) > _MOST_LOGGED:
                self._log.popleft()
                self._dropped += 1

    def advance(self, revision: Revision, looked_at: Iterable[CustomerId], shown: int) -> None:
        """Everything up to a revision has been looked at; these customers as the change of number `shown` left them."""
        if self._log and self._log[-1][0] != str(revision):
            self._log[-1] = (str(revision), self._log[-1][1])
        self.revision = revision
        self._ahead = dict.fromkeys(looked_at, shown) if shown > revision.number else {}

    def _differences(self, seen: Seen) -> Iterator[CoverageEvent]:
        before = self._covered.get(seen.customer)
        if seen.classes is None:
            if before is not None:
                del self._covered[seen.customer], self._order[bisect_left(self._order, seen.customer)]
                self._ends_at(seen.customer, None)
                yield Uncovered(seen.customer, seen.reason)
            return
        if before is None:
            insort(self._order, seen.customer)
        self._covered[seen.customer] = seen.classes
        self._ends_at(seen.customer, seen.end)
        if before is not None and seen.left:
            yield Uncovered(seen.customer, seen.left)
        if seen.left or before != seen.classes:
            yield Covered(seen.customer, seen.classes)

    def _ends_at(self, customer: CustomerId, end: Instant | None) -> None:
        if self._end_of.get(customer) == end:
            return
        if end is None:
            del self._end_of[customer]
            return
        self._end_of[customer] = end
        heapq.heappush(self._ends, (end, customer))
        if len(self._ends) > 2 * len(self._end_of) + _SLACK:
            self._ends = [(end, customer) for customer, end in self._end_of.items()]
            heapq.heapify(self._ends)

    @property
    def next_end(self) -> Instant | None:
        """When the coverage may change by itself, next."""
        while self._ends and self._end_of.get(self._ends[0][1]) != self._ends[0][0]:
            heapq.heappop(self._ends)
        return self._ends[0][0] if self._ends else None

    def due(self, now: Instant) -> set[CustomerId]:
        """Those whose end has come."""
        due = set()
        while (end := self.next_end) is not None and end <= now:
            customer = heapq.heappop(self._ends)[1]
            del self._end_of[customer]
            due.add(customer)
        return due

    def page(self, after: str, limit: int) -> list[CoverageEvent]:
        """The next that are covered."""
        start = bisect_right(self._order, after)
        return [Covered(customer, self._covered[customer]) for customer in self._order[start : start + limit]]

    def told(self, index: int, limit: int) -> list[Told]:
        """What the log says from a place on. Unavailable when that is in it no longer."""
        start = index - self._dropped
        if start < 0:
            raise Unavailable(
                "more has changed than is kept for a watch that is not read; watch again after the last revision",
                reason=ErrorReason.WATCH_BEHIND,
            )
        return [self._log[at] for at in range(start, min(start + limit, len(self._log)))]


class CoverageReader:
    """One watch's place. `after`: where an earlier one was left, so that it is told what it missed and not what there is."""

    def __init__(self, view: CoverageView, after: Revision | None = None) -> None:
        self._view = view
        self._index = view.end
        self._walking = after is None
        self._position = ""
        self.revision = "" if after is None else str(after)
        """Of what was said last."""
        self._start = view.revision if after is None or after.number < view.revision.number else after

    @property
    def owes(self) -> bool:
        """Whether there is something to be said."""
        return self._walking or self._index < self._view.end

    @property
    def at(self) -> str:
        """What to come back after, once everything has been said."""
        return max(str(self._view.revision), self.revision, key=_number)

    def caught_up(self) -> Told:
        """What one that has come back is told when it has been told what it missed."""
        self.revision = str(self._start)
        return self.revision, Synced()

    def piece(self, limit: int) -> list[Told]:
        """What is to be said next; nothing once everything is."""
        if self._walking:
            return self._walk(limit)
        news = self._news(limit)
        if news:
            self.revision = news[-1][0]
        return news

    def _news(self, limit: int) -> list[Told]:
        news = self._view.told(self._index, limit)
        self._index += len(news)
        return news

    def _walk(self, limit: int) -> list[Told]:
        # Of who has been told already a change is told at once; everybody else is told as it is when its turn comes.
        while news := self._news(limit):
            if events := [("", event) for _, event in news if _customer(event) <= self._position]:
                return events
        page = self._view.page(self._position, limit)
        events = [("", event) for event in page]
        if len(page) < limit:
            self._walking, self.revision = False, str(self._view.revision)
            return [*events, (self.revision, Synced())]
        self._position = _customer(page[-1])
        return events


def _customer(event: CoverageEvent) -> str:
    return "" if isinstance(event, Synced) else event.customer


def _number(revision: str) -> int:
    return int(revision.rpartition(".")[2] or 0)
