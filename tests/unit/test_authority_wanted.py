"""By which change something came to be so, as the storage tells it."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from consentry_authority.commands.consents.revoke_consent import revoke_consent
from consentry_authority.commands.directory.cancel_subscription import cancel_subscription
from consentry_authority.commands.directory.disconnect_customer import disconnect_customer
from consentry_authority.commands.directory.set_subscription import set_subscription
from consentry_authority.commands.keys.update_key import _PATHS
from consentry_authority.commands.ports import Transaction
from consentry_authority.commands.records import CustomerRecord, Plan, SubscriptionRecord
from consentry_authority.storage.enforcement import members as enforcement
from consentry_authority.storage.history import wanted
from consentry_authority.storage.history.descriptions import describe
from consentry_authority.storage.history.wanted import Wanted
from consentry_authority.storage.store import Committed
from consentry_rule import KeyId
from support.stores import ACME, NORTH, OTHER, StoreUnderTest, open_store

CONSENT = wanted.consent(NORTH, ACME)
SUBSCRIPTION = wanted.subscription(NORTH)


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[StoreUnderTest]:
    """A store with partners acme and other, and their valid customer north."""
    with open_store(tmp_path) as kept:
        kept.partner(ACME)
        kept.partner(OTHER)
        kept.valid_customer(NORTH, ACME)
        kept.connect(OTHER, NORTH)
        kept.consent(NORTH, OTHER)
        yield kept


def revoked(tx: Transaction) -> object:
    return revoke_consent(tx, NORTH, ACME)


def revoked_of_other(tx: Transaction) -> object:
    return revoke_consent(tx, NORTH, OTHER)


def cancelled(tx: Transaction) -> object:
    return cancel_subscription(tx, NORTH)


def do(kept: StoreUnderTest, use_case: Callable[[Transaction], object], what: Wanted) -> Committed[Any]:
    return kept.store.write_now(use_case, wanted=what)


def subscription_of(tx: Transaction) -> SubscriptionRecord:
    customer = tx.customers.get(NORTH)
    assert isinstance(customer, CustomerRecord)
    assert customer.subscription is not None
    return customer.subscription


def as_before_the_marks(kept: StoreUnderTest) -> None:
    """What a database is like that has just been migrated."""
    head = kept.ask(lambda tx: tx.facts.head()).number
    kept.store._database.write_now(lambda connection: wanted.begin_anew(connection, head))


def test_a_call_that_changes_nothing_is_placed_where_what_it_found_came_about(kept: StoreUnderTest) -> None:
    first = do(kept, revoked, CONSENT)
    kept.clock.advance(60)
    do(kept, cancelled, SUBSCRIPTION)
    again = do(kept, revoked, CONSENT)
    assert (again.changed, again.narrowing, again.revision) == (False, True, first.revision)
    assert again.commit_time == first.commit_time


def test_a_call_that_does_not_say_what_it_wants_is_placed_at_the_head(kept: StoreUnderTest) -> None:
    do(kept, revoked, CONSENT)
    last = do(kept, cancelled, SUBSCRIPTION)
    again = kept.do(revoked)
    assert (again.changed, again.narrowing, again.revision) == (False, False, last.revision)


def test_what_is_revoked_by_a_disconnection_came_about_by_that(kept: StoreUnderTest) -> None:
    disconnected = kept.do(lambda tx: disconnect_customer(tx, ACME, NORTH))
    assert do(kept, revoked, CONSENT).revision == disconnected.revision


def test_a_subscription_that_came_back_and_was_cancelled_again_counts_from_then(kept: StoreUnderTest) -> None:
    subscription = kept.ask(subscription_of)
    do(kept, cancelled, SUBSCRIPTION)
    kept.do(lambda tx: set_subscription(tx, NORTH, subscription))
    later = do(kept, cancelled, SUBSCRIPTION)
    assert later.changed
    assert do(kept, cancelled, SUBSCRIPTION).revision == later.revision


def test_what_was_so_before_the_marks_came_about_by_the_last_receipt_before_them(kept: StoreUnderTest) -> None:
    """Later than need be, never too early; and nothing that happens from then on makes it later."""
    do(kept, revoked, CONSENT)
    last = do(kept, cancelled, SUBSCRIPTION)
    do(kept, revoked_of_other, wanted.consent(NORTH, OTHER))
    as_before_the_marks(kept)
    assert do(kept, revoked, CONSENT).revision == last.revision, "the last by which acme lost north"
    kept.do(lambda tx: set_subscription(tx, NORTH, SubscriptionRecord(Plan.PAID)))
    kept.do(lambda tx: disconnect_customer(tx, ACME, NORTH))
    assert do(kept, revoked, CONSENT).revision == last.revision


def test_what_was_so_before_the_marks_and_never_had_a_receipt_is_placed_at_the_head(kept: StoreUnderTest) -> None:
    """Its receipt says that nothing was taken away."""
    as_before_the_marks(kept)
    theirs = kept.do(revoked_of_other)
    again = do(kept, lambda tx: set_subscription(tx, NORTH, subscription_of(tx)), SUBSCRIPTION)
    assert (again.narrowing, again.revision) == (False, theirs.revision)


def test_every_path_of_a_key_has_its_fields(kept: StoreUnderTest) -> None:
    """A field that the description does not have would never be marked."""
    key = kept.key(ACME, "k1")
    described = kept.store._database.write_now(lambda connection: describe(connection, key.name))
    assert described is not None
    for path in (*_PATHS, "labels.team", "disabled", "secrets"):
        assert wanted.key(ACME, KeyId("k1"), [path]).fields <= described.keys(), path


def test_every_other_field_that_can_be_wanted_is_described(kept: StoreUnderTest) -> None:
    for what in (CONSENT, SUBSCRIPTION, wanted.disconnected(NORTH, ACME), wanted.rehearsal(ACME)):
        found = kept.store._database.write_now(partial(describe, name=what.resource))
        assert found is not None
        assert what.fields <= found.keys(), what.resource


def test_until_a_restore_is_enforced_whatever_is_changed_has_a_receipt(kept: StoreUnderTest) -> None:
    """What the backup denies may be allowed by what was lost. A customer that gets another plan loses nothing otherwise."""
    database, now = kept.store._database, kept.clock.now()
    assert not kept.do(lambda tx: set_subscription(tx, NORTH, SubscriptionRecord(Plan.TRIAL))).narrowing
    database.write_now(lambda connection: enforcement.open_receipt(connection, 1_000, now, "", [enforcement.EVERYTHING]))
    assert kept.do(lambda tx: set_subscription(tx, NORTH, SubscriptionRecord(Plan.PAID))).narrowing
