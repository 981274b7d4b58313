"""One reader's view of the feed, without I/O: which customers it is told about, from where on, and what of an entry it gets.

A customer is a *member* of the reader from when `CustomerAdded` was said until `CustomerRemoved` is. A member that was valid,
was withdrawn and is valid again is removed and added, with a gap between, whether the reader was open meanwhile or came back
with a cursor.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from heapq import merge
from typing import TypeAlias, assert_never

from consentry_core.values.errors import ConsentryError
from consentry_devices.blocks.columns import since
from consentry_devices.feed.coverage import Added, Change, Coverage, Removed
from consentry_devices.feed.cursor import MOST_NAMED, NOTHING, Cursor, Known, Phase, digest, laid_over
from consentry_devices.feed.filter import Filter
from consentry_devices.feed.joining import Extent
from consentry_devices.feed.returning import Away, Fate
from consentry_devices.log.entries import Entry, Kind, Removals
from consentry_guard import Access
from consentry_rule import Allow, CustomerId, DataClass, Deny, Instant, KeyKind

InventoryPart: TypeAlias = Callable[[CustomerId, bytes], bytes | None]
"""What of a customer's stored inventory change concerns the devices that were asked for; None: nothing."""

_NOT_TOLD = 2**63
"""Beyond every entry: of this class nothing is handed out."""
_NO_CLASSES: frozenset[DataClass] = frozenset()


_SORTED_AT_ONCE = 2_000  # some two milliseconds
_REMEMBERED = 1_000


@dataclass(frozen=True, slots=True)
class Missing:
    """Say that some of a member's data was removed from the log before it was told, of these classes, up to an instant."""

    customer: CustomerId
    data_classes: frozenset[DataClass]
    until: Instant


@dataclass(frozen=True, slots=True)
class _Closed:
    """Classes of a customer that were open to the reader and are not. Up to `since` all of it was told; None: nobody knows."""

    classes: frozenset[DataClass]
    since: Instant | None


@dataclass(frozen=True, slots=True)
class _Member:
    """`after`: by open class, the entry up to which it has been told, by a snapshot or by the reader's start."""

    after: Mapping[DataClass, int]
    opened: int


class Reader:
    """Membership and filtering of one `Watch`. `key` is the name of the key that it came with."""

    def __init__(self, coverage: Coverage, key: str, wanted: Filter, inventory_part: InventoryPart) -> None:
        self._coverage = coverage
        self._key = digest(key)
        self._wanted = wanted
        self._inventory_part = inventory_part
        self._members: dict[CustomerId, _Member] = {}
        self._afters: dict[frozenset[tuple[DataClass, int]], Mapping[DataClass, int]] = {}
        self._classes: dict[frozenset[DataClass], frozenset[DataClass]] = {}
        self._digest = NOTHING
        self._closed: dict[CustomerId, _Closed] = {}  # of members, and of those who have left
        self._unsaid: set[CustomerId] = set()
        self._known_before: set[CustomerId] = set()  # of the unsaid
        self._away: Away | None = None
        self._first_epoch = ""

    @property
    def members(self) -> Collection[CustomerId]:
        """Who is told about."""
        return self._members.keys()

    def known(self, time: Instant) -> Known:
        """What the members were decided by, in this step, not before `time`."""
        epoch, away = self._coverage.authority_epoch(), self._away
        self._first_epoch = self._first_epoch or epoch
        return Known(
            digest(epoch),
            self._coverage.revision_number(),
            time,
            self._key,
            self._digest,
            frozenset(map(digest, self._members)) if len(self._members) <= MOST_NAMED else None,
            self._coverage.kind is not KeyKind.SPECIFIC_CUSTOMERS,
            away is not None and away.mixed,
            epoch != self._first_epoch or (away is not None and away.restored),
        )

    # Who enters and who leaves. There may be a hundred thousand customers, so each of these can be left alone between two
    # steps, for as long as one likes: what is said of a customer is decided in one step, and what changes about it later is
    # another change. A step may have nothing to say.

    def start(self, position: int) -> Iterator[Sequence[Change]]:
        """Begin at a position of the log; of named customers, those that are not covered are said to be removed."""
        for customer in _in_order(self._wanted.customers or self._coverage.customers()):
            if customer is None:
                yield ()
            else:
                yield tuple(self._look(customer, position, None, say_missing=bool(self._wanted.customers)))

    def resume(self, cursor: Cursor, position: int) -> Iterator[Sequence[Change]]:
        """Go on after a cursor, at a position: what was covered then and still is goes on in silence.

        If the start that the cursor is of was not complete, those who have stayed enter once more.
        """
        away = self._away = Away(self._coverage, self._wanted, self._open_classes, cursor, self._key)
        customers = self._wanted.customers or self._coverage.customers()
        for customer in customers:
            away.weigh(customer)
            yield ()
        away.weighed()
        for each in _in_order(customers):
            yield () if each is None else tuple(self._come_back(each, away, cursor, position))

    def changed(self, customers: Iterable[CustomerId], position: int, since: Instant) -> Iterator[Sequence[Change]]:
        """What to say, now that something may have changed about these customers.

        `since`: when the entry at the position was taken in.
        """
        for customer in _in_order(customers):
            yield () if customer is None else tuple(self._look(customer, position, since, say_missing=False))

    def not_said(self, added: Added, *, known: bool) -> None:
        """It has not been said that a customer enters, or has these classes: it was denied by then. To be looked at anew.

        `known`: the reader may know it from a stream before, so it leaves if it does not enter.
        """
        customer = added.customer
        if added.enters:
            self._drop(customer)
            if known:
                self._known_before.add(customer)
                self._close(customer, self._wanted.data_classes, None)
        else:
            for data_class in added.opened:
                self.not_told(customer, data_class)
        self._unsaid.add(customer)
        self.not_said_missing(added)

    def not_said_missing(self, added: Added) -> None:
        """It has not been said what is missing of a customer that has entered."""
        self._close(added.customer, added.missed, added.since)

    def _come_back(self, customer: CustomerId, away: Away, cursor: Cursor, position: int) -> Iterator[Change]:
        fate, phase, since = away.fate(customer), cursor.phase, cursor.place.take_time
        if fate is Fate.STAYED and phase in {Phase.STARTED, Phase.TELLING}:
            yield from self._stay(customer, position, away, since)
            return
        if fate is Fate.STAYED:
            closed = self._wanted.wants(away.open_once(self._coverage.standing(customer))) - self._open_classes(customer)
            self._close(customer, closed, None)
        elif fate in {Fate.INTERRUPTED, Fate.LEFT}:
            self._close(customer, self._wanted.data_classes, since)
        elif fate in {Fate.RETURNED, Fate.PASSED}:
            self._close(customer, self._wanted.data_classes, None)
        if fate is Fate.INTERRUPTED:
            yield Removed(customer, None)
        left = fate is Fate.LEFT or (fate is Fate.PASSED and phase is not Phase.STARTED)
        as_then = phase is Phase.ENTERING and fate in {Fate.STAYED, Fate.ENTERED}
        for change in self._look(customer, position, since, say_missing=bool(self._wanted.customers) or left, coming_back=True):
            yield replace(change, opened=_NO_CLASSES) if as_then and isinstance(change, Added) else change

    def _stay(self, customer: CustomerId, position: int, away: Away, since: Instant) -> Iterator[Change]:
        classes, standing = self._open_classes(customer), self._coverage.standing(customer)
        self._enter(customer, _Member(dict.fromkeys(classes, position), self._opened(customer)))
        changed = away.changed_classes(standing)
        closed = self._wanted.wants(away.open_once(standing)) - classes
        if closed:
            self._close(customer, closed, since if closed <= changed else None)
        if changed:
            # Whether they were open at the cursor, and not meanwhile, nobody remembers.
            opened = classes & changed
            yield Added(customer, classes, opened, missed=opened, since=since, enters=False)

    def _look(
        self, customer: CustomerId, position: int, since: Instant | None, *, say_missing: bool, coming_back: bool = False
    ) -> Iterator[Change]:
        member = self._members.get(customer)
        classes = self._open_classes(customer)
        opened = self._opened(customer)
        unsaid, known = customer in self._unsaid, customer in self._known_before
        self._unsaid.discard(customer)
        self._known_before.discard(customer)
        if member is not None and (not classes or opened != member.opened):
            self._drop(customer)
            self._close(customer, member.after.keys(), since)
            yield Removed(customer, self._denial(customer))
            member = None
        elif not classes and (say_missing or known or (unsaid and self._wanted.customers)):
            yield Removed(customer, self._denial(customer))
        if not classes:
            return
        if member is None:
            self._enter(customer, _Member(dict.fromkeys(classes, position), opened))
            if (
                not coming_back
                and customer not in self._closed
                and self._away is not None
                and self._away.was_open_once(customer)
            ):
                self._close(customer, self._wanted.data_classes, None)
            yield self._added(customer, classes, classes, enters=True)
            return
        going_on = {data_class: seq for data_class, seq in member.after.items() if data_class in classes and seq != _NOT_TOLD}
        if going_on.keys() != classes or member.after.keys() != classes or unsaid:
            self._members[customer] = replace(member, after=dict.fromkeys(classes, position) | going_on)
            added = self._added(customer, classes, classes - going_on.keys(), enters=False)
            self._close(customer, member.after.keys() - classes, since)
            yield added

    def _added(
        self, customer: CustomerId, classes: frozenset[DataClass], opened: frozenset[DataClass], *, enters: bool
    ) -> Added:
        closed = self._closed.pop(customer, None)
        if closed is None:
            return Added(customer, classes, opened, _NO_CLASSES, None, enters)
        if not closed.classes <= opened:
            self._closed[customer] = replace(closed, classes=closed.classes - opened)
        return Added(customer, classes, opened, opened & closed.classes, closed.since, enters)

    def _close(self, customer: CustomerId, classes: Iterable[DataClass], since: Instant | None) -> None:
        """These are no longer open: when they are again, something is missing."""
        closed, before = frozenset(classes), self._closed.get(customer)
        if before is not None and closed:
            since = None if since is None or before.since is None else min(since, before.since)
            closed |= before.classes
        if closed:
            self._closed[customer] = _Closed(closed, since)

    def _enter(self, customer: CustomerId, member: _Member) -> None:
        self._members[customer] = self._shared(member)
        self._digest = laid_over(self._digest, digest(customer))

    def _shared(self, member: _Member) -> _Member:
        """The same, of the same parts as others: nearly all stand at one place, and there are a hundred thousand."""
        if len(self._afters) >= _REMEMBERED:
            self._afters.clear()
        return _Member(self._afters.setdefault(frozenset(member.after.items()), member.after), member.opened)

    def _drop(self, customer: CustomerId) -> None:
        del self._members[customer]
        self._digest = laid_over(self._digest, digest(customer))

    def _opened(self, customer: CustomerId) -> int:
        """By which change it was covered last."""
        return max(self._coverage.standing(customer).opened_number, self._coverage.listed_number(customer))

    def _open_classes(self, customer: CustomerId) -> frozenset[DataClass]:
        wanted = self._wanted.data_classes
        found = frozenset(data_class for data_class in wanted if isinstance(self._coverage.decide(customer, data_class), Allow))
        return self._classes.setdefault(found, found)  # the same one for all to whom it applies

    def _denial(self, customer: CustomerId) -> ConsentryError | None:
        decision = self._coverage.decide_covered(customer)
        if isinstance(decision, Allow):
            wanted = sorted(self._wanted.data_classes, key=lambda data_class: data_class.value)
            decision = self._coverage.decide(customer, wanted[0])
        return self._coverage.denial(customer, decision) if isinstance(decision, Deny) else None

    # From where on

    def told(self, customer: CustomerId, data_class: DataClass, seq: int) -> None:
        """A snapshot of this class of a member was said, exact at `seq`."""
        self._tell_from(customer, data_class, seq)

    def not_told(self, customer: CustomerId, data_class: DataClass) -> None:
        """A snapshot of this class of a member was broken off: if the class is open when we look next, it enters anew."""
        self._tell_from(customer, data_class, _NOT_TOLD)

    def _tell_from(self, customer: CustomerId, data_class: DataClass, seq: int) -> None:
        member = self._members[customer]
        self._members[customer] = self._shared(replace(member, after={**member.after, data_class: seq}))

    def missing(self, removals: Removals, seq: int, telemetry: int) -> Iterator[Missing | None]:
        """What members have missed that were told everything up to `seq`, and of readings up to `telemetry`.

        None for each that has missed nothing: as with those who enter, whoever asks may pause between two.
        """
        for customer, removed in removals.items():
            member = self._members.get(customer)
            if member is None:
                yield None
                continue
            opened_from = self._coverage.opened_from(customer)
            missed = [
                data_class
                for data_class, after in member.after.items()
                if (removal := removed.get(data_class)) is not None
                and removal.seq > max(after, telemetry if data_class is DataClass.TELEMETRY else seq)
                and (data_class is DataClass.INVENTORY or removal.until >= opened_from)
            ]
            if missed:
                for data_class in missed:
                    self._tell_from(customer, data_class, removed[data_class].seq)
                until = max(removed[data_class].until for data_class in missed)
                yield Missing(customer, frozenset(missed), until)
            else:
                yield None

    # What of an entry

    def open_payload(self, entry: Entry) -> bytes | None:
        """What of an entry may be handed out: its payload, a part of it (never older than the consent opens), or None."""
        if entry.kind is Kind.DAMAGED:  # perhaps it was for this reader
            return entry.payload
        member = self._members.get(entry.customer)
        if member is None or entry.seq <= member.after.get(entry.data_class, entry.seq):
            return None
        if entry.kind is Kind.INVENTORY:  # how things are, whenever they became so
            return self._inventory_part(entry.customer, entry.payload) if self._wanted.devices else entry.payload
        if entry.device is not None and not self._wanted.has_device(entry.customer, entry.device):
            return None
        opened_from = self._coverage.opened_from(entry.customer)
        if entry.min_time >= opened_from:
            return entry.payload
        match entry.kind:
            case Kind.GAP:  # also one that began before: what of it lies after is missing
                return entry.payload if entry.max_time >= opened_from else None
            case Kind.TELEMETRY:
                return since(entry.payload, opened_from)
            case Kind.ALARM:
                return None
            case _:
                assert_never(entry.kind)

    def open_wholly(self, extents: Mapping[Access, Extent]) -> frozenset[Access] | None:
        """Of a batch of entries: the accesses of which `open_payload` gives everything, if it gives nothing of the others.

        None when it gives a part of one of them: then it has to be asked entry by entry.
        """
        if self._wanted.devices or any(not customer for customer, _ in extents):  # something of nobody knows whom is damaged
            return None
        opened = []
        for access, extent in extents.items():
            customer, data_class = access
            member = self._members.get(customer)
            told = extent.last if member is None else member.after.get(data_class, extent.last)
            if extent.last <= told:
                continue
            if extent.first <= told:
                return None
            if data_class is not DataClass.INVENTORY and extent.min_time < self._coverage.opened_from(customer):
                return None
            opened.append(access)
        return frozenset(opened)

    def denied(self, accesses: Iterable[Access]) -> set[CustomerId]:
        """The customers, of these accesses, that are denied at this moment: their end has come, and nobody has said so yet.

        So that a stream can narrow; what keeps a message back that must not be written is the guard's check.
        """
        return self._coverage.denied(accesses)


def _in_order(customers: Iterable[CustomerId]) -> Iterator[CustomerId | None]:
    """The customers in order; None between two pieces of the sorting."""
    unsorted = list(customers)
    runs: list[list[CustomerId]] = []
    for start in range(0, len(unsorted), _SORTED_AT_ONCE):
        runs.append(sorted(unsorted[start : start + _SORTED_AT_ONCE]))
        yield None
    yield from merge(*runs)
