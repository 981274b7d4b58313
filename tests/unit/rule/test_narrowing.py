"""Narrowing against the rule: whatever change can turn some `allowed` false is seen as taking access away."""

import dataclasses
from ipaddress import ip_address, ip_network

from hypothesis import given, settings
from hypothesis import strategies as st

from consentry_core.protocol.marks import MarkedKey
from consentry_rule import (
    ALL_DATA_CLASSES,
    Allow,
    Consent,
    CustomerId,
    DataClass,
    Instant,
    Key,
    KeyKind,
    PartnerId,
    Quota,
    Secret,
    Standing,
    Subscription,
    Token,
    TokenRole,
    allowed,
    reachable,
    shown,
    usable,
)
from consentry_rule.narrowing import narrows_credential, narrows_standing

ACME, NORTH, SOUTH = PartnerId("acme"), CustomerId("north"), CustomerId("south")
NOW = Instant(10)
LATER = [Instant(moment) for moment in range(10, 16)]

NETWORKS = [ip_network(text) for text in ("10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", "192.0.2.0/24", "2001:db8::/32", "::/0")]
ADDRESSES = [
    ip_address(text) for text in ("10.1.2.3", "10.1.0.1", "10.0.0.1", "192.0.2.1", "198.51.100.1", "2001:db8::1", "::1")
]

instants = st.integers(5, 15).map(Instant)
ends = st.none() | instants
subscriptions = st.none() | st.builds(Subscription, st.booleans(), ends)
consents = st.none() | st.builds(Consent, instants, st.booleans(), ends, st.frozensets(st.sampled_from(DataClass)))
standings = st.builds(Standing, st.just(ACME), st.just(NORTH), st.just(False), st.booleans(), subscriptions, consents)
secrets = st.lists(st.builds(Secret, st.sampled_from("ab"), ends), max_size=2, unique_by=lambda secret: secret.id).map(tuple)
keys = st.builds(
    Key,
    st.sampled_from(KeyKind),
    st.just(ACME),
    deleted=st.booleans(),
    disabled=st.booleans(),
    expire_time=ends,
    customers=st.frozensets(st.sampled_from([NORTH, SOUTH])),
    rehearsing=st.booleans(),
    secrets=secrets,
    networks=st.lists(st.sampled_from(NETWORKS), max_size=2, unique=True).map(tuple),
    quota=st.builds(Quota, st.integers(0, 2), st.integers(0, 2)),
    audiences=st.frozensets(st.sampled_from(["devices", "billing"])),
)
tokens = st.builds(Token, st.just(TokenRole.GATEWAY), st.just(""), st.booleans(), st.booleans(), ends, secrets)
AUDIENCES = ("devices", "billing", "archive")

DEMO = Standing(ACME, CustomerId("demo"), demo=True)
EVERYTHING = Consent(Instant(0), data_classes=ALL_DATA_CLASSES)
OPEN = [
    Standing(ACME, customer, connected=True, subscription=Subscription(), consent=EVERYTHING) for customer in (NORTH, SOUTH)
]
SOME_KEY = Key(KeyKind.ALL_CUSTOMERS, ACME)


def allows(key: Key, standing: Standing) -> set[tuple[DataClass, int, Instant]]:
    """Everything that is allowed, from now on."""
    return {
        (data_class, data_time, now)
        for data_class in DataClass
        for data_time in range(16)
        for now in LATER
        if isinstance(allowed(key, standing, data_class, Instant(data_time), now), Allow)
    }


def lets_in(credential: Key | Token | None) -> set[tuple[str, Instant, object, str]]:
    """Which secrets let their holder in when, from where and at which services, from now on."""
    if credential is None:
        return set()
    return {
        (secret.id, now, address, audience)
        for secret in credential.secrets
        for now in LATER
        for address in ADDRESSES
        for audience in AUDIENCES
        if isinstance(usable(credential, now), Allow)
        and isinstance(usable(secret, now), Allow)
        and isinstance(shown(credential, Token(TokenRole.SERVICE, audience=audience)), Allow)
        and (isinstance(credential, Token) or isinstance(reachable(credential, address), Allow))
    }


def reaches(key: Key | Token | None) -> set[tuple[CustomerId, DataClass, int, Instant]]:
    """What a key may read, of the demo customer and of two that are valid."""
    if not isinstance(key, Key) or not key.secrets:
        return set()
    return {(standing.customer, *one) for standing in (DEMO, *OPEN) for one in allows(key, standing)}


@settings(max_examples=400)
@given(standings, standings)
def test_no_change_of_a_standing_is_forgotten(before: Standing, after: Standing) -> None:
    if not allows(SOME_KEY, before) <= allows(SOME_KEY, after):
        assert narrows_standing(before, after, NOW)


@settings(max_examples=400)
@given(keys | tokens, keys | tokens | st.none())
def test_no_change_of_a_credential_is_forgotten(before: Key | Token, after: Key | Token | None) -> None:
    if not lets_in(before) <= lets_in(after) or (lets_in(before) and not reaches(before) <= reaches(after)):
        assert narrows_credential(before, after, NOW)


numbers = st.integers(0, 9)
listings = st.dictionaries(st.sampled_from([NORTH, SOUTH]), numbers)
unlistings = st.lists(st.tuples(st.sampled_from([NORTH, SOUTH]), numbers, numbers), max_size=2).map(tuple)


@given(keys, keys, listings, unlistings)
def test_the_numbers_of_a_list_decide_nothing(
    before: Key, after: Key, listed: dict[CustomerId, int], unlisted: tuple[tuple[CustomerId, int, int], ...]
) -> None:
    """Neither what is allowed nor what is narrowing."""
    fields = {field.name: getattr(after, field.name) for field in dataclasses.fields(after)}
    renumbered = MarkedKey(**fields, listed_numbers=listed, unlisted=unlisted)
    assert reaches(renumbered) == reaches(after)
    assert narrows_credential(before, renumbered, NOW) == narrows_credential(before, after, NOW)
    assert not narrows_credential(after, renumbered, NOW)


@given(standings, keys)
def test_what_does_not_change_takes_nothing_away(standing: Standing, key: Key) -> None:
    assert not narrows_standing(standing, standing, NOW)
    assert not narrows_credential(key, key, NOW)


def test_each_way_of_taking_away_and_its_opposite() -> None:
    """One by one, so that a barrier is not made of every change."""
    before = dataclasses.replace(OPEN[0], consent=Consent(Instant(5), data_classes=frozenset({DataClass.ALARMS})))
    assert before.consent is not None
    wider = [
        dataclasses.replace(before, consent=Consent(Instant(5), data_classes=ALL_DATA_CLASSES)),
        dataclasses.replace(before, consent=dataclasses.replace(before.consent, data_start_time=Instant(4))),
    ]
    narrower = [
        dataclasses.replace(before, connected=False),
        dataclasses.replace(before, subscription=Subscription(cancelled=True)),
        dataclasses.replace(before, subscription=Subscription(expire_time=Instant(50))),
        dataclasses.replace(before, consent=dataclasses.replace(before.consent, revoked=True)),
        dataclasses.replace(before, consent=dataclasses.replace(before.consent, expire_time=Instant(50))),
        dataclasses.replace(before, consent=dataclasses.replace(before.consent, data_start_time=Instant(6))),
        dataclasses.replace(before, consent=dataclasses.replace(before.consent, data_classes=frozenset({DataClass.TELEMETRY}))),
    ]
    assert [narrows_standing(before, after, NOW) for after in wider] == [False, False]
    assert [narrows_standing(before, after, NOW) for after in narrower] == [True] * len(narrower)
    assert not narrows_standing(narrower[0], before, NOW)


def test_networks_take_away_when_they_shut_somebody_out() -> None:
    """And not when they are the same ones in other words, or more."""

    def key(*networks: str) -> Key:
        return dataclasses.replace(SOME_KEY, secrets=(Secret("a"),), networks=tuple(map(ip_network, networks)))

    for before, after, narrowing in (
        (key(), key("10.0.0.0/8"), True),
        (key("10.0.0.0/8"), key(), False),
        (key("10.1.0.0/16"), key("10.0.0.0/8", "192.0.2.0/24"), False),
        (key("10.0.0.0/8"), key("10.1.0.0/16"), True),
        (key("10.0.0.0/8"), key("::/0"), True),
    ):
        assert narrows_credential(before, after, NOW) is narrowing, (before.networks, after.networks)
    assert not narrows_credential(key(), dataclasses.replace(key(), quota=Quota(1, 1)), NOW), "less at once, and no less of it"
