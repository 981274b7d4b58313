"""What decisions are made of, as ports: the facts, and the history of their changes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from consentry_core.protocol.follow import Revision
from consentry_core.protocol.marks import ListDifference, MarkedKey, MarkedStanding
from consentry_rule import CustomerId, Instant, PartnerId, Token


@dataclass(frozen=True, slots=True)
class Change:
    """One line of the history: at `number`, something about `subject` changed.

    `subject` is a credential (`partners/p/keys/k`, `tokens/t`) or a standing (`customers/c/consents/p`). One change of the
    state can be several lines with one number.
    """

    number: int
    commit_time: Instant
    subject: str


@dataclass(frozen=True, slots=True)
class StoredSecret:
    """A secret that was issued once. `argon2_hash` None: it is dead, and no secret matches it any more."""

    credential: str
    argon2_hash: str | None


class ReadFacts(Protocol):
    """What decisions are made of, joined and never filtered by validity: that is the rule's business."""

    def head(self) -> Revision:
        """The last committed change."""
        ...

    def changes_after(self, number: int) -> Iterator[Change]:
        """What changed after a number, all of it, ordered by it. Read in pages: only what the asker keeps is kept."""
        ...

    def commit_time_of(self, number: int) -> Instant | None:
        """When the latest change at or before a number was committed; None when there is none."""
        ...

    def credential(self, name: str) -> MarkedKey | Token | None:
        """A key or token with its live secrets; None for one that is deleted or never was."""
        ...

    def terms(self, name: str) -> MarkedKey | Token | None:
        """Likewise, without who is on a key's list, and so for the same whatever its length."""
        ...

    def list_difference(self, partner: PartnerId, key: str, base: int) -> ListDifference:
        """What has become of a key's list since a change. Costs what has changed."""
        ...

    def secret(self, secret_id: str) -> StoredSecret | None:
        """A secret by its public id; None for one that never was."""
        ...

    def standing(self, partner: PartnerId, customer: CustomerId) -> MarkedStanding:
        """How a customer stands towards a partner; an empty, unconnected standing when the two have nothing to do."""
        ...

    def standings_of(self, partner: PartnerId, *, after: CustomerId | None = None, limit: int) -> Sequence[MarkedStanding]:
        """The standings towards a partner, disconnected ones too, ordered by customer, those after `after`."""
        ...

    def standings_changed(
        self, partner: PartnerId, since: tuple[int, Instant], now: Instant, *, after: CustomerId, limit: int
    ) -> Sequence[MarkedStanding]:
        """Likewise, only those that may have stood otherwise after a change, of this number and committed then.

        A mark of theirs is newer, or an end has come since: too many perhaps, never too few. The rule decides what has changed.
        """
        ...

    def standings_to(self, partner: PartnerId, customers: Sequence[CustomerId]) -> Sequence[MarkedStanding]:
        """The standings of these customers towards a partner, in the order given, as `standing` has them."""
        ...

    def standings_between(self, pairs: Sequence[tuple[PartnerId, CustomerId]]) -> Sequence[MarkedStanding]:
        """The standings of these pairs, in the order given, as `standing` has them."""
        ...

    def demo_standing(self, partner: PartnerId) -> MarkedStanding:
        """The demo customer's standing towards a partner."""
        ...


class Current(Protocol):
    """Credentials' facts and the head, as of the last commit that was heard of."""

    async def credential(self, name: str) -> MarkedKey | Token | None:
        """A key or token with its live secrets; None for one that is deleted or never was."""
        ...

    async def head(self) -> Revision:
        """The last change that was committed and heard of."""
        ...
