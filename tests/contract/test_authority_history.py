"""The history: every change has its place, in commit order, and no use case can leave it out."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace

import pytest
import sqlalchemy as sa

from consentry_authority.commands.ports import Commit, ListChange, Origin, Transaction
from consentry_authority.commands.records import (
    ConnectionRecord,
    ConsentRecord,
    CustomerRecord,
    PartnerRecord,
    Plan,
    SubscriptionRecord,
)
from consentry_authority.storage.schema import tables
from consentry_core.protocol.marks import MarkedKey, MarkedStanding
from consentry_rule import ALL_DATA_CLASSES, CustomerId, Deny, KeyId, KeyKind, PartnerId, Reason, valid
from support.stores import ACME, EAST, NORTH, OTHER, SOUTH, StoreUnderTest


@pytest.fixture
def kept(opened_store: StoreUnderTest) -> StoreUnderTest:
    opened_store.partner(ACME)
    opened_store.partner(OTHER)
    return opened_store


def connection(tx: Transaction, customer: CustomerId = NORTH) -> ConnectionRecord:
    return ConnectionRecord(ACME, customer, tx.now)


def consent(tx: Transaction) -> ConsentRecord:
    return ConsentRecord(NORTH, ACME, tx.now, tx.now, ALL_DATA_CLASSES)


def subjects(kept: StoreUnderTest, after: int) -> list[str]:
    return [change.subject for change in kept.ask(lambda tx: list(tx.facts.changes_after(after)))]


def head(kept: StoreUnderTest) -> int:
    return kept.ask(lambda tx: tx.facts.head()).number


def standing(kept: StoreUnderTest, customer: CustomerId = NORTH) -> MarkedStanding:
    return kept.ask(lambda tx: tx.facts.standing(ACME, customer))


def save_subscription(kept: StoreUnderTest, subscription: SubscriptionRecord | None) -> None:
    def save(tx: Transaction) -> None:
        customer = tx.customers.get(NORTH)
        assert customer is not None
        tx.customers.save(replace(customer, subscription=subscription))

    kept.do(save)


def rehearse(kept: StoreUnderTest, *rehearsing: bool) -> int:
    """The partner's rehearsing is set to these, one after the other, in one transaction; the number of the change."""

    def save(tx: Transaction) -> None:
        for each in rehearsing:
            partner = tx.partners.get(ACME)
            assert isinstance(partner, PartnerRecord)
            tx.partners.save(replace(partner, rehearsing=each))

    return kept.do(save).revision.number


class TestNumbers:
    """When a number is drawn."""

    def test_a_transaction_that_touches_nothing_draws_none(self, kept: StoreUnderTest) -> None:
        before = head(kept)
        committed = kept.do(lambda tx: tx.partners.get(ACME))
        assert not committed.changed
        assert committed.revision.number == before == head(kept)

    def test_one_transaction_draws_one_number_for_all_that_it_touched(self, kept: StoreUnderTest) -> None:
        kept.customer(NORTH)
        before = head(kept)

        def change(tx: Transaction) -> None:
            tx.connections.save(connection(tx))
            tx.consents.save(consent(tx))

        committed = kept.do(change)
        assert committed.changed
        assert committed.revision.number == before + 1
        assert subjects(kept, before) == ["customers/north/consents/acme"]

    def test_the_commit_time_is_the_clocks(self, kept: StoreUnderTest) -> None:
        kept.customer(NORTH)
        kept.clock.advance(5)
        first = kept.connect(ACME, NORTH)
        kept.clock.advance(5)
        second = kept.consent(NORTH, ACME)
        assert second.commit_time - first.commit_time == 5 * 10**9
        number = second.revision.number
        assert kept.ask(lambda tx: tx.facts.commit_time_of(number)) == second.commit_time
        assert kept.ask(lambda tx: tx.facts.commit_time_of(number + 7)) == second.commit_time
        assert kept.ask(lambda tx: tx.facts.commit_time_of(0)) is None

    def test_a_transaction_that_fails_leaves_nothing(self, kept: StoreUnderTest) -> None:
        kept.customer(NORTH)
        before = head(kept)

        def fail(tx: Transaction) -> None:
            tx.connections.save(connection(tx))
            raise ValueError("no")

        with pytest.raises(ValueError, match="no"):
            kept.do(fail)
        assert head(kept) == before
        assert not standing(kept).connected

    def test_who_did_it_is_kept(self, kept: StoreUnderTest) -> None:
        kept.customer(NORTH)
        kept.store.write_now(lambda tx: tx.connections.save(connection(tx)), origin=Origin("tokens/t", "/a/B"))
        told = sa.select(tables.changes.c.actor, tables.changes.c.method)
        row = kept.store._database.write_now(lambda connection: connection.execute(told).one())
        assert tuple(row) == ("tokens/t", "/a/B")


class TestSubjects:
    """What a change touches."""

    def test_a_subscription_touches_the_standing_towards_every_partner(self, kept: StoreUnderTest) -> None:
        kept.customer(NORTH)
        kept.connect(ACME, NORTH)
        kept.connect(OTHER, NORTH)
        before = head(kept)
        save_subscription(kept, SubscriptionRecord(Plan.TRIAL))
        assert subjects(kept, before) == ["customers/north/consents/acme", "customers/north/consents/other"]

    def test_a_customers_display_name_touches_nothing(self, kept: StoreUnderTest) -> None:
        kept.valid_customer(NORTH, ACME)

        def rename(tx: Transaction) -> None:
            customer = tx.customers.get(NORTH)
            assert isinstance(customer, CustomerRecord)
            tx.customers.save(replace(customer, display_name="Far North"))

        assert not kept.do(rename).changed

    def test_a_rehearsal_touches_the_partners_demo_keys_and_the_demo_customers_standing(self, kept: StoreUnderTest) -> None:
        kept.key(ACME, "demo1", KeyKind.DEMO)
        kept.key(ACME, "all1")
        kept.key(OTHER, "demo2", KeyKind.DEMO)
        before = head(kept)

        rehearse(kept, True)
        assert subjects(kept, before) == ["customers/demo/consents/acme", "partners/acme/keys/demo1"]
        key = kept.ask(lambda tx: tx.facts.credential("partners/acme/keys/demo1"))
        assert isinstance(key, MarkedKey)
        assert key.rehearsing

    def test_a_keys_creation_change_and_deletion_touch_it(self, kept: StoreUnderTest) -> None:
        before = head(kept)
        kept.key(ACME, "k1")
        key = kept.ask(lambda tx: tx.keys.get(ACME, KeyId("k1")))
        assert key is not None
        kept.do(lambda tx: tx.keys.change(key, disabled=True))
        kept.do(lambda tx: tx.keys.delete(key))
        assert subjects(kept, before) == ["partners/acme/keys/k1"] * 3


class TestOpenedNumber:
    """When a standing counts as opened."""

    def test_becoming_valid_sets_it(self, kept: StoreUnderTest) -> None:
        kept.customer(NORTH)
        kept.connect(ACME, NORTH)
        assert standing(kept).opened_number == 0
        committed = kept.consent(NORTH, ACME)
        assert standing(kept).opened_number == committed.revision.number

    def test_a_change_while_valid_leaves_it(self, kept: StoreUnderTest) -> None:
        kept.valid_customer(NORTH, ACME)
        before = standing(kept).opened_number
        kept.consent(NORTH, ACME)
        assert standing(kept).opened_number == before

    def test_a_lapse_leaves_it_and_the_return_sets_it(self, kept: StoreUnderTest) -> None:
        kept.valid_customer(NORTH, ACME)
        before = standing(kept).opened_number
        save_subscription(kept, None)
        assert standing(kept).opened_number == before
        save_subscription(kept, SubscriptionRecord(Plan.PAID))
        assert standing(kept).opened_number == head(kept) > before

    def test_a_consent_that_ended_by_itself_is_opened_again_by_a_new_one(self, kept: StoreUnderTest) -> None:
        kept.customer(NORTH)
        kept.connect(ACME, NORTH)
        kept.consent(NORTH, ACME, end=kept.later(10))
        first = standing(kept).opened_number
        kept.clock.advance(10)
        assert valid(standing(kept), kept.clock.now()) == Deny(Reason.CONSENT_EXPIRED)
        second = kept.consent(NORTH, ACME)
        assert standing(kept).opened_number == second.revision.number > first

    def test_a_grant_that_is_over_within_one_transaction_opens_nothing(self, kept: StoreUnderTest) -> None:
        kept.customer(NORTH)
        kept.connect(ACME, NORTH)

        def there_and_back(tx: Transaction) -> None:
            tx.consents.save(consent(tx))
            tx.consents.save(replace(consent(tx), revoke_time=tx.now))

        kept.do(there_and_back)
        assert standing(kept).opened_number == 0

    def test_the_row_stays_after_a_disconnect(self, kept: StoreUnderTest) -> None:
        kept.valid_customer(NORTH, ACME)
        before = standing(kept)
        kept.do(lambda tx: tx.connections.save(replace(connection(tx), disconnect_time=tx.now)))
        after = standing(kept)
        assert (after.connected, after.disconnect_time) == (False, kept.clock.now())
        assert after.opened_number == before.opened_number


class TestRehearsals:
    """The demo customer's numbers, which change as those of one that withdraws and consents again."""

    def numbers(self, kept: StoreUnderTest, partner: PartnerId = ACME) -> tuple[int, int]:
        demo = kept.ask(lambda tx: tx.facts.standing(partner, CustomerId("demo")))
        assert demo == kept.ask(lambda tx: tx.facts.standings_to(partner, [NORTH, CustomerId("demo")]))[1]
        return demo.opened_number, demo.closed_number

    def test_it_is_open_from_before_the_first_key(self, kept: StoreUnderTest) -> None:
        kept.key(ACME, "demo1", KeyKind.DEMO)
        assert self.numbers(kept) == (1, 0)
        assert head(kept) >= 1

    def test_a_rehearsal_closes_it_and_its_end_opens_it(self, kept: StoreUnderTest) -> None:
        began = rehearse(kept, True)
        assert self.numbers(kept) == (1, began)
        ended = rehearse(kept, False)
        assert self.numbers(kept) == (ended, began)
        again = rehearse(kept, True)
        assert self.numbers(kept) == (ended, again)
        assert ended < again
        assert self.numbers(kept, OTHER) == (1, 0), "each partner rehearses for itself"

    def test_one_that_is_over_within_one_transaction_closes_nothing(self, kept: StoreUnderTest) -> None:
        rehearse(kept, True, False)
        assert self.numbers(kept) == (1, 0)

    def test_one_without_a_demo_key_is_a_change_all_the_same(self, kept: StoreUnderTest) -> None:
        before = head(kept)
        assert rehearse(kept, True) == before + 1


class TestListings:
    """Since when a customer is on a key's list, and who was taken off it."""

    @pytest.fixture
    def listed(self, kept: StoreUnderTest) -> StoreUnderTest:
        for customer in (NORTH, SOUTH, EAST):
            kept.customer(customer)
        kept.key(ACME, "spec", KeyKind.SPECIFIC_CUSTOMERS, frozenset({NORTH, SOUTH}))
        return kept

    def list_(self, kept: StoreUnderTest, *lists: set[CustomerId]) -> int:
        """The key's list becomes these, one after the other, in one transaction; the number of the change."""

        def save(tx: Transaction) -> None:
            for customers in lists:
                key = tx.keys.get(ACME, KeyId("spec"))
                assert key is not None
                tx.keys.change(key, customers=ListChange(customers - key.customers, key.customers - customers))

        return kept.do(save).revision.number

    def key(self, kept: StoreUnderTest) -> MarkedKey:
        key = kept.ask(lambda tx: tx.facts.credential("partners/acme/keys/spec"))
        assert isinstance(key, MarkedKey)
        return key

    def test_the_first_list_is_numbered_by_the_keys_creation(self, listed: StoreUnderTest) -> None:
        assert self.key(listed).listed_numbers == {NORTH: head(listed), SOUTH: head(listed)}
        assert self.key(listed).unlisted == ()

    def test_who_comes_later_has_a_number_of_its_own(self, listed: StoreUnderTest) -> None:
        created = head(listed)
        number = self.list_(listed, {NORTH, SOUTH, EAST})
        assert self.key(listed).listed_numbers == {NORTH: created, SOUTH: created, EAST: number}

    def test_who_is_taken_off_is_remembered_with_both_numbers(self, listed: StoreUnderTest) -> None:
        created = head(listed)
        number = self.list_(listed, {NORTH})
        assert self.key(listed).listed_numbers == {NORTH: created}
        assert self.key(listed).unlisted == ((SOUTH, created, number),)

    def test_who_comes_back_has_a_new_number_and_is_remembered_all_the_same(self, listed: StoreUnderTest) -> None:
        """From the first change that listed it: whoever was away since then cannot be told that it never was there."""
        created = head(listed)
        self.list_(listed, {NORTH})
        back = self.list_(listed, {NORTH, SOUTH})
        off = self.list_(listed, {NORTH})
        again = self.list_(listed, {NORTH, SOUTH})
        assert created < back < off < again
        assert self.key(listed).listed_numbers == {NORTH: created, SOUTH: again}
        assert self.key(listed).unlisted == ((SOUTH, created, off),)

    def test_what_is_undone_within_one_transaction_numbers_nothing(self, listed: StoreUnderTest) -> None:
        before = self.key(listed)
        self.list_(listed, {NORTH}, {NORTH, SOUTH, EAST}, {NORTH, SOUTH})
        assert self.key(listed) == before

    def test_another_change_of_the_key_leaves_the_numbers(self, listed: StoreUnderTest) -> None:
        before = self.key(listed)

        def disable(tx: Transaction) -> None:
            key = tx.keys.get(ACME, KeyId("spec"))
            assert key is not None
            tx.keys.change(key, disabled=True)

        listed.do(disable)
        assert self.key(listed) == replace(before, disabled=True)

    def test_a_key_without_a_list_has_none(self, listed: StoreUnderTest) -> None:
        listed.key(ACME, "all1")
        key = listed.ask(lambda tx: tx.facts.credential("partners/acme/keys/all1"))
        assert isinstance(key, MarkedKey)
        assert (key.listed_numbers, key.unlisted) == ({}, ())


def test_changes_are_read_to_their_end(kept: StoreUnderTest) -> None:
    """However many pages that takes, and whether one change has more lines than a page or there are many changes."""
    many = [PartnerId(f"partner{number:04}") for number in range(1, 1_101)]

    def fill(tx: Transaction) -> None:
        tx.customers.add(CustomerRecord(NORTH, "North", tx.now))
        for partner in many:
            tx.partners.add(PartnerRecord(partner, "", tx.now))
            tx.connections.save(ConnectionRecord(partner, NORTH, tx.now))

    first = kept.do(fill).revision.number
    kept.customer(SOUTH)
    last = kept.connect(ACME, SOUTH).revision.number
    changes = kept.ask(lambda tx: list(tx.facts.changes_after(first - 1)))
    assert [(change.number, change.subject) for change in changes] == [
        *((first, f"customers/north/consents/{partner}") for partner in many),
        (last, "customers/south/consents/acme"),
    ]
    assert kept.ask(lambda tx: [change.number for change in tx.facts.changes_after(first)]) == [last]


class Hearing:
    """Who hears of commits."""

    def __init__(self, committed: Callable[[Commit], None]) -> None:
        self.committed = committed

    def missed(self) -> None:
        """Nothing is missed by who listens to the only process."""


class TestListeners:
    """Who hears of a commit."""

    async def test_they_hear_of_every_change_on_the_event_loop(self, kept: StoreUnderTest) -> None:
        kept.customer(NORTH)
        heard: list[tuple[int, int]] = []
        kept.storage.commits.subscribe(Hearing(lambda commit: heard.append((commit.revision.number, threading.get_ident()))))
        committed = await kept.store.write(lambda tx: tx.connections.save(connection(tx)))
        await kept.store.write(lambda tx: tx.partners.get(ACME))
        assert heard == [(committed.revision.number, threading.get_ident())]

    async def test_they_hear_of_a_change_whose_caller_has_gone(self, kept: StoreUnderTest) -> None:
        kept.customer(NORTH)
        began, go_on, heard = threading.Event(), threading.Event(), asyncio.Event()
        kept.storage.commits.subscribe(Hearing(lambda _commit: heard.set()))

        def slow(tx: Transaction) -> None:
            began.set()
            go_on.wait(10)
            tx.connections.save(connection(tx))

        write = asyncio.create_task(kept.store.write(slow))
        assert await asyncio.to_thread(began.wait, 10)
        write.cancel()
        with pytest.raises(asyncio.CancelledError):
            await write
        go_on.set()
        await asyncio.wait_for(heard.wait(), 10)
        assert standing(kept).connected

    async def test_a_failure_whose_caller_has_gone_is_nobodys(self, kept: StoreUnderTest) -> None:
        began, go_on = threading.Event(), threading.Event()

        def slow(_tx: Transaction) -> None:
            began.set()
            go_on.wait(10)
            raise ValueError("nobody hears this")

        write = asyncio.create_task(kept.store.write(slow))
        assert await asyncio.to_thread(began.wait, 10)
        write.cancel()
        with pytest.raises(asyncio.CancelledError):
            await write
        go_on.set()
        assert await kept.store.read(lambda view: view.partners.get(ACME)) is not None
