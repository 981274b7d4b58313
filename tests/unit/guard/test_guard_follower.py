"""The guard's side of Follow, driven by messages and the time: when a lease counts, what is known, what a reconnect does."""

from dataclasses import replace

import pytest

from consentry_core.protocol.follow import Acknowledgement, Credential, Facts, Hello, Interest, Lease, Proofs, Renewal, Revision
from consentry_core.protocol.marks import ListDifference, MarkedKey, MarkedStanding
from consentry_core.values.clock import SECOND, BootTime
from consentry_guard.follow.deadlines import Deadlines
from consentry_guard.follow.follower import NAMES_PER_INTEREST, HistoryWentBack, ListMissing
from consentry_rule import CustomerId, Instant, KeyKind, PartnerId
from support.followers import Follower

ACME, NORTH, SOUTH, EAST = PartnerId("acme"), CustomerId("north"), CustomerId("south"), CustomerId("east")
KEY = "partners/acme/keys/k1"
PARTNER = "partners/acme"
T = 5 * SECOND


def at(seconds: float) -> BootTime:
    return BootTime(round((100 + seconds) * SECOND))


def revision(number: int, epoch: str = "e1") -> Revision:
    return Revision(epoch, number)


def lease(number: int, asked: float, epoch: str = "e1", authority_time: int = 0) -> Lease:
    return Lease(at(asked), revision(number, epoch), T, Instant(authority_time))


def started(number: int = 7) -> Follower:
    """A follower that has connected at 0 with no interest, and has a lease from then."""
    follower = Follower("incarnation", "devices")
    follower.connected(at(0))
    follower.received(Facts(revision(number)))
    follower.received(Facts(revision(number), interest=1))
    follower.received(lease(number, asked=0))
    return follower


def test_it_says_hello_then_all_that_it_wants_then_asks_for_a_lease() -> None:
    follower = Follower("incarnation", "devices")
    assert follower.want([KEY]) == [], "nobody to say it to yet"
    assert follower.connected(at(0)) == [Hello("incarnation", "devices"), Interest(1, (KEY,)), Renewal(at(0))]
    assert follower.want([KEY, PARTNER]) == [Interest(2, (PARTNER,))], "only what is new"
    assert follower.want([PARTNER]) == []


def test_what_was_verified_is_shown_before_the_wish_that_needs_it() -> None:
    """Again at every connection: who answers then may never have heard of it."""
    follower, other = Follower("incarnation", "devices"), "partners/acme/keys/k2"
    for credential, proof in ((KEY, b"one"), (other, b"two"), ("partners/rival/keys/k3", b"three"), ("tokens/t", b"four")):
        follower.verified(credential, proof)
    follower.want([f"customers/{NORTH}/consents/acme", KEY])
    _, shown, interest, _ = follower.connected(at(0))
    assert isinstance(interest, Interest)
    assert isinstance(shown, Proofs)
    assert {PARTNER, "partners/rival"} <= {name.rpartition("/keys/")[0] for name, _ in shown.proofs}, "one of each partner"
    assert (KEY, b"one") in shown.proofs
    assert follower.want([other]) == [Proofs(((other, b"two"),)), Interest(2, (other,))]
    assert b"one" not in repr(shown).encode()


def test_when_the_authority_refuses_a_proof_nothing_counts_as_verified_or_wanted() -> None:
    follower = started()
    follower.verified(KEY, b"proof")
    follower.want([KEY, PARTNER])
    follower.received(Facts(revision(7), interest=2, credentials=(Credential(KEY, MarkedKey(KeyKind.ALL_CUSTOMERS, ACME)),)))
    assert follower.is_verified(KEY)
    assert follower.credential(KEY) is not None
    follower.disconnected()
    follower.disowned()
    assert not follower.is_verified(KEY)
    assert not follower.knows(KEY)
    assert follower.credential(KEY) is None
    assert follower.connected(at(1)) == [Hello("incarnation", "devices"), Interest(1, ()), Renewal(at(1))]
    follower.verified(KEY, b"newer")
    assert follower.want([KEY]) == [Proofs(((KEY, b"newer"),)), Interest(2, (KEY,))]


def test_what_is_wanted_is_asked_for_in_messages_of_bounded_size_and_the_lease_waits_for_all() -> None:
    """However much a guard has come to follow, it comes back after an interruption."""
    follower = Follower("incarnation", "devices")
    wanted = tuple(f"customers/c{number:05}/consents/acme" for number in range(2 * NAMES_PER_INTEREST + 1))
    follower.want(wanted)
    _, *interests, renewal = follower.connected(at(0))
    assert isinstance(renewal, Renewal)
    assert [len(interest.names) for interest in interests if isinstance(interest, Interest)] == [
        NAMES_PER_INTEREST,
        NAMES_PER_INTEREST,
        1,
    ]
    follower.received(Facts(revision(3)))
    follower.received(lease(3, asked=0))
    for number in (1, 2):
        follower.received(Facts(revision(3), interest=number))
        assert not follower.may_serve(at(0.1)), "the third piece is not answered"
    follower.received(Facts(revision(3), interest=3))
    assert follower.may_serve(at(0.1))
    assert all(follower.knows(name) for name in wanted)
    assert len(follower.want([f"{name}x" for name in wanted])) == 3


def test_a_lease_counts_from_when_it_was_asked_for() -> None:
    """Whatever the answer took: the time on the way is not given away."""
    follower = started()
    assert follower.may_serve(at(4.999))
    assert not follower.may_serve(at(5))
    follower.received(lease(7, asked=2))
    assert follower.may_serve(at(6.999))
    assert not follower.may_serve(at(7))


def test_a_lease_counts_only_once_its_revision_has_been_applied() -> None:
    follower = started(7)
    follower.received(lease(9, asked=4))
    assert not follower.may_serve(at(5)), "change 8 and 9 are not applied"
    follower.received(Facts(revision(8)))
    assert not follower.may_serve(at(5))
    follower.received(Facts(revision(9), more=True))
    assert not follower.may_serve(at(5)), "the change has not been told whole"
    follower.received(Facts(revision(9)))
    assert follower.may_serve(at(5))


def test_there_is_no_lease_before_everything_wanted_is_known() -> None:
    follower = Follower("incarnation", "devices")
    follower.want([KEY, PARTNER])
    follower.connected(at(0))
    follower.received(Facts(revision(3)))
    follower.received(Facts(revision(3), interest=1, more=True, credentials=(Credential(KEY, None),)))
    follower.received(lease(3, asked=0))
    assert not follower.may_serve(at(0.1))
    assert not follower.knows(KEY)
    applied = follower.received(Facts(revision(3), interest=1, standings=(MarkedStanding(ACME, NORTH),)))
    assert follower.may_serve(at(0.1))
    assert set(applied.answered) == {KEY, PARTNER}
    assert follower.knows(KEY)
    assert follower.knows(PARTNER)


def test_what_was_known_stays_in_use_under_the_lease_that_it_came_with() -> None:
    """A reconnect takes nothing away at once, and gives nothing before everything has been learned anew."""
    follower = started()
    key = MarkedKey(KeyKind.ALL_CUSTOMERS, ACME)
    follower.want([KEY])
    follower.received(Facts(revision(7), interest=2, credentials=(Credential(KEY, key),)))
    follower.disconnected()
    assert follower.connected(at(3))[1] == Interest(1, (KEY,))
    assert follower.may_serve(at(4.9))
    assert follower.credential(KEY) == key
    follower.received(Facts(revision(8)))
    follower.received(lease(8, asked=3))
    assert not follower.may_serve(at(5)), "the key has not been told on this connection"
    follower.received(Facts(revision(8), interest=1, credentials=(Credential(KEY, None),)))
    assert follower.may_serve(at(5))
    assert follower.credential(KEY) is None


def test_a_withdrawal_on_a_new_connection_waits_for_nothing() -> None:
    follower = started()
    follower.want([KEY, "customers/north/consents/acme"])
    key = MarkedKey(KeyKind.ALL_CUSTOMERS, ACME)
    open_standing = MarkedStanding(ACME, NORTH, connected=True)
    follower.received(Facts(revision(7), 2, credentials=(Credential(KEY, key),), standings=(open_standing,)))
    follower.disconnected()
    follower.connected(at(1))
    applied = follower.received(Facts(revision(9), interest=1, more=True, standings=(MarkedStanding(ACME, NORTH),)))
    assert applied.standings == ((ACME, NORTH),)
    assert follower.standing(ACME, NORTH) == MarkedStanding(ACME, NORTH)
    assert follower.may_serve(at(2)), "by the old lease, with the new fact"


def test_another_history_replaces_everything() -> None:
    """A restored authority: numbers mean nothing any more, and what is not in its snapshot is not there."""
    follower = started(100)
    follower.want([PARTNER])
    follower.received(Facts(revision(100), interest=2, standings=(MarkedStanding(ACME, NORTH), MarkedStanding(ACME, SOUTH))))
    follower.disconnected()
    follower.connected(at(1))
    follower.received(Facts(revision(3, "e2")))
    follower.received(lease(3, asked=1, epoch="e2"))
    applied = follower.received(Facts(revision(3, "e2"), interest=1, standings=(MarkedStanding(ACME, NORTH),)))
    assert list(follower.standings_of(ACME).values()) == [MarkedStanding(ACME, NORTH)]
    assert (ACME, SOUTH) in applied.standings, "whoever watches it has to look again"
    assert not follower.has_applied(revision(3, "e1"))
    assert follower.has_applied(revision(2, "e2"))


def test_after_a_reconnect_nothing_counts_as_applied_before_all_has_been_learned_anew() -> None:
    """The head comes first, what changed up to it last: a reader that noted the head by then would miss what changed."""
    follower = started(7)
    follower.want([PARTNER])
    valid = MarkedStanding(ACME, NORTH, connected=True, opened_number=3)
    follower.received(Facts(revision(7), interest=2, standings=(valid, MarkedStanding(ACME, SOUTH))))
    follower.disconnected()
    follower.connected(at(1))
    assert follower.revision() == revision(7), "what is in use has not changed"
    follower.received(Facts(revision(9)))
    assert (follower.revision(), follower.has_applied(revision(8))) == (revision(7), False)
    follower.received(lease(9, asked=1))
    opened = MarkedStanding(ACME, SOUTH, connected=True, opened_number=10)
    early = follower.received(Facts(revision(10), standings=(opened,)))
    assert (early.standings, follower.revision()) == (((ACME, SOUTH),), revision(7))
    learned = follower.received(Facts(revision(10), interest=1, standings=(valid, opened)))
    assert (follower.revision(), follower.has_applied(revision(10))) == (revision(10), True)
    assert learned.standings == ((ACME, SOUTH),), "told again, now that the revision is right"


def test_what_is_told_again_as_it_was_is_no_news() -> None:
    """A reconnect tells everything: whoever watches would have to look at everything, and each end would be noted once more."""
    follower = started()
    follower.want([KEY, PARTNER])
    key = Credential(KEY, MarkedKey(KeyKind.ALL_CUSTOMERS, ACME))
    told = Facts(revision(7), interest=2, credentials=(key,), standings=(MarkedStanding(ACME, NORTH),))
    assert follower.received(told).standings == ((ACME, NORTH),)
    follower.disconnected()
    follower.connected(at(1))
    follower.received(Facts(revision(7)))
    follower.received(lease(7, asked=1))
    again = follower.received(replace(told, interest=1))
    assert (again.credentials, again.standings, set(again.answered)) == ((), (), {KEY, PARTNER})


def test_what_still_comes_of_a_wish_that_was_dropped_is_not_applied_to_a_new_one() -> None:
    """Changes between the two are not told: an answer to the first is older than what is acknowledged meanwhile."""
    follower = started()
    consent = "customers/north/consents/acme"
    follower.want([consent, KEY])
    follower.forget([consent, KEY])
    follower.want([consent, KEY])
    key, standing = MarkedKey(KeyKind.ALL_CUSTOMERS, ACME), MarkedStanding(ACME, NORTH, connected=True)
    follower.received(Facts(revision(7), interest=2, credentials=(Credential(KEY, key),), standings=(standing,)))
    follower.received(Facts(revision(7), credentials=(Credential(KEY, key),)))
    assert follower.credential(KEY) is None
    assert follower.standing(ACME, NORTH) is None
    follower.received(Facts(revision(8)))
    follower.received(Facts(revision(8), interest=3, more=True, credentials=(Credential(KEY, key),)))
    follower.received(Facts(revision(9), standings=(standing,)))
    assert (follower.credential(KEY), follower.standing(ACME, NORTH)) == (key, standing)
    assert not follower.knows(KEY), "the rest of the answer is owed"


def test_a_lease_that_was_on_its_way_at_the_farewell_does_not_count() -> None:
    """Barriers wait for this incarnation no longer: whatever arrives, it serves nothing any more."""
    follower = started()
    follower.farewell()
    follower.received(lease(7, asked=1))
    assert not follower.may_serve(at(1))
    follower.disconnected()
    follower.connected(at(2))
    follower.received(Facts(revision(7)))
    follower.received(Facts(revision(7), interest=1))
    follower.received(lease(7, asked=2))
    assert not follower.may_serve(at(2))


def test_the_authoritys_time_is_never_taken_for_earlier_than_it_can_be() -> None:
    """The authority read its clock after the lease was asked for: counting from then can only be early."""
    follower = started()
    follower.received(lease(7, asked=10, authority_time=1_000 * SECOND))
    assert follower.authority_now(at(10)) == 1_000 * SECOND
    assert follower.authority_now(at(12.5)) == 1_002.5 * SECOND


def test_the_authoritys_time_does_not_step_back() -> None:
    """An end does not un-happen."""
    follower = started()
    follower.received(lease(7, asked=10, authority_time=1_000 * SECOND))
    assert follower.authority_now(at(14)) == 1_004 * SECOND
    follower.received(lease(7, asked=14, authority_time=900 * SECOND))
    assert follower.authority_now(at(15)) == 1_004 * SECOND


def test_former_facts_come_with_a_change() -> None:
    """So that a list that lost a customer can be told from one that never had it."""
    follower = started()
    follower.want([KEY])
    before, after = MarkedKey(KeyKind.DEMO, ACME), MarkedKey(KeyKind.DEMO, ACME, rehearsing=True)
    follower.received(Facts(revision(8), interest=2, credentials=(Credential(KEY, before),)))
    assert follower.received(Facts(revision(9), credentials=(Credential(KEY, after),))).credentials == ((KEY, before),)


LIST = MarkedKey(KeyKind.SPECIFIC_CUSTOMERS, ACME, customers=frozenset({NORTH}), listed_numbers={NORTH: 3}, list_number=3)
TERMS = replace(LIST, customers=frozenset(), listed_numbers={})


def differs(number: int, *, base: int, listed: dict[CustomerId, int], unlisted: tuple[CustomerId, ...] = ()) -> Facts:
    marks = tuple((customer, 3, number) for customer in unlisted)
    difference = ListDifference(base, tuple(listed.items()), marks)
    return Facts(revision(number), credentials=(Credential(KEY, replace(TERMS, list_number=number), difference),))


def listing() -> Follower:
    """A follower that knows the key's list, as change 3 left it."""
    follower = started(7)
    follower.want([KEY])
    follower.received(Facts(revision(7), interest=2, credentials=(Credential(KEY, LIST),)))
    return follower


def test_what_differs_of_a_list_is_applied_to_the_list_that_is_known() -> None:
    follower = listing()
    applied = follower.received(differs(9, base=3, listed={SOUTH: 9}, unlisted=(NORTH,)))
    assert follower.credential(KEY) == replace(
        LIST, customers=frozenset({SOUTH}), listed_numbers={SOUTH: 9}, unlisted=((NORTH, 3, 9),), list_number=9
    )
    assert (applied.credentials, applied.relisted) == (((KEY, LIST),), {KEY: frozenset({NORTH, SOUTH})})
    assert applied.reply == (Acknowledgement(revision(9)),)
    follower.received(differs(11, base=9, listed={NORTH: 11}))
    back = follower.credential(KEY)
    assert isinstance(back, MarkedKey)
    assert back.customers == {NORTH, SOUTH}
    assert back.listed_numbers == {SOUTH: 9, NORTH: 11}
    assert back.unlisted == ((NORTH, 3, 9),)


def test_a_list_that_nothing_has_changed_is_the_same_list() -> None:
    """However long: who else looks at it has nothing to compare."""
    follower = listing()
    disabled = replace(TERMS, disabled=True)
    follower.received(Facts(revision(9), credentials=(Credential(KEY, disabled, ListDifference(3)),)))
    found = follower.credential(KEY)
    assert found == replace(LIST, disabled=True)
    assert isinstance(found, MarkedKey)
    assert found.customers is LIST.customers


def test_what_differs_from_a_list_that_is_not_known_is_not_applied_and_not_acknowledged() -> None:
    follower = listing()
    with pytest.raises(ListMissing):
        follower.received(differs(9, base=5, listed={SOUTH: 9}, unlisted=(NORTH,)))
    assert follower.credential(KEY) == LIST
    assert follower.revision() == revision(7)


def test_what_differs_goes_on_from_the_list_of_its_own_history() -> None:
    """The list that is in use until then may be of a former one, where the same numbers mean something else."""
    follower = listing()
    follower.disconnected()
    follower.connected(at(1))
    other = replace(LIST, customers=frozenset({SOUTH}), listed_numbers={SOUTH: 2}, list_number=2)
    follower.received(Facts(revision(4, "e2")))
    follower.received(Facts(revision(4, "e2"), interest=1, more=True, credentials=(Credential(KEY, other),)))
    changed = replace(TERMS, list_number=5)
    follower.received(Facts(revision(5, "e2"), credentials=(Credential(KEY, changed, ListDifference(2, ((EAST, 5),))),)))
    assert follower.credential(KEY) == LIST, "what is in use is of the history before"
    follower.received(Facts(revision(5, "e2"), interest=1))
    follower.received(lease(5, asked=1, epoch="e2"))
    adopted = follower.credential(KEY)
    assert isinstance(adopted, MarkedKey)
    assert adopted.customers == {SOUTH, EAST}
    assert adopted.list_number == 5


def test_what_differs_is_applied_to_a_newer_list_of_a_former_connection() -> None:
    """Of a copy that lags: those about whom nothing is said are the same in both."""
    follower = listing()
    follower.received(differs(9, base=3, listed={SOUTH: 9}))
    follower.disconnected()
    follower.connected(at(1))
    follower.received(Facts(revision(7)))
    follower.received(Facts(revision(7), interest=1, credentials=(Credential(KEY, LIST),)))
    follower.received(differs(11, base=3, listed={SOUTH: 9}, unlisted=(NORTH,)))
    found = follower.credential(KEY)
    assert isinstance(found, MarkedKey)
    assert found.customers == {SOUTH}
    assert found.list_number == 11
    follower.received(lease(11, asked=1))
    assert follower.credential(KEY) == found


def test_deadlines_come_in_order_and_once_each() -> None:
    deadlines = Deadlines[str]()
    for instant, subject in ((30, "c"), (10, "a"), (20, "b"), (10, "a2")):
        deadlines.add(Instant(instant), subject)
    deadlines.add(None, "never")
    assert deadlines.next() == 10
    assert list(deadlines.due(Instant(9))) == []
    assert list(deadlines.due(Instant(20))) == ["a", "a2", "b"]
    assert deadlines.next() == 30
    assert list(deadlines.due(Instant(99))) == ["c"]
    assert deadlines.next() is None


def test_an_older_copy_of_the_same_history_is_not_served_by() -> None:
    """A backup was put back, and nobody ran `consentry restored`: what was revoked since would be open again."""
    follower = started(7)
    follower.disconnected()
    follower.connected(at(1))
    follower.received(Facts(revision(5)))
    follower.received(Facts(revision(5), interest=1))
    with pytest.raises(HistoryWentBack, match="consentry restored"):
        follower.received(lease(5, asked=1))
    assert follower.may_serve(at(4.9)), "the lease from before lasts"
    assert not follower.may_serve(at(5.1))


def test_another_epoch_may_begin_anywhere() -> None:
    follower = started(7)
    follower.disconnected()
    follower.connected(at(1))
    follower.received(Facts(revision(5, "e2")))
    follower.received(Facts(revision(5, "e2"), interest=1))
    follower.received(lease(5, asked=1, epoch="e2"))
    assert follower.may_serve(at(5.9))
