"""What use cases need from the outside, as protocols. `storage` implements them.

Looking and changing are apart: a `View` has no way to change anything. Nothing here draws a revision or writes history: a
`Transaction` does that by itself for whatever was saved through it, so no use case can forget it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from consentry_authority.audit.chain import Entry
from consentry_authority.commands.records import (
    ConnectionRecord,
    ConsentRecord,
    CustomerRecord,
    KeyRecord,
    PartnerRecord,
    SecretRecord,
    TokenRecord,
)
from consentry_core.protocol.follow import Revision
from consentry_core.protocol.marks import ListDifference, MarkedKey, MarkedStanding
from consentry_rule import CustomerId, Instant, KeyId, PartnerId, Token


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


@dataclass(frozen=True, slots=True)
class CarriedOut:
    """What came of a request that had an id: a hash of what was asked, and the resource's name."""

    fingerprint: str
    resource: str


class Facts(Protocol):
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


class ReadPartners(Protocol):
    """Partners, to look at."""

    def get(self, partner: PartnerId) -> PartnerRecord | None:
        """One partner."""
        ...

    def page(self, *, after: str, limit: int) -> Sequence[PartnerRecord]:
        """The partners whose ids come after `after`, in their order."""
        ...

    def demo_keys(self, partner: PartnerId) -> tuple[str, ...]:
        """The names of the partner's demo keys, without the deleted ones."""
        ...


class Partners(ReadPartners, Protocol):
    """Partners, to change."""

    def add(self, partner: PartnerRecord) -> None:
        """Keep a new one."""
        ...

    def save(self, partner: PartnerRecord) -> None:
        """Keep a changed one."""
        ...


class ReadCustomers(Protocol):
    """Customers, to look at."""

    def get(self, customer: CustomerId) -> CustomerRecord | None:
        """One customer."""
        ...

    def page(self, *, after: str, limit: int) -> Sequence[CustomerRecord]:
        """The customers whose ids come after `after`, in their order."""
        ...


class Customers(ReadCustomers, Protocol):
    """Customers, to change."""

    def add(self, customer: CustomerRecord) -> None:
        """Keep a new one."""
        ...

    def save(self, customer: CustomerRecord) -> None:
        """Keep a changed one."""
        ...


class ReadConnections(Protocol):
    """Connections, to look at."""

    def get(self, partner: PartnerId, customer: CustomerId) -> ConnectionRecord | None:
        """The record of a connection, also of one that has ended."""
        ...

    def page(
        self, *, partner: PartnerId | None, customer: CustomerId | None, after: tuple[str, str], limit: int
    ) -> Sequence[ConnectionRecord]:
        """The connections that exist now, of one partner, of one customer or of all, those after (partner, customer)."""
        ...


class Connections(ReadConnections, Protocol):
    """Connections, to change."""

    def save(self, connection: ConnectionRecord) -> None:
        """Keep a new or changed one."""
        ...


class ReadConsents(Protocol):
    """Consents, to look at."""

    def get(self, customer: CustomerId, partner: PartnerId) -> ConsentRecord | None:
        """The consent of a customer towards a partner."""
        ...

    def page(self, customer: CustomerId, *, after: str, limit: int) -> Sequence[ConsentRecord]:
        """The customer's consents towards partners whose ids come after `after`, in their order."""
        ...


class Consents(ReadConsents, Protocol):
    """Consents, to change."""

    def save(self, consent: ConsentRecord) -> None:
        """Keep a new or changed one. Needs a connection's record to stand on."""
        ...


class ReadKeys(Protocol):
    """Keys that are not deleted, to look at."""

    def get(self, partner: PartnerId, key: KeyId) -> KeyRecord | None:
        """One key, without its list when that is too long to be told at once."""
        ...

    def page(self, partner: PartnerId, *, after: str, limit: int) -> Sequence[KeyRecord]:
        """The partner's keys whose ids come after `after`, in their order, without lists that are too long for a page."""
        ...

    def customers(self, partner: PartnerId, key: KeyId) -> frozenset[CustomerId]:
        """All who are on a key's list: as many as a hundred thousand."""
        ...

    def customers_among(self, partner: PartnerId, key: KeyId, customers: Iterable[CustomerId]) -> frozenset[CustomerId]:
        """Which of these are on a key's list."""
        ...

    def customers_page(self, partner: PartnerId, key: KeyId, *, after: str, limit: int) -> Sequence[CustomerId]:
        """Those on a key's list that come after `after`, in their order."""
        ...


class Keys(ReadKeys, Protocol):
    """Keys, to change."""

    def count(self, partner: PartnerId) -> int:
        """How many a partner has."""
        ...

    def add(self, key: KeyRecord, secret: SecretRecord) -> None:
        """Keep a new one with its list and its first secret."""
        ...

    def save(self, key: KeyRecord) -> None:
        """Keep a changed one, all of it but its list."""
        ...

    def relist(self, key: KeyRecord, *, added: Set[CustomerId] = frozenset(), removed: Set[CustomerId] = frozenset()) -> None:
        """Put customers that are not on its list on it, and take others, who are, off it. Beside `save`, which counts it."""
        ...

    def delete(self, key: KeyRecord) -> None:
        """End it for good. Its id is never used again, its secrets are dead."""
        ...

    def rotate(self, key: KeyRecord, secret: SecretRecord, until: Instant | None) -> None:
        """Keep a new secret; its newest until now ends at `until`, or (None) is dead at once; any other is dead."""
        ...


class ReadTokens(Protocol):
    """Tokens, to look at."""

    def get(self, token: str) -> TokenRecord | None:
        """One token; a deleted one with its `delete_time`."""
        ...

    def page(self, organization: str | None, *, after: str, limit: int) -> Sequence[TokenRecord]:
        """Tokens that are not deleted, of one organisation or (None) of all, whose ids come after `after`, in their order."""
        ...


class Tokens(ReadTokens, Protocol):
    """Tokens, to change."""

    def count(self, organization: str) -> int:
        """How many that are not deleted an organisation has."""
        ...

    def add(self, token: TokenRecord, secret: SecretRecord) -> None:
        """Keep a new one with its secret."""
        ...

    def delete(self, token: TokenRecord) -> None:
        """End it for good. Its id is never used again, its secrets are dead."""
        ...


class Place(NamedTuple):
    """Where something stands in a customer's history: in the order of time, then of the audit log.

    `partner` is empty for what concerns the customer alone; `number` is 0 for an end that nothing has followed yet.
    """

    time: Instant
    number: int
    partner: str


class ReadAudit(Protocol):
    """The audit log, to look at. Descriptions are as `storage.descriptions` makes them."""

    def of_customer(
        self, customer: CustomerId, partner: PartnerId | None, before: Place | None, *, limit: int
    ) -> Sequence[tuple[Place, Entry]]:
        """What concerns a customer, newest first, before a place; of one partner, only that and what concerns no partner."""
        ...

    def ended(
        self, customer: CustomerId, partner: PartnerId | None, before: Place | None, *, limit: int
    ) -> Sequence[tuple[Place, Mapping[str, Any]]]:
        """The customer's consents, and its subscription, that have ended by now and are still as they were, newest first."""
        ...


class Requests(Protocol):
    """Requests that had an id, by who chose it: kept for a day at least."""

    def get(self, caller: str, request_id: str) -> CarriedOut | None:
        """What came of a request."""
        ...

    def keep(self, caller: str, request_id: str, carried_out: CarriedOut) -> None:
        """Keep what came of one."""
        ...


class View(Protocol):
    """One snapshot of everything."""

    @property
    def now(self) -> Instant:
        """The moment of the question."""
        ...

    @property
    def facts(self) -> Facts:
        """What decisions are made of."""
        ...

    @property
    def partners(self) -> ReadPartners:
        """The partners."""
        ...

    @property
    def customers(self) -> ReadCustomers:
        """The customers."""
        ...

    @property
    def connections(self) -> ReadConnections:
        """The connections."""
        ...

    @property
    def consents(self) -> ReadConsents:
        """The consents."""
        ...

    @property
    def keys(self) -> ReadKeys:
        """The keys."""
        ...

    @property
    def tokens(self) -> ReadTokens:
        """The tokens."""
        ...

    @property
    def audit(self) -> ReadAudit:
        """The audit log."""
        ...


class Transaction(View, Protocol):
    """A unit of work: all of it is committed, with its place in the history, or none of it."""

    @property
    def partners(self) -> Partners:
        """The partners."""
        ...

    @property
    def customers(self) -> Customers:
        """The customers."""
        ...

    @property
    def connections(self) -> Connections:
        """The connections."""
        ...

    @property
    def consents(self) -> Consents:
        """The consents."""
        ...

    @property
    def keys(self) -> Keys:
        """The keys."""
        ...

    @property
    def tokens(self) -> Tokens:
        """The tokens."""
        ...

    @property
    def requests(self) -> Requests:
        """The requests that had an id."""
        ...

    def kill_secret(self, credential: str, secret_id: str) -> str | None:
        """No secret matches it any more. Its hint; None when it was dead before."""
        ...

    def rehash(self, secret_id: str, old_hash: str, new_hash: str) -> None:
        """Keep a secret under a hash of another cost, if it still has the old one. Changes nothing that anybody decides by."""
        ...
