"""What decisions are made of, read back from the tables."""

import pytest
import sqlalchemy as sa

from consentry_authority.commands.records import ConnectionRecord
from consentry_core.protocol.marks import MarkedKey, MarkedStanding
from consentry_core.values import names
from consentry_rule import Allow, CustomerId, valid
from support.stores import ACME, EAST, NORTH, OTHER, SOUTH, StoreUnderTest


@pytest.fixture
def kept(opened_store: StoreUnderTest) -> StoreUnderTest:
    opened_store.partner(ACME)
    opened_store.partner(OTHER)
    return opened_store


def test_nothing_to_do_with_each_other_is_an_empty_standing(kept: StoreUnderTest) -> None:
    assert kept.ask(lambda tx: tx.facts.standing(ACME, EAST)) == MarkedStanding(ACME, EAST)


def test_the_demo_customer_stands_towards_everybody(kept: StoreUnderTest) -> None:
    demo = kept.ask(lambda tx: tx.facts.demo_standing(OTHER))
    assert demo == MarkedStanding(OTHER, CustomerId(names.DEMO_CUSTOMER), demo=True, opened_number=1)


def test_standings_come_in_pages_and_are_not_filtered_by_validity(kept: StoreUnderTest) -> None:
    for customer in (SOUTH, NORTH, EAST):
        kept.valid_customer(customer, ACME)
    kept.connect(OTHER, NORTH)
    kept.do(lambda tx: tx.connections.save(ConnectionRecord(ACME, EAST, tx.now, disconnect_time=tx.now)))
    first = kept.ask(lambda tx: tx.facts.standings_of(ACME, limit=2))
    second = kept.ask(lambda tx: tx.facts.standings_of(ACME, after=NORTH, limit=2))
    assert [found.customer for found in (*first, *second)] == [EAST, NORTH, SOUTH]
    assert not first[0].connected
    assert isinstance(valid(second[0], kept.clock.now()), Allow)


def test_standings_come_in_the_order_they_were_asked_in(kept: StoreUnderTest) -> None:
    kept.valid_customer(NORTH, ACME)
    pairs = [(OTHER, NORTH), (ACME, SOUTH), (ACME, NORTH)]
    found = kept.ask(lambda tx: tx.facts.standings_between(pairs))
    assert [(each.partner, each.customer, each.connected) for each in found] == [
        (OTHER, NORTH, False),
        (ACME, SOUTH, False),
        (ACME, NORTH, True),
    ]


def test_a_deleted_key_is_no_credential_and_its_secret_is_dead(kept: StoreUnderTest) -> None:
    key = kept.key(ACME, "k1")
    assert isinstance(kept.ask(lambda tx: tx.facts.credential(key.name)), MarkedKey)
    kept.do(lambda tx: tx.keys.delete(key))
    assert kept.ask(lambda tx: tx.facts.credential(key.name)) is None
    secret = kept.ask(lambda tx: tx.facts.secret("acme-k1"))
    assert secret is not None
    assert secret.argon2_hash is None


def test_an_id_is_never_used_again(kept: StoreUnderTest) -> None:
    key = kept.key(ACME, "k1")
    kept.do(lambda tx: tx.keys.delete(key))
    with pytest.raises(sa.exc.IntegrityError):
        kept.key(ACME, "k1")


@pytest.mark.parametrize("name", ["", "partners/acme", "tokens/none", "partners/acme/keys/none", "x" * 1000])
def test_what_is_no_credential_is_none(kept: StoreUnderTest, name: str) -> None:
    assert kept.ask(lambda tx: tx.facts.credential(name)) is None
