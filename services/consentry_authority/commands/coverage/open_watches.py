"""The coverage watches that are open: what their keys cover, kept once for each key while anybody watches with it.

1. A key's first watch begins to look, page by page (`CoverageView.begin`); all others of it wait for the same look.
2. From then on nobody reads the database but for the customers that a commit says it has touched, and for those whose end has
   come: once for all watches of the key. Commits are heard of before they are answered, so a view is behind by what it has
   not looked at yet, and by nothing else.
3. What differs goes into the view's log, and its watches are woken, a slice at a time (`Waking`).

What is kept is bounded: so many customers in all that one partner's keys watch, whatever the number of their watches, and a
log of 10,000 events for each key.
"""

import asyncio
import contextlib
import logging
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from functools import partial
from typing import Final

from consentry_authority.commands.coverage.list_covered_customers import STEP, customer_of, listed_customers, step_of_standings
from consentry_authority.commands.coverage.watch_coverage import CoverageView, Marks, Seen
from consentry_authority.commands.coverage.work import CoverageWork
from consentry_authority.commands.ports import Commit, Commits, Current, View
from consentry_core.pacing.waking import Bell, Waking
from consentry_core.protocol.marks import MarkedKey
from consentry_core.values import names
from consentry_core.values.clock import SECOND, BootTime, Clock
from consentry_core.values.errors import ConsentryError, ResourceExhausted, Unavailable, denied
from consentry_core.values.reasons import ErrorReason
from consentry_rule import CustomerId, Deny, KeyKind, Reason, usable

_log = logging.getLogger(__name__)
HEARTBEAT: Final = 15.0
"""Seconds of quiet after which a watch says that it is alive."""

_DEMO = CustomerId(names.DEMO_CUSTOMER)


class Watched:
    """A key that is watched with, and how far looking at what it covers has come."""

    def __init__(self, name: str, key: MarkedKey) -> None:
        self.name = name
        self.partner = key.partner
        self.organization = names.PARTNER.format(key.partner)
        self.view: CoverageView
        self.failed: ConsentryError | None = None
        """Why nobody can watch with it any more."""
        self.ready = asyncio.Event()
        """Whether the view can be told, or has failed."""
        self.bells: set[Bell] = set()
        self.bell = Bell()  # of who looks
        self.touched: set[CustomerId] = set()
        self.key_touched = False
        self.looking: asyncio.Task[None] | None = None
        self.busy = True
        self.kept = 0
        self.rung_at = BootTime(0)

    def concerned(self, customers: Collection[CustomerId]) -> Collection[CustomerId]:
        """Those, of whom something was committed, that the key can cover."""
        if not self.ready.is_set() or self.failed is not None:
            return customers
        key = self.view.marks.key
        if key.kind is KeyKind.SPECIFIC_CUSTOMERS:
            return [customer for customer in customers if customer in key.customers]
        return [customer for customer in customers if (customer == _DEMO) is (key.kind is KeyKind.DEMO)]


class CoverageWatches:
    """All of them. `most_customers`: that one partner's keys may watch together; 0: any number."""

    def __init__(
        self, commits: Commits, current: Current, work: CoverageWork, clock: Clock, *, most_customers: int = 0
    ) -> None:
        self._current = current
        self._work = work
        self._clock = clock
        self._most = most_customers
        self._watched: dict[str, Watched] = {}
        self._kept: Counter[str] = Counter()  # customers in all views, by organisation
        self._waking = Waking()
        commits.subscribe(self)

    @contextlib.asynccontextmanager
    async def watching(self, name: str, key: MarkedKey) -> AsyncIterator[tuple[Watched, Bell]]:
        """What a key covers, and a bell that rings when there is more to tell, for as long as somebody watches.

        ResourceExhausted when the partner's keys watch too many customers.
        """
        watched = self._watched.get(name)
        if watched is None or watched.failed is not None:
            watched = self._watched[name] = Watched(name, key)
            watched.looking = asyncio.create_task(self._look_on(watched))
        bell = Bell()
        watched.bells.add(bell)
        try:
            await watched.ready.wait()
            if watched.failed is not None:
                raise watched.failed.with_traceback(None)
            yield watched, bell
        finally:
            watched.bells.discard(bell)
            if not watched.bells:
                self._leave(watched)

    def _leave(self, watched: Watched) -> None:
        if watched.looking is not None:
            watched.looking.cancel()
        self._keep(watched, 0)
        if self._watched.get(watched.name) is watched:
            del self._watched[watched.name]

    def _keep(self, watched: Watched, count: int) -> None:
        organization = watched.organization
        self._kept[organization] += count - watched.kept
        watched.kept = count
        if not self._kept[organization]:
            del self._kept[organization]

    # Looking

    async def _look_on(self, watched: Watched) -> None:
        """Look as long as it is watched; what goes wrong ends all watches of the key."""
        try:
            await self._begin(watched)
            while True:
                await self._look_again(watched)
                watched.ready.set()
                await watched.bell.wait(self._until_next_end(watched.view))
                watched.bell.clear()
        except ConsentryError as error:
            watched.failed = error
        except Exception:  # noqa: BLE001 - whatever it was, nobody may wait for ever for who looks no more
            _log.exception("coverage is watched no longer key=%s", watched.name)
            watched.failed = _lost()
        watched.ready.set()
        self._ring(watched)

    async def _begin(self, watched: Watched) -> None:
        head = await self._current.head()  # before the look: whatever is committed from here on is heard of
        key = await self._key(watched)
        marks, listed = await self._work.read(watched.organization, lambda _: (Marks(key), listed_customers(key)))
        view = watched.view = CoverageView(marks, head)
        after, more = "", True
        while more:
            seen, after = await self._work.read(watched.organization, partial(_first_look, marks, listed, after))
            view.begin(seen)
            self._keep(watched, len(view))
            if self._most and self._kept[watched.organization] > self._most:
                raise ResourceExhausted(
                    f"your organisation's keys would watch more than {self._most:,} customers together, as many as they may; "
                    "watch with one key for all your programs, or with keys that cover fewer customers",
                    retry_after=60.0,
                    reason=ErrorReason.WATCHED_CUSTOMERS_EXCEEDED,
                )
            more = bool(after)

    async def _look_again(self, watched: Watched) -> None:
        """Look at everything that has been heard of, until there is nothing more."""
        view, looked = watched.view, False
        watched.busy = True
        while watched.key_touched or watched.touched or self._ends_are_due(view) or not looked:
            head = await self._current.head()
            touched, watched.touched = watched.touched | view.due(self._clock.now()), set()
            if watched.key_touched:
                watched.key_touched = False
                touched |= await self._changes_of_the_list(watched)
            shown = await self._look_at(watched, sorted(touched))
            view.advance(head, touched, shown)
            self._keep(watched, len(view))
            looked = True
        watched.busy = False

    async def _changes_of_the_list(self, watched: Watched) -> set[CustomerId]:
        key, view = await self._key(watched), watched.view
        if key is view.marks.key:
            return set()
        view.marks, changed = await self._work.read(
            watched.organization, partial(_relisted, view.marks.key, key, view.revision.number)
        )
        self._ring(watched)  # a secret of it may have died: that is for each watch to see
        return changed

    async def _look_at(self, watched: Watched, customers: Sequence[CustomerId]) -> int:
        """Look at some customers, a step at a time; up to which change all of them have been looked at."""
        view, numbers = watched.view, []
        for start in range(0, len(customers), STEP):
            piece = {customer: view.seen_at(customer) for customer in customers[start : start + STEP]}
            seen, number = await self._work.read(watched.organization, partial(_another_look, view.marks, piece))
            numbers.append(number)
            view.take(seen)
            self._ring(watched)
        return min(numbers, default=0)

    async def _key(self, watched: Watched) -> MarkedKey:
        key = await self._current.credential(watched.name)
        if not isinstance(key, MarkedKey):
            raise denied(Deny(Reason.KEY_DELETED))
        decision = usable(key, self._clock.now())
        if isinstance(decision, Deny):
            raise denied(decision)
        return key

    def _ends_are_due(self, view: CoverageView) -> bool:
        return view.next_end is not None and view.next_end <= self._clock.now()

    def _until_next_end(self, view: CoverageView) -> float | None:
        return None if view.next_end is None else max(view.next_end - self._clock.now(), 0) / SECOND

    # Commits

    def committed(self, commit: Commit) -> None:
        """Something was committed: look at what it has touched."""
        if not self._watched:
            return
        by_partner: defaultdict[str, set[CustomerId]] = defaultdict(set)
        for subject in commit.subjects:
            found = customer_of(subject)
            if found is not None:
                by_partner[found[1]].add(found[0])
        now = self._clock.boot()
        for watched in self._watched.values():
            touched = watched.concerned(by_partner.get(watched.partner, ()))
            watched.touched.update(touched)
            watched.key_touched |= watched.name in commit.subjects or _DEMO in touched
            if watched.key_touched or watched.touched or (not watched.busy and self._ends_are_due(watched.view)):
                watched.bell.ring()
            elif not watched.busy and watched.view.revision.number < commit.revision.number:
                watched.view.advance(commit.revision, (), 0)
            if now - watched.rung_at >= HEARTBEAT * SECOND:
                self._ring(watched)  # also when others' changes come all the time

    def missed(self) -> None:
        """Something may have been committed elsewhere: whoever watches begins anew after what it was told last."""
        for watched in self._watched.values():
            if watched.looking is not None:
                watched.looking.cancel()
            watched.failed = _lost()
            watched.ready.set()
            self._ring(watched)

    def _ring(self, watched: Watched) -> None:
        watched.rung_at = self._clock.boot()
        self._waking.ring(watched.bells)


def _lost() -> Unavailable:
    return Unavailable("the watch was lost; watch again after the last revision", reason=ErrorReason.WATCH_LOST)


def _first_look(marks: Marks, listed: Sequence[CustomerId], after: str, view: View) -> tuple[Sequence[Seen], str]:
    standings, last = step_of_standings(view.facts, marks.key, listed, after=after)
    return [marks.look(standing, 0, view.now) for standing in standings], last


def _another_look(marks: Marks, seen_at: Mapping[CustomerId, int], view: View) -> tuple[Sequence[Seen], int]:
    standings = view.facts.standings_to(marks.key.partner, list(seen_at))
    return [marks.look(standing, seen_at[standing.customer], view.now) for standing in standings], view.facts.head().number


def _relisted(before: MarkedKey, key: MarkedKey, number: int, _: View) -> tuple[Marks, set[CustomerId]]:
    marks = Marks(key)
    return marks, set(before.customers ^ key.customers) | marks.relisted_after(number)
