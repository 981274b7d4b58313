"""The authority's side of Follow, over a real store."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
import sqlalchemy as sa

from consentry_authority.commands.ports import View
from consentry_authority.enforcement.following import Following
from consentry_authority.storage.schema import tables
from consentry_core.protocol.follow import Facts, FromAuthority, Hello, Interest, Lease, Renewal, Revision
from consentry_core.sql.database import open_sqlite
from consentry_core.values.clock import BootTime
from consentry_core.values.errors import Unavailable
from consentry_rule import Instant
from support.stores import ACME, NORTH, SOUTH, StoreUnderTest, open_store


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[StoreUnderTest]:
    with open_store(tmp_path) as kept:
        kept.partner(ACME)
        kept.valid_customer(NORTH, ACME)
        yield kept


def following(*names: str) -> Following:
    """A guard that wants these names, and a lease."""
    following = Following()
    for message in (Hello("0123456789abcdef", "devices"), Interest(1, names), Renewal(BootTime(5))):
        following.received(message)
    return following


def turn(kept: StoreUnderTest, following: Following) -> list[FromAuthority]:
    return kept.ask(lambda view: list(following.turn(view)))


def test_a_turn_says_what_changed_then_what_was_asked_for_then_the_lease(kept: StoreUnderTest) -> None:
    """All of it at one revision, so that a lease never comes before what it stands on."""
    guard = following("partners/acme")
    changes, snapshot, lease = turn(kept, guard)
    assert isinstance(changes, Facts)
    assert isinstance(snapshot, Facts)
    assert isinstance(lease, Lease)
    assert (changes.interest, snapshot.interest) == (0, 1)
    assert changes.revision == snapshot.revision == lease.revision
    assert [standing.customer for standing in snapshot.standings] == [NORTH]
    assert not guard.owes


def test_a_change_between_the_wish_and_its_snapshot_is_in_one_of_them(kept: StoreUnderTest) -> None:
    guard = following()
    turn(kept, guard)
    guard.received(Interest(2, ("partners/acme",)))
    kept.valid_customer(SOUTH, ACME)
    told = [standing.customer for said in turn(kept, guard) if isinstance(said, Facts) for standing in said.standings]
    assert SOUTH in told
    kept.do(lambda tx: tx.consents.save(tx.consents.get(NORTH, ACME) or pytest.fail("it consented")))
    (changes,) = turn(kept, guard)
    assert isinstance(changes, Facts)
    assert [standing.customer for standing in changes.standings] == [NORTH]


def test_a_rehearsal_is_told_to_who_follows_the_demo_customer_and_to_nobody_else(kept: StoreUnderTest) -> None:
    """All of a partner's customers are told without it, in a snapshot and in what changes."""
    of_all, of_demo = following("partners/acme"), following("customers/demo/consents/acme")
    turn(kept, of_all)
    turn(kept, of_demo)
    kept.do(lambda tx: tx.partners.save(replace(tx.partners.get(ACME) or pytest.fail("it is there"), rehearsing=True)))
    kept.connect(ACME, NORTH)
    told = [
        [
            (standing.customer, standing.closed_number)
            for said in turn(kept, guard)
            for standing in getattr(said, "standings", ())
        ]
        for guard in (of_all, of_demo)
    ]
    rehearsed = kept.ask(lambda view: view.facts.demo_standing(ACME)).closed_number
    assert told == [[(NORTH, 0)], [("demo", rehearsed)]]
    assert rehearsed > 0


def test_nothing_of_another_history_is_mixed_with_what_was_told(kept: StoreUnderTest, tmp_path: Path) -> None:
    """A database that was replaced under an open stream: the guard must learn all anew before it has another lease."""
    guard = following("partners/acme")
    turn(kept, guard)
    with open_sqlite(tmp_path / "authority.db").begin() as connection:
        connection.execute(sa.update(tables.revision).values(epoch="another"))
    guard.received(Renewal(BootTime(6)))
    with pytest.raises(Unavailable):
        turn(kept, guard)


def test_a_copy_that_lags_behind_what_was_told_is_waited_for(kept: StoreUnderTest) -> None:
    """What it shows is old; asking it again at once would turn in circles, and write the member's row every time."""
    guard = following("partners/acme")
    old = kept.ask(lambda view: view.facts.head())
    kept.valid_customer(SOUTH, ACME)
    turn(kept, guard)
    guard.received(Renewal(BootTime(6)))

    class Lagging:
        def head(self) -> Revision:
            return old

    class LaggingView:
        now, facts = Instant(0), Lagging()

    assert list(guard.turn(cast(View, LaggingView()))) == []
    assert not guard.owes
    (_, lease) = turn(kept, guard)
    assert isinstance(lease, Lease)
    assert not guard.owes
