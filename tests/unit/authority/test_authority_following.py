"""The authority's side of Follow, over a real store."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
import sqlalchemy as sa

from consentry_authority.commands.keys.disable_key import disable_key
from consentry_authority.commands.keys.get_key import get_key
from consentry_authority.commands.ports import ListChange, View
from consentry_authority.enforcement.following import Following
from consentry_authority.storage.schema import tables
from consentry_core.protocol.follow import Credential, Facts, Forget, FromAuthority, Hello, Interest, Lease, Renewal, Revision
from consentry_core.protocol.marks import ListDifference, MarkedKey
from consentry_core.sql.database import open_sqlite
from consentry_core.values.clock import BootTime
from consentry_core.values.errors import Unavailable
from consentry_rule import CustomerId, Instant, KeyId, KeyKind
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
    kept.do(lambda tx: tx.consents.save(replace(tx.consents.get(NORTH, ACME) or pytest.fail("it consented"), purpose="more")))
    (changes,) = turn(kept, guard)
    assert isinstance(changes, Facts)
    assert [standing.customer for standing in changes.standings] == [NORTH]


def test_a_rehearsal_is_told_to_who_follows_the_demo_customer_and_to_nobody_else(kept: StoreUnderTest) -> None:
    """All of a partner's customers are told without it, in a snapshot and in what changes."""
    of_all, of_demo = following("partners/acme"), following("customers/demo/consents/acme")
    turn(kept, of_all)
    turn(kept, of_demo)
    kept.do(lambda tx: tx.partners.save(replace(tx.partners.get(ACME) or pytest.fail("it is there"), rehearsing=True)))
    kept.clock.advance(1)
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


LISTED = "partners/acme/keys/listed"


def credentials(said: list[FromAuthority]) -> list[Credential]:
    return [credential for each in said if isinstance(each, Facts) for credential in each.credentials]


def relist(kept: StoreUnderTest, *, added: str = "", removed: str = "") -> int:
    key = kept.ask(lambda tx: get_key(tx, ACME, KeyId("listed")))
    on, off = (frozenset(map(CustomerId, names.split())) for names in (added, removed))
    return kept.do(lambda tx: tx.keys.change(key, customers=ListChange(on, off))).revision.number


def test_of_a_list_that_was_told_only_what_differs_is_told(kept: StoreUnderTest) -> None:
    """Of several changes at once, what has become of it; of another change of the key, that nothing has."""
    kept.valid_customer(SOUTH, ACME)
    kept.key(ACME, "listed", KeyKind.SPECIFIC_CUSTOMERS, frozenset({NORTH}))
    created = head(kept)
    guard = following(LISTED)
    (snapshot,) = credentials(turn(kept, guard))
    assert isinstance(snapshot.facts, MarkedKey)
    assert (snapshot.facts.customers, snapshot.facts.list_number, snapshot.difference) == (frozenset({NORTH}), created, None)
    added = relist(kept, added="south")
    removed = relist(kept, removed="north")
    (changed,) = credentials(turn(kept, guard))
    assert isinstance(changed.facts, MarkedKey)
    assert (changed.facts.customers, changed.facts.list_number) == (frozenset(), removed)
    assert changed.difference == ListDifference(created, ((SOUTH, added),), ((NORTH, created, removed),))
    assert changed.difference.applied_to(snapshot.facts, changed.facts) == whole(kept)
    back = relist(kept, added="north")
    (again,) = credentials(turn(kept, guard))
    assert again.difference == ListDifference(removed, ((NORTH, back),), ((NORTH, created, removed),))
    kept.do(lambda tx: disable_key(tx, ACME, KeyId("listed")))
    (disabled,) = credentials(turn(kept, guard))
    assert disabled.difference == ListDifference(back)


def head(kept: StoreUnderTest) -> int:
    return kept.ask(lambda tx: tx.facts.head()).number


def whole(kept: StoreUnderTest) -> MarkedKey:
    found = kept.ask(lambda tx: tx.facts.credential(LISTED))
    assert isinstance(found, MarkedKey)
    return found


def test_a_list_that_may_not_be_known_is_told_whole(kept: StoreUnderTest) -> None:
    """To a guard from before differences, and to one that has forgotten it, before the snapshot and in it."""
    kept.valid_customer(SOUTH, ACME)
    kept.key(ACME, "listed", KeyKind.SPECIFIC_CUSTOMERS, frozenset({NORTH}))
    guard, former = following(LISTED), Following()
    for message in (Hello("0123456789abcdef", "devices", list_differences=False), Interest(1, (LISTED,)), Renewal(BootTime(5))):
        former.received(message)
    for each in (guard, former):
        turn(kept, each)
    relist(kept, added="south")
    (told,) = credentials(turn(kept, former))
    assert (told.difference, told.facts) == (None, whole(kept))
    guard.received(Forget((LISTED,)))
    guard.received(Interest(2, (LISTED,)))
    before_the_snapshot, snapshot = credentials(turn(kept, guard))
    assert before_the_snapshot == snapshot == Credential(LISTED, whole(kept))
    key = kept.ask(lambda tx: get_key(tx, ACME, KeyId("listed")))
    kept.do(lambda tx: tx.keys.delete(key))
    assert credentials(turn(kept, guard)) == [Credential(LISTED, None)]


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
