"""By which change something came to be so, as the storage tells it to a call that finds it so."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from consentry_authority.commands.consents.revoke_consent import revoke_consent
from consentry_authority.commands.directory.cancel_subscription import cancel_subscription
from consentry_authority.commands.directory.disconnect_customer import disconnect_customer
from consentry_authority.commands.directory.set_subscription import set_subscription
from consentry_authority.commands.keys.disable_key import disable_key
from consentry_authority.commands.keys.rotate_key import rotate_key
from consentry_authority.commands.keys.set_rehearsal import set_rehearsal
from consentry_authority.commands.keys.update_key import _PATHS, KeyUpdate, update_key
from consentry_authority.commands.ports import Committed, Transaction
from consentry_authority.commands.records import CustomerRecord, Plan, SecretRecord, SubscriptionRecord
from consentry_authority.storage.enforcement import receipts
from consentry_authority.storage.history import marks
from consentry_rule import Instant, KeyId, KeyKind, Quota
from support.stores import ACME, EAST, NORTH, OTHER, StoreUnderTest


@pytest.fixture
def kept(opened_store: StoreUnderTest) -> StoreUnderTest:
    """A store with partners acme and other, and their valid customer north."""
    opened_store.partner(ACME)
    opened_store.partner(OTHER)
    opened_store.valid_customer(NORTH, ACME)
    opened_store.connect(OTHER, NORTH)
    opened_store.consent(NORTH, OTHER)
    opened_store.customer(EAST)
    return opened_store


def revoked(tx: Transaction) -> object:
    return revoke_consent(tx, NORTH, ACME)


def revoked_of_other(tx: Transaction) -> object:
    return revoke_consent(tx, NORTH, OTHER)


def cancelled(tx: Transaction) -> object:
    return cancel_subscription(tx, NORTH)


def do(kept: StoreUnderTest, use_case: Callable[[Transaction], object]) -> Committed[Any]:
    return kept.store.write_now(use_case)


def subscription_of(tx: Transaction) -> SubscriptionRecord:
    customer = tx.customers.get(NORTH)
    assert isinstance(customer, CustomerRecord)
    assert customer.subscription is not None
    return customer.subscription


def as_before_the_marks(kept: StoreUnderTest) -> None:
    """What a database is like that has just been migrated."""
    head = kept.ask(lambda tx: tx.facts.head()).number
    kept.store._database.write_now(lambda connection: marks.begin_anew(connection, head))


def test_a_call_that_changes_nothing_is_placed_where_what_it_found_came_about(kept: StoreUnderTest) -> None:
    first = do(kept, revoked)
    kept.clock.advance(60)
    do(kept, cancelled)
    again = do(kept, revoked)
    assert (again.changed, again.narrowing, again.revision) == (False, True, first.revision)
    assert again.commit_time == first.commit_time


def test_a_call_that_wants_nothing_to_be_so_is_placed_at_the_head(kept: StoreUnderTest) -> None:
    do(kept, revoked)
    last = do(kept, cancelled)
    looked = kept.do(lambda tx: tx.consents.get(NORTH, ACME))
    assert (looked.changed, looked.own, looked.narrowing, looked.revision) == (False, False, False, last.revision)


def test_what_is_revoked_by_a_disconnection_came_about_by_that(kept: StoreUnderTest) -> None:
    disconnected = kept.do(lambda tx: disconnect_customer(tx, ACME, NORTH))
    assert do(kept, revoked).revision == disconnected.revision


def test_a_subscription_that_came_back_and_was_cancelled_again_counts_from_then(kept: StoreUnderTest) -> None:
    subscription = kept.ask(subscription_of)
    do(kept, cancelled)
    kept.do(lambda tx: set_subscription(tx, NORTH, subscription))
    later = do(kept, cancelled)
    assert later.changed
    assert do(kept, cancelled).revision == later.revision


def test_what_was_so_before_the_marks_came_about_by_the_last_receipt_before_them(kept: StoreUnderTest) -> None:
    """Later than need be, never too early; and nothing that happens from then on makes it later."""
    do(kept, revoked)
    last = do(kept, cancelled)
    do(kept, revoked_of_other)
    as_before_the_marks(kept)
    assert do(kept, revoked).revision == last.revision, "the last by which acme lost north"
    kept.do(lambda tx: set_subscription(tx, NORTH, SubscriptionRecord(Plan.PAID)))
    kept.do(lambda tx: disconnect_customer(tx, ACME, NORTH))
    assert do(kept, revoked).revision == last.revision


def test_what_was_so_before_the_marks_and_never_had_a_receipt_is_placed_at_the_head(kept: StoreUnderTest) -> None:
    """Its receipt says that nothing was taken away."""
    as_before_the_marks(kept)
    theirs = kept.do(revoked_of_other)
    again = do(kept, lambda tx: set_subscription(tx, NORTH, subscription_of(tx)))
    assert (again.narrowing, again.revision) == (False, theirs.revision)


_KEY = KeyUpdate(
    frozenset(),
    "one",
    Instant(2**62),
    [],
    labels={"team": "ops"},
    networks=["192.0.2.0/24"],
    quota=Quota(600, 4),
    audiences=["devices"],
)


@pytest.mark.parametrize("path", [*(path for path in _PATHS if path != "customers"), "labels.team"])
def test_a_path_that_is_updated_again_is_placed_where_it_was_changed(kept: StoreUnderTest, path: str) -> None:
    """Whatever else of the key was changed since. A field that is never marked would be placed at the key's creation."""
    kept.key(ACME, "k1")

    def update(tx: Transaction) -> object:
        return update_key(tx, ACME, KeyId("k1"), replace(_KEY, paths=frozenset([path])))

    first = do(kept, update)
    assert first.changed
    do(kept, lambda tx: disable_key(tx, ACME, KeyId("k1")))
    again = do(kept, update)
    assert (again.changed, again.own, again.revision) == (False, True, first.revision)


def test_a_list_that_is_updated_again_is_placed_where_it_was_changed(kept: StoreUnderTest) -> None:
    kept.key(ACME, "k1", KeyKind.SPECIFIC_CUSTOMERS)
    update = KeyUpdate(frozenset(["customers"]), "", None, [NORTH])
    first = do(kept, lambda tx: update_key(tx, ACME, KeyId("k1"), update))
    do(kept, lambda tx: disable_key(tx, ACME, KeyId("k1")))
    again = do(kept, lambda tx: update_key(tx, ACME, KeyId("k1"), update))
    assert (first.changed, again.changed, again.revision) == (True, False, first.revision)


def test_every_other_call_that_is_made_again_is_placed_where_it_was_made(kept: StoreUnderTest) -> None:
    kept.key(ACME, "k1")
    secret = SecretRecord("another", "hash", "hint")
    calls: list[tuple[Callable[[Transaction], object], Callable[[Transaction], object]]] = [
        (found, found)
        for found in (
            revoked,
            cancelled,
            lambda tx: set_rehearsal(tx, ACME, rehearsing=True),
            lambda tx: disable_key(tx, ACME, KeyId("k1")),
            lambda tx: disconnect_customer(tx, ACME, NORTH),
        )
    ]
    calls.append(
        (
            lambda tx: rotate_key(tx, ACME, KeyId("k1"), secret, 0),
            lambda tx: tx.keys.rotated(tx.keys.get(ACME, KeyId("k1")) or pytest.fail("it is there")),
        )
    )
    for call, again in calls:
        first = do(kept, call)
        last = do(kept, lambda tx: set_subscription(tx, EAST, SubscriptionRecord(Plan.PAID, expire_time=kept.later(1))))
        kept.do(lambda tx: set_subscription(tx, EAST, SubscriptionRecord(Plan.TRIAL)))
        found = do(kept, again)
        assert (first.changed, last.changed, found.changed, found.own) == (True, True, False, True)
        assert found.revision == first.revision


def test_until_a_restore_is_enforced_whatever_is_changed_has_a_receipt(kept: StoreUnderTest) -> None:
    """What the backup denies may be allowed by what was lost. A customer that gets another plan loses nothing otherwise."""
    database, now = kept.store._database, kept.clock.now()
    assert not kept.do(lambda tx: set_subscription(tx, NORTH, SubscriptionRecord(Plan.TRIAL))).narrowing
    database.write_now(lambda connection: receipts.open_receipt(connection, 1_000, now, "", [receipts.EVERYTHING]))
    assert kept.do(lambda tx: set_subscription(tx, NORTH, SubscriptionRecord(Plan.PAID))).narrowing
