"""One reader's view of the feed, without I/O: which customers it is told about, from where on, and what of an entry it gets.

A customer is a *member* of the reader from when `CustomerAdded` was said until `CustomerRemoved` is. A member that was valid,
was withdrawn and is valid again is removed and added, with a gap between, whether the reader was open meanwhile or came back
with a cursor.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeAlias

from consentry_core.errors import ConsentryError
from consentry_devices.columns import since
from consentry_devices.feed.cursor import Cursor
from consentry_devices.feed.log import Entry, Kind
from consentry_guard import Access
from consentry_rule import Allow, CustomerId, DataClass, Decision, Deny, Instant, Reason, Standing, valid


class Coverage(Protocol):
    """What a reader asks about its coverage: the part of `consentry_guard.GuardedCall` that it needs."""

    def decide_covered(self, customer: CustomerId) -> Decision:
        """Whether the key covers the customer now."""
        ...

    def decide(self, customer: CustomerId, data_class: DataClass, data_time: Instant | None = None) -> Decision:
        """Whether data of this class may be handed out now."""
        ...

    def standing(self, customer: CustomerId) -> Standing:
        """How the customer stands towards the reader's partner."""
        ...

    def standings(self) -> Iterable[Standing]:
        """How all customers that are followed stand."""
        ...

    def opened_from(self, customer: CustomerId) -> Instant:
        """The earliest data that is open."""
        ...

    def denial(self, customer: CustomerId, decision: Decision) -> ConsentryError:
        """The error for a denial, telling no more than the caller may know."""
        ...


@dataclass(frozen=True, slots=True)
class Added:
    """Say that the customer enters, or that its classes are others now.

    `opened` are the classes that were not open to this reader before: a snapshot says how they stand. `missed`: the customer
    was covered before and not meanwhile, so say that there is a gap.
    """

    customer: CustomerId
    data_classes: frozenset[DataClass]
    opened: frozenset[DataClass]
    missed: bool


@dataclass(frozen=True, slots=True)
class Removed:
    """Say that the customer leaves, and why. `denial` None: it was withdrawn and granted again before anybody looked."""

    customer: CustomerId
    denial: ConsentryError | None


Change: TypeAlias = Added | Removed


_NOT_TOLD = 2**63
"""Beyond every entry: of this class nothing is handed out."""


@dataclass(frozen=True, slots=True)
class _Member:
    """`after`: by open class, the entry up to which it has been told, by a snapshot or by the reader's start."""

    after: Mapping[DataClass, int]
    opened: int


class Reader:
    """Membership and filtering of one `Watch`. `wanted` None: every data class."""

    def __init__(self, coverage: Coverage, wanted: frozenset[DataClass] | None) -> None:
        self._coverage = coverage
        self._wanted = wanted
        self._members: dict[CustomerId, _Member] = {}
        self._left: set[CustomerId] = set()

    @property
    def members(self) -> Iterable[CustomerId]:
        """Who is told about."""
        return self._members.keys()

    def start(self, named: Iterable[CustomerId], position: int) -> Iterator[Change]:
        """Begin at a position of the log; of named customers, those that are not covered are said to be removed."""
        for customer in self._candidates(named):
            yield from self._look(customer, position, say_missing=bool(named))

    def resume(self, named: Iterable[CustomerId], cursor: Cursor) -> Iterator[Change]:
        """Go on after a cursor: what was covered then and still is goes on in silence."""
        if cursor.coverage == 0:
            # Of a start without a snapshot that was cut off before all who enter had been told: it is told from there.
            for change in self.start(named, cursor.seq):
                yield replace(change, opened=frozenset()) if isinstance(change, Added) else change
            return
        for customer in self._candidates(named):
            standing = self._coverage.standing(customer)
            classes = self._open_classes(customer)
            if classes and standing.opened_number <= cursor.coverage:
                self._members[customer] = _Member(dict.fromkeys(classes, cursor.seq), standing.opened_number)
                changed = self._changed_classes(standing, cursor)
                if changed:
                    yield Added(customer, classes, classes & changed, missed=False)
                continue
            if classes and standing.closed_number > 0:
                # It was covered before and it was not meanwhile, before the cursor or after it.
                self._left.add(customer)
                if standing.closed_number > cursor.coverage:
                    yield Removed(customer, None)
            yield from self._look(customer, cursor.seq, say_missing=bool(named) or self._left_since(standing, cursor))

    def _candidates(self, named: Iterable[CustomerId]) -> Sequence[CustomerId]:
        return sorted(named) or sorted(standing.customer for standing in self._coverage.standings())

    def _left_since(self, standing: Standing, cursor: Cursor) -> bool:
        """Whether a customer that is not covered now was covered at the cursor."""
        if not 0 < standing.opened_number <= cursor.coverage:
            return False
        decision = self._coverage.decide_covered(standing.customer)
        if isinstance(decision, Allow):
            return bool(self._changed_classes(standing, cursor))  # none is open that this reader wants
        if decision.reason is Reason.NOT_ON_KEY:
            return False  # not of this key: another one of the partner's may cover it
        if standing.closed_number > standing.opened_number:
            return standing.closed_number > cursor.coverage
        return isinstance(valid(standing, cursor.time), Allow)  # an end has come since

    def _changed_classes(self, standing: Standing, cursor: Cursor) -> frozenset[DataClass]:
        return self._wants({data_class for data_class, number in standing.class_numbers if number > cursor.coverage})

    def changed(self, customers: Iterable[CustomerId], position: int) -> Iterator[Change]:
        """What to say, now that something may have changed about these customers."""
        for customer in sorted(customers):
            yield from self._look(customer, position, say_missing=False)

    def told(self, customer: CustomerId, data_class: DataClass, seq: int) -> None:
        """A snapshot of this class of a member was said, exact at `seq`."""
        self._tell_from(customer, data_class, seq)

    def not_told(self, customer: CustomerId, data_class: DataClass) -> None:
        """A snapshot of this class of a member was broken off: if the class is open when we look next, it enters anew."""
        self._tell_from(customer, data_class, _NOT_TOLD)

    def _tell_from(self, customer: CustomerId, data_class: DataClass, seq: int) -> None:
        member = self._members[customer]
        self._members[customer] = replace(member, after={**member.after, data_class: seq})

    def _look(self, customer: CustomerId, position: int, *, say_missing: bool) -> Iterator[Change]:
        member = self._members.get(customer)
        classes = self._open_classes(customer)
        opened = self._coverage.standing(customer).opened_number
        if member is not None and (not classes or opened != member.opened):
            del self._members[customer]
            self._left.add(customer)
            yield Removed(customer, self._denial(customer))
            member = None
        if not classes:
            if say_missing:
                yield Removed(customer, self._denial(customer))
            return
        if member is None:
            self._members[customer] = _Member(dict.fromkeys(classes, position), opened)
            yield Added(customer, classes, classes, customer in self._left)
            return
        going_on = {data_class: seq for data_class, seq in member.after.items() if data_class in classes and seq != _NOT_TOLD}
        if going_on.keys() != classes or member.after.keys() != classes:
            self._members[customer] = replace(member, after=dict.fromkeys(classes, position) | going_on)
            yield Added(customer, classes, classes - going_on.keys(), missed=False)

    def _open_classes(self, customer: CustomerId) -> frozenset[DataClass]:
        wanted = self._wants(DataClass)
        return frozenset(data_class for data_class in wanted if isinstance(self._coverage.decide(customer, data_class), Allow))

    def _wants(self, classes: Iterable[DataClass]) -> frozenset[DataClass]:
        return frozenset(classes) if self._wanted is None else self._wanted.intersection(classes)

    def _denial(self, customer: CustomerId) -> ConsentryError | None:
        decision = self._coverage.decide_covered(customer)
        if isinstance(decision, Allow):
            wanted = sorted(self._wanted or DataClass, key=lambda data_class: data_class.value)
            decision = self._coverage.decide(customer, wanted[0])
        return self._coverage.denial(customer, decision) if isinstance(decision, Deny) else None

    def open_payload(self, entry: Entry) -> bytes | None:
        """What of an entry may be handed out: its payload, a part of it (never older than the consent opens), or None."""
        member = self._members.get(entry.customer)
        if member is None or entry.seq <= member.after.get(entry.data_class, entry.seq):
            return None
        if entry.kind is Kind.INVENTORY:
            return entry.payload  # how things are, whenever they became so
        opened_from = self._coverage.opened_from(entry.customer)
        if entry.kind is Kind.GAP:
            return entry.payload if entry.max_time >= opened_from else None  # it says since when, and nothing that was measured
        if entry.min_time >= opened_from:
            return entry.payload
        return since(entry.payload, opened_from) if entry.kind is Kind.TELEMETRY else None

    def denied(self, accesses: Iterable[Access]) -> set[CustomerId]:
        """The customers, of these accesses, that are denied at this moment: their end has come, and nobody has said so yet."""
        return {customer for customer, data_class in accesses if isinstance(self._coverage.decide(customer, data_class), Deny)}
