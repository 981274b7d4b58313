"""Watch what a key covers: the state of one watch, without I/O.

A watch is told things in turns, each from one snapshot of the database. It remembers what it has said, and says what differs.
Ends come with no change in the database: the watch knows when the next one is (`next_end`), and takes a turn then.
"""

import heapq
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from consentry_authority.commands.actor import Actor
from consentry_authority.commands.list_covered_customers import check_shows, page_of_standings, resync
from consentry_authority.commands.live import usable_credential
from consentry_authority.commands.ports import View
from consentry_core import names
from consentry_core.errors import denied
from consentry_core.follow import Revision
from consentry_rule import (
    CustomerId,
    DataClass,
    Deny,
    Instant,
    Key,
    PartnerId,
    Reason,
    Secret,
    Standing,
    covered,
    next_end,
    opened_classes,
)

_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Covered:
    """The customer is covered, with these classes, from now on."""

    customer: CustomerId
    data_classes: frozenset[DataClass]


@dataclass(frozen=True, slots=True)
class Uncovered:
    """The customer is covered no longer, and why."""

    customer: CustomerId
    reason: Reason


@dataclass(frozen=True, slots=True)
class Synced:
    """The start is complete."""


CoverageEvent: TypeAlias = Covered | Uncovered | Synced


class CoverageWatch:
    """One watch, by the holder of a key's secret. `after` is where an earlier one was left."""

    def __init__(self, watcher: Actor, after: Revision | None) -> None:
        self._watcher = watcher
        self._key_name = watcher.credential
        self._after = after
        self._key: Key | None = None
        self._said: dict[CustomerId, frozenset[DataClass]] = {}
        self._ends: list[tuple[Instant, CustomerId]] = []
        self.revision: Revision | None = None
        self.next_end: Instant | None = None
        """When the coverage may change by itself, next."""

    def turn(self, view: View) -> list[CoverageEvent]:
        """What is to be said now. Unauthenticated or PermissionDenied when the key is no longer usable."""
        key, secret = self._usable_key(view)
        head = view.facts.head()
        if self.revision is None:
            events = self._start(view, key, head)
        elif self.revision.epoch != head.epoch:
            raise resync()
        else:
            events = self._go_on(view, key)
        self._key, self.revision = key, head
        ends = [self._ends[0][0]] if self._ends else []
        key_end = next_end(key, secret, None, view.now)
        self.next_end = min(ends + ([key_end] if key_end is not None else []), default=None)
        return events

    def _usable_key(self, view: View) -> tuple[Key, Secret]:
        key, secret = usable_credential(
            view.facts.credential(self._key_name), self._watcher.secret_id, self._watcher.address, view.now
        )
        if not isinstance(key, Key):
            raise denied(Deny(Reason.KEY_DELETED))
        return key, secret

    def _start(self, view: View, key: Key, head: Revision) -> list[CoverageEvent]:
        """Everything that is covered; after an earlier watch, everything about which something may have changed since."""
        if self._after is None:
            return [*(event for event in self._look(view, key, _all(view, key)) if isinstance(event, Covered)), Synced()]
        check_shows(head, self._after)
        number = self._after.number
        since = view.facts.commit_time_of(number) or Instant(0)
        unlisted = {customer for customer, listed, unlisted in key.unlisted if listed <= number < unlisted}
        changed = _changed_after(view, number, key.partner) | unlisted
        changed |= {customer for customer, listed in key.listed_numbers.items() if listed > number}
        events: list[CoverageEvent] = []
        off_the_list = view.facts.standings_to(key.partner, sorted(unlisted - key.customers))
        for standing in itertools.chain(_all(view, key), off_the_list):
            if standing.disconnect_time is not None and standing.disconnect_time < since:
                continue  # they had parted before: what the customer does since is none of the partner's business
            (event,) = self._look(view, key, (standing,))
            if standing.customer in changed or _ended_between(standing, since, view.now):
                events.append(event)
        return [*events, Synced()]

    def _go_on(self, view: View, key: Key) -> list[CoverageEvent]:
        """What differs from what was said."""
        assert self.revision is not None  # noqa: S101 - a turn came before
        assert self._key is not None  # noqa: S101
        touched = _changed_after(view, self.revision.number, key.partner) | (self._key.customers ^ key.customers)
        while self._ends and self._ends[0][0] <= view.now:
            touched.add(heapq.heappop(self._ends)[1])
        before = {customer: self._said.get(customer) for customer in touched}
        events = self._look(view, key, view.facts.standings_to(key.partner, sorted(touched)))
        return [event for event in events if _differs(event, before)]

    def _look(self, view: View, key: Key, standings: Iterable[Standing]) -> list[CoverageEvent]:
        """One event a standing, as it is now; what is said is remembered."""
        events: list[CoverageEvent] = []
        for standing in standings:
            decision = covered(key, standing, view.now)
            if isinstance(decision, Deny):
                self._said.pop(standing.customer, None)
                events.append(Uncovered(standing.customer, decision.reason))
                continue
            classes = opened_classes(standing)
            self._said[standing.customer] = classes
            events.append(Covered(standing.customer, classes))
            end = next_end(None, None, standing, view.now)
            if end is not None and not standing.demo:
                heapq.heappush(self._ends, (end, standing.customer))
        return events


def _all(view: View, key: Key) -> Iterator[Standing]:
    """All standings that the key could cover."""
    after = ""
    while True:
        standings, after = page_of_standings(view.facts, key, after=after, limit=_PAGE)
        yield from standings
        if not after:
            return


def _changed_after(view: View, number: int, partner: PartnerId) -> set[CustomerId]:
    """The customers that have stood otherwise towards the partner at some moment since."""
    changed: set[CustomerId] = set()
    for change in view.facts.changes_after(number):
        if names.CONSENT.matches(change.subject):
            customer, towards = names.CONSENT.parse(change.subject, "subject")
            if towards == partner:
                changed.add(CustomerId(customer))
    return changed


def _differs(event: CoverageEvent, before: dict[CustomerId, frozenset[DataClass] | None]) -> bool:
    match event:
        case Covered():
            return before[event.customer] != event.data_classes
        case Uncovered():
            return before[event.customer] is not None
        case Synced():
            return True


def _ended_between(standing: Standing, since: Instant, now: Instant) -> bool:
    end = next_end(None, None, standing, since)
    return end is not None and end <= now
