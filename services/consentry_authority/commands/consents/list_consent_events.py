"""What has happened to a customer's consents, for the customer to read: events out of entries of the audit log.

An entry tells how things were before a change and how they are after it; which kind of event that is, is decided here. An end
comes with no change: it stands in the log once something followed it, and until then in what has ended and is still as it was.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from consentry_authority.audit.chain import Entry, EntryKind
from consentry_authority.commands.pages import Page, page_of
from consentry_authority.commands.ports import Place, View
from consentry_authority.commands.records import WHEN_NONE_WAS_NAMED, Plan
from consentry_core.values import names
from consentry_rule import Consent, CustomerId, DataClass, Instant, PartnerId, Standing, Subscription, TokenRole
from consentry_rule.narrowing import narrows_standing

Described = Mapping[str, Any]


class EventKind(Enum):
    """What happened."""

    GRANTED = "granted"
    NARROWED = "narrowed"
    WIDENED = "widened"
    CHANGED = "changed"
    REVOKED = "revoked"
    ENDED = "ended"
    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    REGISTERED = "registered"
    SUBSCRIPTION_SET = "subscription set"
    SUBSCRIPTION_CANCELLED = "subscription cancelled"
    SUBSCRIPTION_LAPSED = "subscription lapsed"
    TOKEN_ISSUED = "token issued"  # noqa: S105 - a word
    TOKEN_DELETED = "token deleted"  # noqa: S105 - likewise


@dataclass(frozen=True, slots=True)
class ConsentEvent:
    """One event. `entry` says who did it; None for what has ended and is still as it was."""

    kind: EventKind
    place: Place
    entry: Entry | None = None
    data_classes: frozenset[DataClass] = field(default=frozenset())
    expire_time: Instant | None = None
    data_start_time: Instant | None = None
    purpose: str = ""
    plan: Plan | None = None
    token: str = ""
    token_role: TokenRole | None = None


def list_consent_events(
    view: View, customer: CustomerId, partner: PartnerId | None, *, after: str, limit: int
) -> Page[ConsentEvent]:
    """A page of the customer's history, newest first; of one partner, only what concerns it or the customer alone."""
    last = _place(after) if after else None
    told = [_event(customer, place, entry) for place, entry in view.audit.of_customer(customer, partner, last, limit=limit + 1)]
    ended = [_still_ended(place, described) for place, described in view.audit.ended(customer, partner, last, limit=limit + 1)]
    newest_first = sorted([*told, *ended], key=lambda event: event.place, reverse=True)
    return page_of(newest_first[: limit + 1], limit, lambda event: _text(event.place))


def _event(customer: CustomerId, place: Place, entry: Entry) -> ConsentEvent:
    changed: Mapping[str, Mapping[str, Described | None]] = json.loads(entry.document)
    if place.partner:
        sides = changed[names.CONSENT.format(customer, place.partner)]
        return _of_relation(place, entry, sides["before"], sides["after"])
    name = names.CUSTOMER.format(customer)
    if name in changed:
        return _of_customer(place, entry, changed[name]["before"], changed[name]["after"])
    name, sides = next((name, sides) for name, sides in changed.items() if names.TOKEN.matches(name))
    return _of_token(place, entry, name, sides["before"], sides["after"])


def _of_relation(place: Place, entry: Entry, before: Described | None, after: Described | None) -> ConsentEvent:
    was, now = _consent(before), _consent(after)
    if entry.kind == EntryKind.END:
        return _with_terms(EventKind.ENDED, place, entry, was)
    if _connected(before) != _connected(after):
        kind = EventKind.CONNECTED if _connected(after) else EventKind.DISCONNECTED
        return _with_terms(kind, place, entry, was if kind is EventKind.DISCONNECTED else None)
    assert now is not None  # noqa: S101 - one that was given is never taken out of the table
    if now["revoke_time"] is not None:
        return _with_terms(EventKind.REVOKED, place, entry, now)
    return _with_terms(_kind_of_grant(was, now, place.time), place, entry, now)


def _kind_of_grant(was: Described | None, now: Described, time: Instant) -> EventKind:
    """What a grant is, by the rule's word on what it takes away and what it gives."""
    if was is None or was["revoke_time"] is not None or (was["expire_time"] is not None and was["expire_time"] <= time):
        return EventKind.GRANTED
    before, after = _standing(was), _standing(now)
    narrowed, widened = narrows_standing(before, after, time), narrows_standing(after, before, time)
    if narrowed == widened:
        return EventKind.CHANGED
    return EventKind.NARROWED if narrowed else EventKind.WIDENED


def _of_customer(place: Place, entry: Entry, before: Described | None, after: Described | None) -> ConsentEvent:
    ended = entry.kind == EntryKind.END
    described = (before if ended else after) or {}
    if ended:
        kind = EventKind.SUBSCRIPTION_LAPSED
    elif before is None:
        kind = EventKind.REGISTERED
    elif described.get("subscription_cancel_time") is not None:
        kind = EventKind.SUBSCRIPTION_CANCELLED
    else:
        kind = EventKind.SUBSCRIPTION_SET
    return _with_subscription(kind, place, entry, described)


def _of_token(place: Place, entry: Entry, name: str, before: Described | None, after: Described | None) -> ConsentEvent:
    described = after or before or {}
    kind = EventKind.TOKEN_ISSUED if before is None else EventKind.TOKEN_DELETED
    end = described["expire_time"]
    return ConsentEvent(kind, place, entry, expire_time=end, token=name, token_role=TokenRole(described["role"]))


def _still_ended(place: Place, described: Described) -> ConsentEvent:
    if place.partner:
        return _with_terms(EventKind.ENDED, place, None, described)
    return _with_subscription(EventKind.SUBSCRIPTION_LAPSED, place, None, described)


def _with_terms(kind: EventKind, place: Place, entry: Entry | None, consent: Described | None) -> ConsentEvent:
    if consent is None:
        return ConsentEvent(kind, place, entry)
    return ConsentEvent(
        kind,
        place,
        entry,
        data_classes=_classes(consent),
        expire_time=consent["expire_time"],
        data_start_time=consent["data_start_time"],
        purpose=consent["purpose"],
    )


def _with_subscription(kind: EventKind, place: Place, entry: Entry | None, customer: Described) -> ConsentEvent:
    plan = customer.get("plan")
    end = customer.get("subscription_expire_time")
    return ConsentEvent(kind, place, entry, expire_time=end, plan=None if plan is None else Plan(plan))


def _connected(relation: Described | None) -> bool:
    return relation is not None and relation["disconnect_time"] is None


def _consent(relation: Described | None) -> Described | None:
    return None if relation is None else relation["consent"]


def _standing(consent: Described) -> Standing:
    """A consent with everything else as good as can be."""
    facts = Consent(Instant(consent["data_start_time"]), expire_time=consent["expire_time"], data_classes=_classes(consent))
    return Standing(PartnerId(""), CustomerId(""), connected=True, subscription=Subscription(), consent=facts)


def _classes(consent: Described) -> frozenset[DataClass]:
    return frozenset(DataClass(part) for part in consent["data_classes"].split(",") if part) or WHEN_NONE_WAS_NAMED


def _text(place: Place) -> str:
    return f"{place.time}.{place.number}.{place.partner}"


def _place(text: str) -> Place:
    time, number, partner = text.split(".", 2)
    return Place(Instant(int(time)), int(number), partner)
