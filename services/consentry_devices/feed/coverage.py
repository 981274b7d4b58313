"""What a reader asks about its coverage, and what it says of it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from consentry_core.protocol.marks import MarkedStanding
from consentry_core.values.errors import ConsentryError
from consentry_guard import Access
from consentry_rule import CustomerId, DataClass, Decision, Instant, KeyKind


class Coverage(Protocol):
    """What a reader asks about its coverage: the part of `consentry_guard.GuardedCall` that it needs."""

    @property
    def kind(self) -> KeyKind:
        """Of the reader's key."""
        ...

    def decide_covered(self, customer: CustomerId) -> Decision:
        """Whether the key covers the customer now."""
        ...

    def decide(self, customer: CustomerId, data_class: DataClass, data_time: Instant | None = None) -> Decision:
        """Whether data of this class may be handed out now."""
        ...

    def denied(self, accesses: Iterable[Access]) -> set[CustomerId]:
        """The customers, of these accesses, of whom `decide` denies one."""
        ...

    def standing(self, customer: CustomerId) -> MarkedStanding:
        """How the customer stands towards the reader's partner."""
        ...

    def customers(self) -> Sequence[CustomerId]:
        """The customers that are followed, at this moment."""
        ...

    def listed_number(self, customer: CustomerId) -> int:
        """The number of the change that put the customer on the key's list; 0 when its kind has none."""
        ...

    def unlisted(self) -> Iterable[tuple[CustomerId, int, int]]:
        """Who was taken off the list, with the numbers of the first change that put it there and the last that took it off."""
        ...

    def revision_number(self) -> int:
        """The number of the last change of the authority that has been applied here."""
        ...

    def authority_epoch(self) -> str:
        """The epoch that the number is of."""
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

    `opened` are the classes that were not open to this reader before: a snapshot says how they stand. `missed` are those among
    them that were open before and not meanwhile, so say that there is a gap, `since` when (None: nobody knows). `enters`: the
    reader does not know of the customer.

    That a customer is covered is told to nobody whom it does not cover: like any data, it is said only while it is so.
    """

    customer: CustomerId
    data_classes: frozenset[DataClass]
    opened: frozenset[DataClass]
    missed: frozenset[DataClass]
    since: Instant | None
    enters: bool

    @property
    def accesses(self) -> frozenset[Access]:
        """What is said with it."""
        return frozenset((self.customer, data_class) for data_class in self.data_classes)

    @property
    def accesses_missed(self) -> frozenset[Access]:
        """What is said with the gap."""
        return frozenset((self.customer, data_class) for data_class in self.missed)


@dataclass(frozen=True, slots=True)
class Removed:
    """Say that the customer leaves, and why. `denial` None: it was withdrawn and granted again before anybody looked.

    The one thing about a customer that must be said although it is not covered.
    """

    customer: CustomerId
    denial: ConsentryError | None


Change: TypeAlias = Added | Removed
