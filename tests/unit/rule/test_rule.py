"""The rule against its table: every combination of facts, and the instants at which ends take effect."""

import dataclasses
import itertools
import sys
from ipaddress import ip_address, ip_network

import pytest

import consentry_rule
from consentry_rule import (
    ALL_DATA_CLASSES,
    Allow,
    Consent,
    CustomerId,
    DataClass,
    Decision,
    Deny,
    Instant,
    Key,
    KeyKind,
    PartnerId,
    Reason,
    Secret,
    Standing,
    Subscription,
    Token,
    TokenRole,
    allowed,
    covered,
    next_end,
    opened_classes,
    reachable,
    reaches,
    shown,
    usable,
    valid,
)

ACME, NORTH, SOUTH = PartnerId("acme"), CustomerId("north"), CustomerId("south")
NOW = Instant(1_000)
PAST, FUTURE = Instant(999), Instant(1_001)

ENDS = (None, PAST, NOW, FUTURE)
SUBSCRIPTIONS = (None, *(Subscription(cancelled, end) for cancelled in (False, True) for end in ENDS))
CONSENTS = (
    None,
    *(
        Consent(start, revoked, end, classes)
        for start in (PAST, NOW)
        for revoked in (False, True)
        for end in ENDS
        for classes in (frozenset[DataClass](), frozenset({DataClass.TELEMETRY}), ALL_DATA_CLASSES)
    ),
)
STANDINGS = [
    Standing(ACME, NORTH, demo, connected, subscription, consent)
    for demo in (False, True)
    for connected in (False, True)
    for subscription in SUBSCRIPTIONS
    for consent in CONSENTS
]
KEYS = [
    Key(kind, ACME, deleted, disabled, end, customers, rehearsing)
    for kind in KeyKind
    for deleted in (False, True)
    for disabled in (False, True)
    for end in ENDS
    for customers in (frozenset[CustomerId](), frozenset({SOUTH}), frozenset({NORTH, SOUTH}))
    for rehearsing in (False, True)
]


def says_the_table(key: Key, standing: Standing, data_class: DataClass | None, data_time: Instant | None) -> bool:
    """The table of the package's docstring, read as one condition. Written differently from the rule on purpose."""
    ended = [end is not None and end <= NOW for end in (key.expire_time,)]
    key_usable = not (key.deleted or key.disabled or any(ended))
    subscription, consent = standing.subscription, standing.consent
    subscribed = subscription is not None and not subscription.cancelled and subscription.expire_time in {None, FUTURE}
    consented = consent is not None and not consent.revoked and consent.expire_time in {None, FUTURE}
    is_valid = standing.connected and subscribed and consented and not standing.demo
    by_kind = {
        KeyKind.DEMO: standing.demo and not key.rehearsing,
        KeyKind.ALL_CUSTOMERS: is_valid,
        KeyKind.SPECIFIC_CUSTOMERS: is_valid and NORTH in key.customers,
    }
    if not (key_usable and by_kind[key.kind]):
        return False
    if data_class is None or standing.demo:
        return True
    assert consent is not None
    return data_class in consent.data_classes and (data_time is None or data_time >= consent.data_start_time)


SERVICES = [
    Token(TokenRole.SERVICE, audience=audience, partners=partners)
    for audience in ("", "devices", "billing")
    for partners in (frozenset[str](), frozenset({"partners/acme"}), frozenset({"partners/rival", "customers/south"}))
]
SHOWN: list[Key | Token] = [
    *(
        Key(KeyKind.ALL_CUSTOMERS, partner, audiences=audiences)
        for partner in (ACME, PartnerId("rival"))
        for audiences in (frozenset[str](), frozenset({"devices"}), frozenset({"devices", "billing"}))
    ),
    *(Token(TokenRole.GATEWAY, organization) for organization in ("customers/north", "customers/south")),
    Token(TokenRole.PARTNER_ADMIN, "partners/acme"),
    Token(TokenRole.OPERATOR),
]


def is_shown_by_the_table(credential: Key | Token, service: Token) -> bool:
    """Both lines of it at once, over sets: an empty limit is everything that there is."""
    whose = {f"partners/{credential.partner}"} if isinstance(credential, Key) else {credential.organization}
    named = set(credential.audiences) if isinstance(credential, Key) else set()
    return whose <= (service.partners or whose) and bool({service.audience} & (named or {service.audience}))


def test_which_credentials_a_service_is_shown_is_the_table() -> None:
    for credential, service in itertools.product(SHOWN, SERVICES):
        decision = shown(credential, service)
        assert isinstance(decision, Allow) is is_shown_by_the_table(credential, service), (credential, service)


def test_a_service_reaches_the_partners_that_its_token_names() -> None:
    everybody, limited = Token(TokenRole.SERVICE), Token(TokenRole.SERVICE, partners=frozenset({"partners/acme"}))
    assert reaches(everybody, "partners/rival") == reaches(limited, "partners/acme") == Allow()
    assert reaches(limited, "partners/rival") == reaches(limited, "") == Deny(Reason.PARTNER_NOT_NAMED)


def test_covered_is_the_table() -> None:
    """All kinds and states of keys with all standings."""
    for key, standing in itertools.product(KEYS, STANDINGS):
        decision = covered(key, standing, NOW)
        assert isinstance(decision, Allow) is says_the_table(key, standing, None, None), (key, standing)


def test_allowed_is_the_table() -> None:
    """The same for each data class and times before, at and after the data's start, with keys that are usable."""
    for key in (key for key in KEYS if not key.deleted and not key.disabled and key.expire_time is None):
        for standing, data_class, data_time in itertools.product(STANDINGS, DataClass, (None, Instant(998), PAST, NOW)):
            decision = allowed(key, standing, data_class, data_time, NOW)
            assert isinstance(decision, Allow) is says_the_table(key, standing, data_class, data_time), (key, standing)


@pytest.mark.parametrize("end", [Instant(500), NOW])
@pytest.mark.parametrize("what", ["key", "subscription", "consent"])
def test_an_end_takes_effect_at_its_instant(what: str, end: Instant) -> None:
    """Allowed in the last nanosecond before; denied from the instant itself on."""
    key = Key(KeyKind.ALL_CUSTOMERS, ACME, expire_time=end if what == "key" else None)
    standing = Standing(
        ACME,
        NORTH,
        connected=True,
        subscription=Subscription(expire_time=end if what == "subscription" else None),
        consent=Consent(Instant(0), expire_time=end if what == "consent" else None, data_classes=ALL_DATA_CLASSES),
    )
    reason = Reason(f"{what.upper()}_EXPIRED")
    assert covered(key, standing, Instant(end - 1)) == Allow()
    assert covered(key, standing, end) == Deny(reason)
    assert covered(key, standing, Instant(end + 1)) == Deny(reason)
    assert next_end(key, None, standing, Instant(end - 1)) == end
    assert next_end(key, None, standing, end) is None


VALID = Standing(ACME, NORTH, connected=True, subscription=Subscription(), consent=Consent(PAST, data_classes=ALL_DATA_CLASSES))
ALL = Key(KeyKind.ALL_CUSTOMERS, ACME)


DENIALS = [
    (usable(dataclasses.replace(ALL, deleted=True, disabled=True), NOW), Reason.KEY_DELETED),
    (usable(dataclasses.replace(ALL, disabled=True, expire_time=NOW), NOW), Reason.KEY_DISABLED),
    (usable(Token(TokenRole.SERVICE, expire_time=NOW), NOW), Reason.KEY_EXPIRED),
    (usable(Secret("s", NOW), NOW), Reason.KEY_EXPIRED),
    (covered(Key(KeyKind.DEMO, ACME), VALID, NOW), Reason.NOT_DEMO_CUSTOMER),
    (covered(ALL, Standing(ACME, NORTH, demo=True), NOW), Reason.DEMO_CUSTOMER),
    (covered(Key(KeyKind.DEMO, ACME, rehearsing=True), Standing(ACME, NORTH, demo=True), NOW), Reason.REHEARSING_WITHDRAWAL),
    (covered(Key(KeyKind.SPECIFIC_CUSTOMERS, ACME), VALID, NOW), Reason.NOT_ON_KEY),
    (valid(dataclasses.replace(VALID, connected=False), NOW), Reason.NOT_CONNECTED),
    (valid(dataclasses.replace(VALID, subscription=None), NOW), Reason.SUBSCRIPTION_MISSING),
    (valid(dataclasses.replace(VALID, subscription=Subscription(cancelled=True)), NOW), Reason.SUBSCRIPTION_CANCELLED),
    (valid(dataclasses.replace(VALID, subscription=Subscription(expire_time=NOW)), NOW), Reason.SUBSCRIPTION_EXPIRED),
    (valid(dataclasses.replace(VALID, consent=None), NOW), Reason.CONSENT_MISSING),
    (valid(dataclasses.replace(VALID, consent=Consent(PAST, revoked=True)), NOW), Reason.CONSENT_REVOKED),
    (valid(dataclasses.replace(VALID, consent=Consent(PAST, expire_time=NOW)), NOW), Reason.CONSENT_EXPIRED),
    (
        allowed(
            ALL,
            dataclasses.replace(VALID, consent=Consent(PAST, data_classes=frozenset({DataClass.ALARMS}))),
            DataClass.TELEMETRY,
            None,
            NOW,
        ),
        Reason.DATA_CLASS_NOT_CONSENTED,
    ),
    (
        allowed(ALL, dataclasses.replace(VALID, consent=Consent(PAST)), DataClass.ALARMS, None, NOW),
        Reason.DATA_CLASS_NOT_CONSENTED,
    ),
    (allowed(ALL, VALID, DataClass.TELEMETRY, Instant(998), NOW), Reason.DATA_NOT_OPENED),
    (shown(SHOWN[0], Token(TokenRole.SERVICE, partners=frozenset({"partners/rival"}))), Reason.PARTNER_NOT_NAMED),
    (shown(SHOWN[1], Token(TokenRole.SERVICE, audience="billing")), Reason.AUDIENCE_NOT_NAMED),
]


@pytest.mark.parametrize(("decision", "reason"), DENIALS)
def test_a_denial_names_the_first_condition_that_fails(decision: Decision, reason: Reason) -> None:
    assert decision == Deny(reason)


def test_every_reason_is_given_somewhere() -> None:
    """No reason stands in the list that no denial has."""
    assert {reason for _, reason in DENIALS} | {Reason.NETWORK_NOT_ALLOWED} == set(Reason)


def test_from_where_a_key_can_be_used() -> None:
    key = Key(KeyKind.ALL_CUSTOMERS, ACME, networks=(ip_network("192.0.2.0/24"), ip_network("2001:db8::/32")))
    for text in ("192.0.2.0", "192.0.2.255", "2001:db8::1"):
        assert reachable(key, ip_address(text)) == Allow()
    for address in (ip_address("192.0.3.0"), ip_address("2001:db9::"), None):
        assert reachable(key, address) == Deny(Reason.NETWORK_NOT_ALLOWED)
        assert reachable(dataclasses.replace(key, networks=()), address) == Allow(), "none named: from everywhere"


def test_opened_classes() -> None:
    assert opened_classes(VALID) == ALL_DATA_CLASSES
    assert opened_classes(Standing(ACME, NORTH, demo=True)) == ALL_DATA_CLASSES
    assert opened_classes(Standing(ACME, NORTH)) == frozenset()
    assert opened_classes(dataclasses.replace(VALID, consent=Consent(PAST))) == frozenset(), "what names nothing opens nothing"
    some = frozenset({DataClass.ALARMS})
    assert opened_classes(dataclasses.replace(VALID, consent=Consent(PAST, data_classes=some))) == some


def test_next_end_is_the_earliest_of_all_facts_after_now() -> None:
    key = Key(KeyKind.ALL_CUSTOMERS, ACME, expire_time=Instant(1_500))
    standing = dataclasses.replace(
        VALID, subscription=Subscription(expire_time=PAST), consent=Consent(PAST, expire_time=Instant(1_300))
    )
    assert next_end(key, Secret("s", Instant(1_200)), standing, NOW) == 1_200
    assert next_end(key, None, standing, NOW) == 1_300
    assert next_end(None, None, None, NOW) is None


def test_the_rule_loads_nothing_but_the_standard_library() -> None:
    """Beside the import contract: what is really loaded."""
    for module in ("consentry_rule.facts", "consentry_rule.rule"):
        for name, value in vars(sys.modules[module]).items():
            home = getattr(value, "__module__", None) or ""
            top = home.partition(".")[0]
            assert not top or top in sys.stdlib_module_names | {"consentry_rule"}, (module, name, home)
    assert consentry_rule.__doc__ is not None
    assert "covered(key, standing, now) =" in consentry_rule.__doc__
