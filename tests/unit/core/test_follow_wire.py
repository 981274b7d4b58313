"""Facts on the wire between authority and guard, between versions of both."""

from dataclasses import replace

import pytest

from consentry.authority.v1 import data_class_pb2, enforcement_pb2
from consentry_core.protocol.follow import Credential, Facts, Hello, Revision
from consentry_core.protocol.follow_pieces import Reassembly, split
from consentry_core.protocol.follow_wire import from_request, from_response, to_request, to_response
from consentry_core.protocol.marks import ListDifference, MarkedKey, MarkedStanding
from consentry_rule import (
    Consent,
    CustomerId,
    DataClass,
    Deny,
    Instant,
    KeyKind,
    PartnerId,
    Reason,
    Secret,
    Subscription,
    Token,
    TokenRole,
    allowed,
    opened_classes,
)
from support.followers import Follower

ACME, NORTH, SOUTH, EAST = PartnerId("acme"), CustomerId("north"), CustomerId("south"), CustomerId("east")
KEY, CONSENT = "partners/acme/keys/k1", "customers/north/consents/acme"
NOW = Instant(10**18)
LISTED = MarkedKey(
    KeyKind.SPECIFIC_CUSTOMERS,
    ACME,
    customers=frozenset({SOUTH, NORTH}),
    listed_numbers={NORTH: 7, SOUTH: 12},
    unlisted=((EAST, 3, 9), (SOUTH, 2, 11)),
)

CONSENTED = MarkedStanding(
    ACME,
    NORTH,
    connected=True,
    subscription=Subscription(),
    consent=Consent(Instant(5), data_classes=frozenset({DataClass.TELEMETRY})),
    opened_number=3,
    closed_number=2,
    class_numbers=((DataClass.ALARMS, 8),),
)
A_LATER_CLASS = max(data_class_pb2.DataClass.values()) + 1


def there(facts: Facts) -> enforcement_pb2.FollowResponse:
    """The message as it comes off the wire."""
    return enforcement_pb2.FollowResponse.FromString(to_response(facts).SerializeToString())


def told(response: enforcement_pb2.FollowResponse) -> Facts:
    """What a guard makes of it, from its bytes."""
    facts = from_response(enforcement_pb2.FollowResponse.FromString(response.SerializeToString()))
    assert isinstance(facts, Facts)
    return facts


@pytest.mark.parametrize(
    "credential",
    [
        Credential(KEY, LISTED),
        Credential(KEY, MarkedKey(KeyKind.DEMO, ACME, rehearsing=True, secrets=(Secret("s", Instant(9)),))),
        Credential("tokens/t", Token(TokenRole.GATEWAY, "customers/north", expire_time=Instant(7))),
        Credential(KEY, None),
    ],
)
def test_a_credential_comes_as_it_was_said(credential: Credential) -> None:
    facts = Facts(Revision("e1", 12), credentials=(credential,))
    assert told(there(facts)) == facts


@pytest.mark.parametrize("standing", [CONSENTED, MarkedStanding(ACME, NORTH, demo=True, opened_number=9, closed_number=8)])
def test_a_standing_comes_as_it_was_said(standing: MarkedStanding) -> None:
    facts = Facts(Revision("e1", 12), standings=(standing,))
    assert told(there(facts)) == facts


DIFFERENCE = ListDifference(7, ((SOUTH, 12),), ((EAST, 3, 9), (SOUTH, 2, 11)))


def test_what_differs_of_a_list_goes_over_the_wire_without_the_list() -> None:
    facts = replace(LISTED, customers=frozenset(), listed_numbers={}, unlisted=(), list_number=12)
    said = Facts(Revision("e1", 12), credentials=(Credential(KEY, facts, DIFFERENCE),))
    assert told(there(said)) == said
    nothing = Facts(Revision("e1", 12), credentials=(Credential(KEY, facts, ListDifference(0)),))
    assert told(there(nothing)) == nothing, "a difference from the first list on, and not a list of nobody"


def test_a_large_difference_comes_in_pieces_and_is_one() -> None:
    customers = [CustomerId(f"c-{number:06d}".ljust(40, "x")) for number in range(20_000)]
    difference = ListDifference(
        5, tuple((customer, 9) for customer in customers), tuple((customer, 3, 8) for customer in customers)
    )
    facts = replace(LISTED, customers=frozenset(), listed_numbers={}, unlisted=(), list_number=9)
    said = Facts(Revision("e1", 12), credentials=(Credential(KEY, facts, difference),))
    pieces = list(split(there(said)))
    assert len(pieces) > 1
    assert max(piece.ByteSize() for piece in pieces) < 1024 * 1024
    joining = Reassembly()
    assert [told(whole) for piece in pieces if (whole := joining.take(piece)) is not None] == [said]


def test_a_guard_from_before_differences_does_not_take_them() -> None:
    request = to_request(Hello("0123456789abcdef", "devices"))
    assert from_request(request) == Hello("0123456789abcdef", "devices", list_differences=True)
    request.hello.ClearField("list_differences")
    assert from_request(request) == Hello("0123456789abcdef", "devices", list_differences=False)


def test_an_older_authority_tells_no_numbers_of_a_list() -> None:
    response = there(Facts(Revision("e1", 12), credentials=(Credential(KEY, LISTED),)))
    (wire,) = response.facts.credentials
    wire.ClearField("listed_numbers")
    wire.ClearField("unlisted")
    assert told(response).credentials == (Credential(KEY, replace(LISTED, listed_numbers={}, unlisted=())),)


@pytest.mark.parametrize(("known", "opened"), [((), frozenset()), ((DataClass.TELEMETRY,), frozenset({DataClass.TELEMETRY}))])
def test_a_data_class_of_a_newer_authority_opens_nothing_here(
    known: tuple[DataClass, ...], opened: frozenset[DataClass]
) -> None:
    """Nor does it break what is followed; least of all is a consent to nothing but it taken for one to everything."""
    consent = Consent(Instant(5), data_classes=frozenset(known))
    response = there(Facts(Revision("e1", 12), standings=(replace(CONSENTED, consent=consent),)))
    (wire,) = response.facts.standings
    wire.consent.data_classes.append(A_LATER_CLASS)  # type: ignore[arg-type]
    wire.class_numbers.add(data_class=A_LATER_CLASS, number=11)
    follower = Follower("incarnation", "devices")
    follower.want([CONSENT])
    for said in (Facts(Revision("e1", 12)), replace(told(response), interest=1)):
        follower.received(said)
    standing = follower.standing(ACME, NORTH)
    assert standing is not None
    assert (opened_classes(standing), standing.class_numbers) == (opened, CONSENTED.class_numbers)
    key = MarkedKey(KeyKind.ALL_CUSTOMERS, ACME)
    for data_class in set(DataClass) - opened:
        assert isinstance(allowed(key, standing, data_class, None, NOW), Deny)
    reason = allowed(key, standing, DataClass.ALARMS, None, NOW)
    assert reason == Deny(Reason.DATA_CLASS_NOT_CONSENTED)


@pytest.mark.parametrize(
    ("listed", "unlisted", "standings"), [(30_000, 20_000, 500), (12_000, 0, 0), (3, 3, 10_000), (0, 30_000, 1)]
)
def test_facts_that_are_too_large_come_in_pieces_and_are_one(listed: int, unlisted: int, standings: int) -> None:
    """Also between others, and with a small key beside the large one."""
    customers = [CustomerId(f"c-{number:06d}".ljust(40, "x")) for number in range(max(listed, unlisted, standings))]
    large = replace(
        LISTED,
        customers=frozenset(customers[:listed]),
        listed_numbers={customer: number + 1 for number, customer in enumerate(customers[:listed])},
        unlisted=tuple((customer, number, number + 5) for number, customer in enumerate(customers[:unlisted])),
    )
    facts = Facts(
        Revision("e1", 12),
        3,
        more=True,
        credentials=(Credential(KEY, large), Credential("partners/acme/keys/small", LISTED), Credential("tokens/t", None)),
        standings=tuple(replace(CONSENTED, customer=customer) for customer in customers[:standings]),
    )
    small, joining, found = Facts(Revision("e1", 13)), Reassembly(), list[Facts]()
    for said in (small, facts, small):
        pieces = list(split(to_response(said)))
        assert all(piece.ByteSize() <= 1 << 20 for piece in pieces)
        assert (len(pieces) > 1) is (said is facts)
        for piece in pieces:
            whole = joining.take(enforcement_pb2.FollowResponse.FromString(piece.SerializeToString()))
            if whole is not None:
                found.append(told(whole))
    assert found == [small, facts, small]
