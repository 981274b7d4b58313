"""Partners, customers, subscriptions, connections."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from consentry_authority.commands.consents.grant_consent import Grant, grant_consent
from consentry_authority.commands.directory.cancel_subscription import cancel_subscription
from consentry_authority.commands.directory.connect_customer import connect_customer
from consentry_authority.commands.directory.create_customer import create_customer
from consentry_authority.commands.directory.create_partner import create_partner
from consentry_authority.commands.directory.disconnect_customer import disconnect_customer
from consentry_authority.commands.directory.get_customer import get_customer
from consentry_authority.commands.directory.list_connections import ConnectionStatus, list_connections
from consentry_authority.commands.directory.list_partners import list_partners
from consentry_authority.commands.directory.set_subscription import set_subscription
from consentry_authority.commands.pages import Page
from consentry_authority.commands.records import Plan, SubscriptionRecord
from consentry_authority.commands.states import State, subscription_state
from consentry_core.values.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from consentry_rule import Allow, CustomerId, Deny, PartnerId, Reason, valid
from support.stores import ACME, EAST, NORTH, OTHER, SOUTH, StoreUnderTest, open_store

DEMO = CustomerId("demo")
PAID = SubscriptionRecord(Plan.PAID)


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[StoreUnderTest]:
    with open_store(tmp_path) as kept:
        kept.partner(ACME)
        kept.partner(OTHER)
        yield kept


def test_an_id_is_taken_once(kept: StoreUnderTest) -> None:
    with pytest.raises(AlreadyExists):
        kept.do(lambda tx: create_partner(tx, ACME, "Acme"))
    kept.customer(NORTH)
    with pytest.raises(AlreadyExists):
        kept.do(lambda tx: create_customer(tx, NORTH, "North", None))
    with pytest.raises(AlreadyExists):
        kept.do(lambda tx: create_customer(tx, DEMO, "Mine", None))


def test_a_display_name_has_an_end(kept: StoreUnderTest) -> None:
    assert kept.do(lambda tx: create_partner(tx, PartnerId("long"), "x" * 200)).value.display_name == "x" * 200
    with pytest.raises(InvalidArgument) as refused:
        kept.do(lambda tx: create_partner(tx, PartnerId("longer"), "x" * 201))
    assert refused.value.violations[0].field == "partner.display_name"


def test_pages_follow_each_other(kept: StoreUnderTest) -> None:
    first = kept.ask(lambda tx: list_partners(tx, after="", limit=1))
    second = kept.ask(lambda tx: list_partners(tx, after=first.last, limit=1))
    assert [partner.id for partner in (*first.items, *second.items)] == [ACME, OTHER]
    assert (first.last, second.last) == (ACME, "")


class TestSubscription:
    """Plans and their ends."""

    @pytest.mark.parametrize("seconds", [0, -1])
    def test_one_that_has_ended_cannot_be_set(self, kept: StoreUnderTest, seconds: int) -> None:
        kept.customer(NORTH)
        ended = SubscriptionRecord(Plan.PAID, kept.later(seconds))
        with pytest.raises(InvalidArgument) as refused:
            kept.do(lambda tx: set_subscription(tx, NORTH, ended))
        assert refused.value.violations[0].field == "subscription.expire_time"
        with pytest.raises(InvalidArgument):
            kept.do(lambda tx: create_customer(tx, SOUTH, "", ended))
        assert kept.ask(lambda tx: tx.customers.get(SOUTH)) is None

    def test_it_ends_at_its_instant(self, kept: StoreUnderTest) -> None:
        subscription = SubscriptionRecord(Plan.TRIAL, kept.later(10))
        assert subscription_state(subscription, kept.later(9)) is State.ACTIVE
        assert subscription_state(subscription, kept.later(10)) is State.EXPIRED

    def test_setting_the_same_changes_nothing(self, kept: StoreUnderTest) -> None:
        kept.valid_customer(NORTH, ACME)
        assert not kept.do(lambda tx: set_subscription(tx, NORTH, PAID)).changed
        assert kept.do(lambda tx: set_subscription(tx, NORTH, SubscriptionRecord(Plan.TRIAL))).changed

    def test_a_cancelled_one_comes_back_by_being_set(self, kept: StoreUnderTest) -> None:
        kept.valid_customer(NORTH, ACME)
        cancelled = kept.do(lambda tx: cancel_subscription(tx, NORTH))
        assert cancelled.changed
        assert not kept.do(lambda tx: cancel_subscription(tx, NORTH)).changed
        assert validity(kept, NORTH) == Deny(Reason.SUBSCRIPTION_CANCELLED)
        kept.do(lambda tx: set_subscription(tx, NORTH, PAID))
        assert validity(kept, NORTH) == Allow()

    def test_none_cannot_be_cancelled(self, kept: StoreUnderTest) -> None:
        kept.customer(NORTH, subscribed=False)
        with pytest.raises(FailedPrecondition) as refused:
            kept.do(lambda tx: cancel_subscription(tx, NORTH))
        assert refused.value.reason == "SUBSCRIPTION_MISSING"

    def test_the_demo_customer_has_none(self, kept: StoreUnderTest) -> None:
        for refused_case in (
            lambda tx: set_subscription(tx, DEMO, PAID),
            lambda tx: cancel_subscription(tx, DEMO),
            lambda tx: connect_customer(tx, ACME, DEMO),
        ):
            with pytest.raises(FailedPrecondition) as refused:
                kept.do(refused_case)
            assert refused.value.reason == "DEMO_CUSTOMER"
            assert refused.value.violations[0].field == "customers/demo"


class TestConnection:
    """Who works with whom."""

    def test_it_gives_no_access(self, kept: StoreUnderTest) -> None:
        kept.customer(NORTH)
        connected = kept.do(lambda tx: connect_customer(tx, ACME, NORTH))
        assert connected.value.validity == Deny(Reason.CONSENT_MISSING)
        assert not kept.do(lambda tx: connect_customer(tx, ACME, NORTH)).changed

    def test_both_sides_must_be_there(self, kept: StoreUnderTest) -> None:
        kept.customer(NORTH)
        with pytest.raises(NotFound):
            kept.do(lambda tx: connect_customer(tx, PartnerId("nobody"), NORTH))
        with pytest.raises(NotFound):
            kept.do(lambda tx: connect_customer(tx, ACME, CustomerId("nobody")))
        with pytest.raises(NotFound):
            kept.do(lambda tx: get_customer(tx, CustomerId("nobody")))

    def test_disconnecting_ends_the_consent_for_good(self, kept: StoreUnderTest) -> None:
        kept.valid_customer(NORTH, ACME)
        ended = kept.do(lambda tx: disconnect_customer(tx, ACME, NORTH))
        assert validity(kept, NORTH) == Deny(Reason.NOT_CONNECTED)
        assert not kept.do(lambda tx: disconnect_customer(tx, ACME, NORTH)).changed
        consent = kept.ask(lambda tx: tx.consents.get(NORTH, ACME))
        assert consent is not None
        assert consent.revoke_time == kept.clock.now()

        kept.clock.advance(1)
        again = kept.do(lambda tx: connect_customer(tx, ACME, NORTH))
        assert again.value.validity == Deny(Reason.CONSENT_REVOKED)
        assert again.value.connection.connect_time == kept.clock.now()
        opened = kept.do(lambda tx: grant_consent(tx, NORTH, ACME, Grant()))
        standing = kept.ask(lambda tx: tx.facts.standing(ACME, NORTH))
        assert standing.opened_number == opened.revision.number > ended.revision.number

    def test_another_partners_consent_stays(self, kept: StoreUnderTest) -> None:
        kept.valid_customer(NORTH, ACME)
        kept.connect(OTHER, NORTH)
        kept.consent(NORTH, OTHER)
        kept.do(lambda tx: disconnect_customer(tx, ACME, NORTH))
        assert validity(kept, NORTH, OTHER) == Allow()

    def test_what_was_never_connected_is_not_found(self, kept: StoreUnderTest) -> None:
        kept.customer(NORTH)
        with pytest.raises(NotFound):
            kept.do(lambda tx: disconnect_customer(tx, ACME, NORTH))

    def test_they_are_listed_for_either_side_with_their_validity(self, kept: StoreUnderTest) -> None:
        kept.valid_customer(NORTH, ACME)
        kept.customer(SOUTH, subscribed=False)
        kept.connect(ACME, SOUTH)
        kept.connect(OTHER, NORTH)
        kept.valid_customer(EAST, OTHER)
        kept.do(lambda tx: disconnect_customer(tx, OTHER, EAST))
        assert listed(kept, partner=ACME) == [
            (ACME, NORTH, Allow()),
            (ACME, SOUTH, Deny(Reason.SUBSCRIPTION_MISSING)),
        ]
        assert listed(kept, customer=NORTH) == [
            (ACME, NORTH, Allow()),
            (OTHER, NORTH, Deny(Reason.CONSENT_MISSING)),
        ]
        assert [(partner, customer) for partner, customer, _ in listed(kept)] == [
            (ACME, NORTH),
            (ACME, SOUTH),
            (OTHER, NORTH),
        ]


def validity(kept: StoreUnderTest, customer: CustomerId, partner: PartnerId = ACME) -> Allow | Deny:
    return kept.ask(lambda tx: valid(tx.facts.standing(partner, customer), tx.now))


def listed(
    kept: StoreUnderTest, partner: PartnerId | None = None, customer: CustomerId | None = None
) -> list[tuple[PartnerId, CustomerId, Allow | Deny]]:
    """All pages, one item each."""

    def page_after(after: str) -> Page[ConnectionStatus]:
        return kept.ask(lambda tx: list_connections(tx, partner=partner, customer=customer, after=after, limit=1))

    pages = [page_after("")]
    while pages[-1].last:
        pages.append(page_after(pages[-1].last))
    return [(item.connection.partner, item.connection.customer, item.validity) for page in pages for item in page.items]
