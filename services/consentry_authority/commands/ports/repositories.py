"""What use cases look at and change, a port for each kind. Looking and changing are apart.

Nothing here draws a revision or writes history: a `Transaction` does that by itself for whatever was saved through it. A use
case saves what it wants to be so, whether it is so already or not. What is saved as it was changes nothing, and the call is
answered about the change that made it so.
"""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypedDict, Unpack

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
from consentry_rule import CustomerId, Instant, KeyId, Network, PartnerId


@dataclass(frozen=True, slots=True)
class CarriedOut:
    """What came of a request that had an id: a hash of what was asked, and the resource's name."""

    fingerprint: str
    resource: str


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


class ListChange(NamedTuple):
    """Who is to be on a key's list, and who is not to be; whoever is neither stays as they are."""

    added: Set[CustomerId] = frozenset()
    removed: Set[CustomerId] = frozenset()


class KeyChanges(TypedDict, total=False):
    """What can be changed of a key."""

    display_name: str
    expire_time: Instant | None
    customers: ListChange
    disabled: bool
    labels: tuple[tuple[str, str], ...]
    networks: tuple[Network, ...]
    audiences: frozenset[str]
    calls_per_minute: int
    open_streams: int


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

    def change(self, key: KeyRecord, **fields: Unpack[KeyChanges]) -> KeyRecord:
        """Let these fields of one that was read be so, and the others be as they are; the key as it is then."""
        ...

    def delete(self, key: KeyRecord) -> None:
        """End it for good. Its id is never used again, its secrets are dead."""
        ...

    def rotated(self, key: KeyRecord) -> KeyRecord:
        """The key, as the rotation that is asked for has left it already."""
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


class Requests(Protocol):
    """Requests that had an id, by who chose it: kept for a day at least."""

    def get(self, caller: str, request_id: str) -> CarriedOut | None:
        """What came of a request."""
        ...

    def keep(self, caller: str, request_id: str, carried_out: CarriedOut) -> None:
        """Keep what came of one."""
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


class SecretsInUse(Protocol):
    """Where it is kept when secrets were last used: in batches, apart from every transaction."""

    async def mark_used(self, uses: Sequence[tuple[str, Instant]]) -> None:
        """These secrets, by id, were in use at these times; times before the one that is kept change nothing."""
        ...
