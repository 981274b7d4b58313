"""What a servicer behind the guard works with: the call that was let in, and what it may read."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from consentry_core.callers.identity import Identity
from consentry_core.pacing.waking import Bell
from consentry_core.protocol.marks import MarkedStanding
from consentry_core.values.errors import ConsentryError
from consentry_rule import CustomerId, DataClass, Decision, Instant, KeyKind, PartnerId

Access = tuple[CustomerId, DataClass]
"""One thing that a message holds: data of one class of one customer."""


@dataclass(frozen=True, slots=True)
class Handed:
    """How much of one access a message holds, for the customer's access log.

    `devices` are ids. `bytes` 0 means the whole message, for one that holds nothing else. Made once, it may be told of many
    messages.
    """

    readings: int = 0
    devices: frozenset[str] = field(default=frozenset())
    bytes: int = 0


class CoverageChanges(Protocol):
    """What has changed under a call since it was last asked: news of the authority, and ends that have come."""

    async def wait(self) -> None:
        """Wait until there is something to take."""
        ...

    def ring(self, bell: Bell) -> None:
        """Ring this bell whenever there is something to take: for who waits for other things too."""
        ...

    def __bool__(self) -> bool:
        """Whether there is something to take."""
        ...

    def take(self) -> frozenset[CustomerId]:
        """The customers whose coverage may have changed since the last time; empties the list. Ask `decide` about each."""
        ...


class GuardedCall(Protocol):
    """A call that came with a credential. Nothing here remembers a verdict: every answer is for this moment."""

    @property
    def identity(self) -> Identity:
        """Whose secret it came with."""
        ...

    @property
    def partner(self) -> PartnerId:
        """The partner whose key it is; PermissionDenied for anything but a key."""
        ...

    @property
    def kind(self) -> KeyKind:
        """The kind of the key; PermissionDenied for anything but a key."""
        ...

    @property
    def customer(self) -> CustomerId:
        """The customer that a gateway's token publishes for; PermissionDenied for anything but a gateway's token."""
        ...

    async def follow(self, customers: Iterable[CustomerId]) -> None:
        """Make the facts about these customers known, which `decide` needs. Unavailable when they cannot be had."""
        ...

    async def follow_all(self) -> CoverageChanges:
        """Make the facts about all customers of the partner known, and tell from now on what changes."""
        ...

    async def watch(self, customers: Iterable[CustomerId]) -> CoverageChanges:
        """`follow`, and tell from now on what changes about these customers."""
        ...

    def covered(self) -> Mapping[CustomerId, frozenset[DataClass]]:
        """The customers, of those followed, that the key covers now, with the classes that are open."""
        ...

    def decide(self, customer: CustomerId, data_class: DataClass, data_time: Instant | None = None) -> Decision:
        """The rule's answer now."""
        ...

    def denied(self, accesses: Iterable[Access]) -> set[CustomerId]:
        """The customers, of these accesses, of whom `decide` denies one."""
        ...

    def decide_covered(self, customer: CustomerId) -> Decision:
        """Whether the key covers the customer now, whatever the class."""
        ...

    def opened_from(self, customer: CustomerId) -> Instant:
        """The earliest data that is open; 0 for the demo customer's."""
        ...

    def standing(self, customer: CustomerId) -> MarkedStanding:
        """How a customer that is followed stands towards the partner."""
        ...

    def customers(self) -> Sequence[CustomerId]:
        """The customers that are followed, at this moment."""
        ...

    def listed_number(self, customer: CustomerId) -> int:
        """The number of the change that put the customer on the key's list; 0 when it is not there, or the kind has no list."""
        ...

    def unlisted(self) -> Iterable[tuple[CustomerId, int, int]]:
        """The customers that were taken off the key's list, each with the numbers of two changes: listed and unlisted.

        The first change that put it there, and the last that took it off: between them it may have been there or not. One that
        is on the list again is among them too.
        """
        ...

    def revision_number(self) -> int:
        """The number of the last change of the authority that has been applied here."""
        ...

    def authority_epoch(self) -> str:
        """Of which history of the authority all numbers are. Another one, after a restore: none can be compared with them."""
        ...

    def now(self) -> Instant:
        """The moment that ends are held against: the authority's clock, as it is known here."""
        ...

    def ends_told(self) -> Instant:
        """Up to which moment ends that have come are among the changes: `now`, or before the first that are not yet."""
        ...

    def require(self, customer: CustomerId, data_class: DataClass, data_time: Instant | None = None) -> None:
        """Raise the denial, if there is one; else add the access to what every write of this call is checked against."""
        ...

    def next_write(self, accesses: frozenset[Access]) -> None:
        """What the next message holds, in place of what was required. Streams call it before each message."""
        ...

    def hands_out(self, held: Mapping[Access, Handed]) -> None:
        """How much the next message holds of each. Left out, messages and bytes are counted all the same."""
        ...

    def denial(self, customer: CustomerId, decision: Decision) -> ConsentryError:
        """The error for a denial, telling no more about the customer than the caller may know."""
        ...
