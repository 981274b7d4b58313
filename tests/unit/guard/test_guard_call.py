"""What a call behind the guard is told of what it missed: the numbers of its key's list, and of which history they are."""

from dataclasses import replace
from typing import Any, cast

import pytest

from consentry_core.callers.identity import Identity
from consentry_core.protocol.follow import Credential, Facts, Lease, Revision
from consentry_core.protocol.marks import MarkedKey, MarkedStanding
from consentry_core.rpc.server.open_call import OpenCall
from consentry_core.values.clock import SECOND, BootTime
from consentry_core.values.errors import PermissionDenied
from consentry_guard.calls.call import Call
from consentry_guard.calls.changes import touched_customers
from consentry_rule import CustomerId, Instant, KeyKind, PartnerId, Secret, Token, TokenRole
from support.clocks import FakeClock
from support.followers import Follower

ACME, NORTH, SOUTH, DEMO = PartnerId("acme"), CustomerId("north"), CustomerId("south"), CustomerId("demo")
KEY, PARTNER, DEMO_CONSENT = "partners/acme/keys/k1", "partners/acme", "customers/demo/consents/acme"
LISTED = MarkedKey(
    KeyKind.SPECIFIC_CUSTOMERS,
    ACME,
    customers=frozenset({NORTH}),
    secrets=(Secret("s"),),
    listed_numbers={NORTH: 7},
    unlisted=((SOUTH, 3, 9),),
)
NOTHING_KNOWN = Facts(Revision("e1", 0))


class Known:
    """A follower that wants one credential and all standings of its partner, and a call that came with the credential."""

    def __init__(self, name: str = KEY) -> None:
        self._name = name
        self.follower = Follower("incarnation", "devices")
        self.follower.want([name, PARTNER, DEMO_CONSENT])

        async def follow(_call: Call, _names: object) -> None:
            """All of it is followed."""

        open_call = OpenCall("/test", cast("Any", None))
        self.call = Call(open_call, Identity(name, "s"), self.follower, follow, FakeClock())

    def learn(self, facts: MarkedKey | Token | None, revision: Revision, *standings: MarkedStanding) -> None:
        """All that it wants, on a new connection, and a lease."""
        self.follower.connected(BootTime(0))
        self.follower.received(Facts(revision))
        credentials = (Credential(self._name, facts),)
        self.follower.received(Facts(revision, interest=1, credentials=credentials, standings=standings))
        self.follower.received(Lease(BootTime(0), revision, 5 * SECOND, Instant(0)))


async def test_a_list_comes_with_its_numbers() -> None:
    known = Known()
    known.learn(LISTED, Revision("e1", 9))
    assert [known.call.listed_number(customer) for customer in (NORTH, SOUTH)] == [7, 0]
    assert list(known.call.unlisted()) == [(SOUTH, 3, 9)]


async def test_a_key_of_another_kind_has_none() -> None:
    known = Known()
    known.learn(MarkedKey(KeyKind.ALL_CUSTOMERS, ACME, secrets=(Secret("s"),)), Revision("e1", 9))
    assert known.call.listed_number(NORTH) == 0
    assert list(known.call.unlisted()) == []


async def test_a_token_has_no_list() -> None:
    known = Known("tokens/t")
    known.learn(Token(TokenRole.GATEWAY, "customers/north", secrets=(Secret("s"),)), Revision("e1", 9))
    with pytest.raises(PermissionDenied):
        known.call.listed_number(NORTH)


async def test_numbers_and_their_epoch_change_in_one_step() -> None:
    """After a restore lower numbers come, and mean something else: none of them is in use under the former epoch's name."""
    known = Known()
    assert (known.call.authority_epoch(), known.call.revision_number()) == ("", 0)
    known.learn(LISTED, Revision("e1", 9))
    assert (known.call.authority_epoch(), known.call.revision_number(), known.call.listed_number(NORTH)) == ("e1", 9, 7)
    follower, restored = known.follower, Revision("e2", 5)
    follower.connected(BootTime(1))
    backup = MarkedKey(KeyKind.SPECIFIC_CUSTOMERS, ACME, customers=frozenset({NORTH}), listed_numbers={NORTH: 4})
    for message in (Facts(restored), Facts(restored, interest=1, credentials=(Credential(KEY, backup),))):
        follower.received(message)
        assert (known.call.authority_epoch(), known.call.revision_number(), known.call.listed_number(NORTH)) == ("e1", 9, 7)
    follower.received(Lease(BootTime(1), restored, 5 * SECOND, Instant(0)))
    assert (known.call.authority_epoch(), known.call.revision_number(), known.call.listed_number(NORTH)) == ("e2", 5, 4)


async def test_a_partners_customers_are_told_without_the_demo_customer() -> None:
    """Even when another key of the partner reads it: it is none of those that a key over customers ever had."""
    known = Known()
    standings = (
        MarkedStanding(ACME, NORTH, connected=True),
        MarkedStanding(ACME, DEMO, demo=True, opened_number=1, closed_number=8),
    )
    known.learn(LISTED, Revision("e1", 9), *standings)
    await known.call.follow_all()
    assert known.call.customers() == [standings[0].customer]


def test_who_left_the_list_and_came_back_between_two_tellings_is_told_of() -> None:
    """As is who came, and who left; nobody else."""
    off_and_on = replace(LISTED, listed_numbers={NORTH: 10})
    assert touched_customers(LISTED, off_and_on) == {NORTH}
    other = replace(LISTED, customers=frozenset({SOUTH}), listed_numbers={SOUTH: 10})
    assert touched_customers(LISTED, other) == {NORTH, SOUTH}
    assert touched_customers(LISTED, replace(LISTED, disabled=True)) == frozenset()
    untold = replace(LISTED, listed_numbers={})
    assert touched_customers(untold, replace(untold, customers=frozenset({NORTH, SOUTH}))) == {SOUTH}, "without numbers too"
