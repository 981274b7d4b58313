"""The place of a transaction in the history: one number, drawn last, with a line for everything that was touched.

Repositories touch what they are about to save, before they do; use cases know nothing of it. When the use case has returned:

1. The single row of `revision` is locked first, before anything is read that decides. So writers queue, whichever process they
   are in, none decides on what another is changing, and numbers are committed in their order.
2. Nothing touched: no number, unless a subscription has changed: no receipt is of somebody else's change. A call that found
   what it wanted to be so is answered about the change that has brought that about (`marks`), so that a repeated call gets the
   answer again that it got before; one that wanted nothing about the head.
3. A line per touched subject is written with that number.
4. If any subject was narrowed (`consentry_rule.narrowing`), the change is a barrier: it gets a receipt, to be filled in when it
   has been enforced. No use case says so; no use case can forget to. A subject that was narrowed before, and of which that is
   not enforced yet, counts as narrowed by whatever comes next: somewhere the state from before may still be in use, so what is
   denied now is not denied everywhere. So a change without a receipt denies nothing that is not denied everywhere already.
5. A standing that the rule denied before and allows now was opened by this number, and one that it allowed before was closed by
   it. One that had ended by itself is found closed when it is touched. Of one that stays allowed, the classes that differ are
   marked by it. A rehearsal closes the demo customer's, and its end opens it. A customer that came onto a key's list, or left
   it, is marked by the number there. Readers that resume learn from all of these what they missed.
6. Every field that differs is marked by the number, for calls that come to find it so.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

import sqlalchemy as sa

from consentry_authority.commands.ports import Origin
from consentry_authority.storage.enforcement.receipts import open_receipt, pending_subjects
from consentry_authority.storage.history import marks as field_marks
from consentry_authority.storage.history.descriptions import Description, describe
from consentry_authority.storage.repositories.facts import SqlFacts
from consentry_authority.storage.repositories.key_lists import KeyLists
from consentry_authority.storage.schema import tables as t
from consentry_authority.storage.schema.rows import class_numbers_text
from consentry_core.protocol.marks import MarkedStanding
from consentry_core.values import names
from consentry_core.values.clock import Clock
from consentry_rule import Allow, CustomerId, Instant, Key, PartnerId, Token, opened_classes, valid
from consentry_rule.narrowing import narrows_credential, narrows_standing

_DEMO = CustomerId(names.DEMO_CUSTOMER)


@dataclass(frozen=True, slots=True)
class Recorded:
    """A transaction's place in the history. `narrowing`: it took access away, and is to be enforced."""

    number: int
    commit_time: Instant
    narrowing: bool
    subjects: frozenset[str] = frozenset()
    withdrawing: bool = False
    """Whether it took access away itself, and not only came after a change that did."""


Differences: TypeAlias = Mapping[str, tuple[Description | None, Description | None]]
"""By name what something was like before a transaction, and what it is like; None: there was, or is, no such thing."""


class Touched:
    """What a transaction has touched, and how it was before: for the history, and for the audit log.

    Whatever is about to change is touched, or the audit log would not tell of it.
    """

    def __init__(self, facts: SqlFacts, connection: sa.Connection, lists: KeyLists) -> None:
        self._facts = facts
        self.lists = lists
        self._connection = connection
        self._described: dict[str, Description | None] = {}
        self.credentials: dict[str, Key | Token | None] = {}
        self.standings: dict[tuple[PartnerId, CustomerId], MarkedStanding] = {}
        self.rehearsals: dict[PartnerId, bool] = {}
        self.subscriptions: set[str] = set()
        self.found: defaultdict[str, set[str]] = defaultdict(set)
        """What was saved as it was already: fields of resources, as `descriptions` has them."""

    def organization(self, name: str) -> None:
        """A partner or customer is about to change, or to be added. No decision is made of that by itself."""
        self._describe(name)

    def credential(self, name: str) -> None:
        """A key or token is about to change. The first touch counts."""
        self._describe(name)
        if name not in self.credentials:
            self.credentials[name] = self._facts.terms(name)

    def relation(self, partner: PartnerId, customer: CustomerId) -> None:
        """The connection of the two, or the consent, is about to change."""
        self._describe(names.CONSENT.format(customer, partner))
        self.standing(partner, customer)

    def standing(self, partner: PartnerId, customer: CustomerId) -> None:
        """How a customer stands towards a partner is about to change. The first touch counts: it sees the state before all."""
        if (partner, customer) not in self.standings:
            self.standings[partner, customer] = self._facts.standing(partner, customer)

    def subscription(self, customer: CustomerId, partners: Iterable[PartnerId]) -> None:
        """A customer's subscription is about to change, and so how it stands towards these partners."""
        self.subscriptions.add(names.CUSTOMER.format(customer))
        for partner in partners:
            self.standing(partner, customer)

    def rehearsal(self, partner: PartnerId, rehearsing: bool) -> None:
        """A partner begins or ends a rehearsal; `rehearsing` is how it was before. So the demo customer stands otherwise."""
        self.rehearsals.setdefault(partner, rehearsing)
        self.standing(partner, _DEMO)

    def differences(self) -> Differences:
        """What of all that was touched differs now."""
        now = {name: describe(self._connection, name, self.lists) for name in self._described}
        return {name: (before, now[name]) for name, before in self._described.items() if before != now[name]}

    def _describe(self, name: str) -> None:
        if name not in self._described:
            self._described[name] = describe(self._connection, name, self.lists)

    def subjects(self) -> list[str]:
        """The names of everything touched."""
        standings = (names.CONSENT.format(customer, partner) for partner, customer in self.standings)
        return sorted({*self.credentials, *standings})


def lock(connection: sa.Connection) -> None:
    """Begin a transaction that writes history: wait for every other one that does, in this process or another.

    On SQLite the transaction holds the write lock already (`BEGIN IMMEDIATE`), and `FOR UPDATE` says nothing there.
    """
    connection.execute(sa.select(t.revision.c.number).with_for_update())


def record(
    connection: sa.Connection, touched: Touched, differences: Differences, clock: Clock, origin: Origin
) -> Recorded | None:
    """Write the transaction's place in the history: None when nothing was touched.

    A change of a subscription has a place even when nobody's access depends on it yet: in its line stands the customer then.
    """
    subjects = touched.subjects() or sorted(touched.subscriptions)
    if not subjects:
        return None
    connection.execute(sa.update(t.revision).values(number=t.revision.c.number + 1))
    number = connection.execute(sa.select(t.revision.c.number)).scalar_one()
    commit_time = clock.now()
    connection.execute(
        sa.insert(t.changes),
        [
            {
                "number": number,
                "subject": subject,
                "commit_time": commit_time,
                "actor": origin.actor,
                "method": origin.method,
                "organization": origin.organization,
            }
            for subject in subjects
        ],
    )
    after = SqlFacts(connection, touched.lists)
    withdrawn = set(_narrowed(touched, after, commit_time))
    narrowed = sorted({*withdrawn, *pending_subjects(connection, subjects)})
    if narrowed:
        open_receipt(connection, number, commit_time, origin.organization, narrowed)
    _mark_standings(connection, touched, after, number, now=commit_time)
    _mark_rehearsals(connection, touched, number)
    _mark_lists(connection, touched, number)
    _mark_fields(connection, differences, number)
    return Recorded(number, commit_time, bool(narrowed), frozenset(subjects), bool(withdrawn))


def _narrowed(touched: Touched, after: SqlFacts, now: Instant) -> Iterator[str]:
    for name, before in touched.credentials.items():
        if narrows_credential(*_with_what_differs(touched, name, before, after.terms(name)), now):
            yield name
    for (partner, customer), standing in touched.standings.items():
        if narrows_standing(standing, after.standing(partner, customer), now):
            yield names.CONSENT.format(customer, partner)


def _with_what_differs(
    touched: Touched, name: str, before: Key | Token | None, after: Key | Token | None
) -> tuple[Key | Token | None, Key | Token | None]:
    """The two with those on their lists who are on one of them only: who is on both takes nothing away."""
    if not isinstance(before, Key) or not isinstance(after, Key):
        return before, after
    added, removed = touched.lists.difference(after.partner, names.KEY.parse(name, "name")[1])
    return replace(before, customers=removed), replace(after, customers=added)


def _mark_standings(connection: sa.Connection, touched: Touched, facts: SqlFacts, number: int, *, now: Instant) -> None:
    for (partner, customer), before in touched.standings.items():
        after = facts.standing(partner, customer)
        was_valid = isinstance(valid(before, now), Allow)
        is_valid = isinstance(valid(after, now), Allow)
        had_ended = not was_valid and before.opened_number > before.closed_number
        marks: dict[str, int | str] = {}
        if is_valid and not was_valid:
            marks["opened_number"] = number
        if had_ended or (was_valid and not is_valid):
            marks["closed_number"] = number
        differing = opened_classes(before) ^ opened_classes(after) if was_valid and is_valid else frozenset()
        if differing:
            marks["class_numbers"] = class_numbers_text({**dict(before.class_numbers), **dict.fromkeys(differing, number)})
        if marks:
            row = (t.connections.c.partner == partner, t.connections.c.customer == customer)
            connection.execute(sa.update(t.connections).where(*row).values(marks))


def _mark_rehearsals(connection: sa.Connection, touched: Touched, number: int) -> None:
    columns = t.partners.c
    for partner, before in touched.rehearsals.items():
        now = connection.execute(sa.select(columns.rehearsing).where(columns.id == partner)).scalar_one()
        if now != before:
            mark = columns.demo_closed_number if now else columns.demo_opened_number
            connection.execute(sa.update(t.partners).where(columns.id == partner).values({mark: number}))


def _mark_lists(connection: sa.Connection, touched: Touched, number: int) -> None:
    columns = t.key_listings.c
    for name in (name for name in touched.credentials if names.KEY.matches(name)):
        partner, key = names.KEY.parse(name, "name")
        entering, leaving = touched.lists.difference(PartnerId(partner), key)
        if not entering and not leaving:
            continue
        whose = (t.keys.c.partner == partner, t.keys.c.id == key)
        connection.execute(sa.update(t.keys).where(*whose).values(list_number=number))
        known = touched.lists.ever(PartnerId(partner), key, entering)
        new = {"partner": partner, "key": key, "first_number": number, "listed_number": number, "unlisted_number": 0}
        if entering - known:
            connection.execute(sa.insert(t.key_listings), [{**new, "customer": each} for each in sorted(entering - known)])
        row = (columns.partner == partner, columns.key == key, columns.customer == sa.bindparam("marked"))
        for mark, customers in ((columns.listed_number, entering & known), (columns.unlisted_number, leaving)):
            if customers:
                update = sa.update(t.key_listings).where(*row).values({mark: number})
                connection.execute(update, [{"marked": customer} for customer in sorted(customers)])


def _mark_fields(connection: sa.Connection, differences: Differences, number: int) -> None:
    for name, (before, after) in differences.items():
        if before is None:
            field_marks.mark_created(connection, name, number)
        else:
            field_marks.mark(connection, name, before, after or {}, number)
