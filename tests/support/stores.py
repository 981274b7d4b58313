"""The authority's store on a real SQLite file, for tests of what lies below gRPC."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TypeVar

from consentry_authority.audit.chain import AuditKeys
from consentry_authority.commands.ports import Committed, Transaction
from consentry_authority.commands.records import (
    ConnectionRecord,
    ConsentRecord,
    CustomerRecord,
    KeyRecord,
    PartnerRecord,
    Plan,
    SecretRecord,
    SubscriptionRecord,
)
from consentry_authority.settings import AuthoritySettings
from consentry_authority.setup.audit_log import read_audit_keys
from consentry_authority.storage.opening import open_existing, open_history
from consentry_authority.storage.ports import Storage, storage_on
from consentry_authority.storage.schema.migrations import migrate
from consentry_authority.storage.store import SqlStore
from consentry_core.sql.database import Database, open_sqlite
from consentry_core.values.clock import SECOND, Clock
from consentry_rule import ALL_DATA_CLASSES, CustomerId, Instant, KeyId, KeyKind, PartnerId
from support.clocks import FakeClock

_T = TypeVar("_T")

ACME, OTHER = PartnerId("acme"), PartnerId("other")
AUDIT_KEYS = AuditKeys([bytes(32)])
NORTH, SOUTH, EAST, WEST = map(CustomerId, ("north", "south", "east", "west"))


class StoreUnderTest:
    """A store, its clock, and short ways to fill it."""

    def __init__(self, storage: Storage, clock: FakeClock) -> None:
        self.storage = storage
        self.store = storage.store
        self.clock = clock

    def do(self, use_case: Callable[[Transaction], _T]) -> Committed[_T]:
        """Run a use case."""
        return self.store.write_now(use_case)

    def ask(self, question: Callable[[Transaction], _T]) -> _T:
        """Look at something."""
        return self.store.write_now(question).value

    def later(self, seconds: float) -> Instant:
        """The instant so many seconds from now."""
        return Instant(self.clock.now() + round(seconds * SECOND))

    def partner(self, partner: PartnerId) -> None:
        """Register a partner."""
        self.do(lambda tx: tx.partners.add(PartnerRecord(partner, partner.title(), tx.now)))

    def customer(self, customer: CustomerId, *, subscribed: bool = True) -> None:
        """Register a customer."""
        subscription = SubscriptionRecord(Plan.PAID) if subscribed else None
        self.do(lambda tx: tx.customers.add(CustomerRecord(customer, customer.title(), tx.now, subscription=subscription)))

    def connect(self, partner: PartnerId, customer: CustomerId) -> Committed[None]:
        """Connect the two."""
        return self.do(lambda tx: tx.connections.save(ConnectionRecord(partner, customer, tx.now)))

    def consent(self, customer: CustomerId, partner: PartnerId, *, end: Instant | None = None) -> Committed[None]:
        """Grant consent."""
        return self.do(
            lambda tx: tx.consents.save(ConsentRecord(customer, partner, tx.now, tx.now, ALL_DATA_CLASSES, expire_time=end))
        )

    def valid_customer(self, customer: CustomerId, partner: PartnerId) -> None:
        """Register, connect and consent."""
        self.customer(customer)
        self.connect(partner, customer)
        self.consent(customer, partner)

    def key(
        self,
        partner: PartnerId,
        key: str,
        kind: KeyKind = KeyKind.ALL_CUSTOMERS,
        customers: frozenset[CustomerId] = frozenset(),
    ) -> KeyRecord:
        """Issue a key whose secret nobody knows."""

        def add(tx: Transaction) -> KeyRecord:
            record = KeyRecord(partner, KeyId(key), "", kind, tx.now, "tokens/x", "hint", customers)
            tx.keys.add(record, SecretRecord(f"{partner}-{key}", "hash", "hint"))
            return record

        return self.do(add).value


@contextmanager
def open_store(folder: Path) -> Iterator[StoreUnderTest]:
    """A new store in `folder`, with nothing in it but the demo customer."""
    clock = FakeClock()
    engine = open_sqlite(folder / "authority.db")
    migrate(engine)
    database = Database(engine)
    database.write_now(lambda connection: open_history(connection, _numbers(), clock.now()))
    storage = storage_on(database, clock, AUDIT_KEYS)
    try:
        yield StoreUnderTest(storage, clock)
    finally:
        storage.store.close()


@contextmanager
def store_in(settings: AuthoritySettings, clock: Clock) -> Iterator[SqlStore]:
    """The store of an initialised data folder that no authority serves from."""
    storage = storage_on(Database(open_existing(settings.database_file)), clock, read_audit_keys(settings))
    try:
        yield storage.store
    finally:
        storage.store.close()


ENGINES: Mapping[str, Callable[[Path], AbstractContextManager[StoreUnderTest]]] = {"sqlite": open_store}
"""What the contract suite of the authority's storage is run against: by name, how to open a new store in a folder."""


def _numbers() -> Callable[[int], bytes]:
    return lambda count: bytes(range(count))
