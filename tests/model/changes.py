"""Everything that can be done to the state: consents, connections, subscriptions, keys, secrets, tokens, rehearsals.

Each takes what is so now and returns what is so afterwards; a number chooses among what it can be about.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeAlias

from consentry_core.protocol.marks import MarkedKey, MarkedStanding
from consentry_core.values import names
from consentry_core.values.clock import SECOND
from consentry_rule import (
    ALL_DATA_CLASSES,
    Consent,
    CustomerId,
    DataClass,
    Instant,
    KeyKind,
    PartnerId,
    Secret,
    Subscription,
    Token,
    TokenRole,
)
from model.history import Fact, Read, standing_of

ACME, BEST = PartnerId("acme"), PartnerId("best")
NORTH, SOUTH, WEST = CustomerId("north"), CustomerId("south"), CustomerId("west")
DEMO = CustomerId(names.DEMO_CUSTOMER)
TELEMETRY, ALARMS = DataClass.TELEMETRY, DataClass.ALARMS
PAIRS = ((ACME, NORTH), (ACME, SOUTH), (BEST, NORTH), (ACME, WEST))
SUBJECTS = tuple(names.CONSENT.format(customer, partner) for partner, customer in PAIRS)

ALL, LISTED, REHEARSED, OTHER = "partners/acme/keys/a", "partners/acme/keys/l", "partners/acme/keys/d", "partners/best/keys/a"
TOKEN = "tokens/t"
SLOTS: Mapping[str, MarkedKey | Token] = {
    ALL: MarkedKey(KeyKind.ALL_CUSTOMERS, ACME),
    LISTED: MarkedKey(KeyKind.SPECIFIC_CUSTOMERS, ACME, customers=frozenset({NORTH, SOUTH})),
    REHEARSED: MarkedKey(KeyKind.DEMO, ACME),
    OTHER: MarkedKey(KeyKind.ALL_CUSTOMERS, BEST),
    TOKEN: Token(TokenRole.GATEWAY, names.CUSTOMER.format(NORTH)),
}
"""Credentials as they are made. One that is deleted is replaced by one of another name: `name0`, `name1`."""

_READS: Mapping[str, tuple[tuple[str, CustomerId | None, DataClass], ...]] = {
    ALL: (
        ("s1", NORTH, TELEMETRY),
        ("s1", NORTH, ALARMS),
        ("s1", SOUTH, TELEMETRY),
        ("s1", WEST, TELEMETRY),
        ("s2", NORTH, TELEMETRY),
    ),
    LISTED: (("s1", NORTH, TELEMETRY), ("s1", SOUTH, ALARMS)),
    REHEARSED: (("s1", DEMO, TELEMETRY),),
    OTHER: (("s1", NORTH, TELEMETRY),),
    TOKEN: (("s1", None, TELEMETRY),),
}

_ENDS = (None, 200_000_000, SECOND, 3 * SECOND, 10 * SECOND)
_EVERYTHING = Consent(Instant(0), data_classes=ALL_DATA_CLASSES)

Change: TypeAlias = dict[str, Fact]


def first_facts() -> Change:
    """Before anything happens: every way of reading is open, but for one customer that was never connected."""
    facts: Change = {f"{slot}0": replace(made, secrets=(Secret("s1"), Secret("s2"))) for slot, made in SLOTS.items()}
    for partner, customer in PAIRS[:-1]:
        facts[names.CONSENT.format(customer, partner)] = MarkedStanding(
            partner, customer, connected=True, subscription=Subscription(), consent=_EVERYTHING
        )
    facts[SUBJECTS[-1]] = None
    facts[names.CONSENT.format(DEMO, ACME)] = MarkedStanding(ACME, DEMO, demo=True)
    return facts


def reads(slot: str, name: str) -> list[Read]:
    """The calls that hold a credential's secrets."""
    return [Read(name, *read) for read in _READS[slot]]


class State:
    """What is so now, to be changed."""

    def __init__(self, facts: Mapping[str, Fact], names_: Mapping[str, str], now: Instant) -> None:
        self._facts = facts
        self._names = names_
        self._now = now

    def _end(self, choice: int) -> Instant | None:
        end = _ENDS[choice % len(_ENDS)]
        return None if end is None else Instant(self._now + end)

    def _standing(self, choice: int) -> tuple[str, MarkedStanding]:
        subject = SUBJECTS[choice % len(SUBJECTS)]
        return subject, standing_of(subject, self._facts.get(subject))

    def _credential(self, choice: int) -> tuple[str, MarkedKey | Token | None]:
        name = self._names[tuple(SLOTS)[choice % len(SLOTS)]]
        fact = self._facts.get(name)
        assert not isinstance(fact, MarkedStanding)
        return name, fact

    def grant(self, choice: int) -> Change:
        """A consent, maybe narrower than the one before; the two must be connected."""
        subject, standing = self._standing(choice)
        choice //= len(SUBJECTS)
        classes = (ALL_DATA_CLASSES, frozenset({TELEMETRY}), frozenset({ALARMS}))[choice % 3]
        start = Instant(0) if choice % 2 else self._now
        consent = Consent(start, expire_time=self._end(choice // 3), data_classes=classes)
        return {subject: replace(standing, consent=consent)} if standing.connected else {}

    def revoke(self, choice: int) -> Change:
        """A consent is revoked."""
        subject, standing = self._standing(choice)
        if standing.consent is None or standing.consent.revoked:
            return {}
        return {subject: replace(standing, consent=replace(standing.consent, revoked=True))}

    def connect(self, choice: int) -> Change:
        """Connected, or disconnected, which ends the consent."""
        subject, standing = self._standing(choice)
        if not standing.connected:
            subscription = standing.subscription or Subscription()
            return {subject: replace(standing, connected=True, subscription=subscription)}
        consent = standing.consent and replace(standing.consent, revoked=True)
        return {subject: replace(standing, connected=False, consent=consent)}

    def subscribe(self, choice: int) -> Change:
        """A customer's subscription is set or cancelled, towards all of its partners."""
        customer = (NORTH, SOUTH)[choice % 2]
        choice //= 2
        subscription = Subscription(cancelled=choice % 3 == 2, expire_time=self._end(choice // 3))
        return {
            subject: replace(fact, subscription=subscription)
            for subject in SUBJECTS
            if isinstance(fact := self._facts.get(subject), MarkedStanding) and fact.customer == customer
        }

    def disable(self, choice: int) -> Change:
        """A key is disabled or enabled."""
        name, fact = self._credential(choice)
        return {name: replace(fact, disabled=not fact.disabled)} if isinstance(fact, MarkedKey) else {}

    def shorten(self, choice: int) -> Change:
        """A key or token gets another end."""
        name, fact = self._credential(choice)
        return {} if fact is None else {name: replace(fact, expire_time=self._end(choice // len(SLOTS)))}

    def delete(self, choice: int) -> Change:
        """A key or token is deleted."""
        name, fact = self._credential(choice)
        return {} if fact is None else {name: None}

    def list_(self, choice: int) -> Change:
        """A list changes."""
        name, fact = self._credential(tuple(SLOTS).index(LISTED))
        customers = (frozenset({NORTH, SOUTH}), frozenset({NORTH}), frozenset({SOUTH}))[choice % 3]
        return {name: replace(fact, customers=customers)} if isinstance(fact, MarkedKey) else {}

    def rotate(self, choice: int) -> Change:
        """A secret is killed, given an end, or replaced."""
        name, fact = self._credential(choice)
        if fact is None:
            return {}
        choice //= len(SLOTS)
        secret = ("s1", "s2")[choice % 2]
        others = tuple(other for other in fact.secrets if other.id != secret)
        choice //= 2
        if choice % 2 == 0:
            return {name: replace(fact, secrets=others)}
        return {name: replace(fact, secrets=(*others, Secret(secret, self._end(choice // 2))))}

    def rehearse(self, _choice: int) -> Change:
        """A withdrawal is rehearsed, or no longer."""
        name, fact = self._credential(tuple(SLOTS).index(REHEARSED))
        return {name: replace(fact, rehearsing=not fact.rehearsing)} if isinstance(fact, MarkedKey) else {}


CHANGES: tuple[Callable[[State, int], Change], ...] = (
    State.revoke,
    State.grant,
    State.connect,
    State.subscribe,
    State.disable,
    State.shorten,
    State.list_,
    State.rotate,
    State.rehearse,
    State.delete,
)
