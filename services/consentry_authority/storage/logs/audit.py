"""The audit log in the database: appended to, read, never changed, and removed from its beginning once that was exported."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from consentry_authority.audit.chain import AuditKeys, Entry, EntryKind, Head, Sealed
from consentry_authority.commands.ports import Place
from consentry_authority.storage.history.descriptions import CUSTOMERS, Description, describe
from consentry_authority.storage.history.place import Differences, Origin, Recorded
from consentry_authority.storage.schema import tables as t
from consentry_core.process.logs import redact
from consentry_core.values import names
from consentry_rule import CustomerId, Instant, PartnerId

_AT_ONCE = 1_000
_LONGEST = 200  # characters of what a caller says of itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What an entry is to say; see `Entry`. `concerns`: the (customer, partner or empty) in whose history it stands."""

    time: Instant
    kind: EntryKind
    actor: str = ""
    organization: str = ""
    method: str = ""
    peer: str = ""
    request_id: str = ""
    outcome: str = ""
    revision: int = 0
    document: str = ""
    concerns: tuple[tuple[str, str], ...] = ()


def append(connection: sa.Connection, keys: AuditKeys, notes: Iterable[Note]) -> None:
    """Write entries at the end. Part of the caller's transaction."""
    notes = tuple(notes)
    if not notes:
        return
    # The row of the head is updated first: whoever appends next waits until this transaction is over.
    connection.execute(sa.update(t.audit_head).values(number=t.audit_head.c.number))
    last = head(connection)
    for note in notes:
        sealed = keys.seal(_entry(note, last.number + 1), last.digest)
        connection.execute(sa.insert(t.audit).values(_values(sealed)))
        concerned = [
            {"customer": customer, "partner": partner, "time": note.time, "number": sealed.entry.number}
            for customer, partner in note.concerns
        ]
        if concerned:
            connection.execute(sa.insert(t.audit_customers), concerned)
        last = Head(sealed.entry.number, sealed.digest)
    connection.execute(sa.update(t.audit_head).values(number=last.number, digest=last.digest))


def append_changes(
    connection: sa.Connection,
    keys: AuditKeys,
    changed: Differences,
    origin: Origin,
    *,
    recorded: Recorded | None,
    now: Instant,
) -> None:
    """Write what a transaction has changed; nothing when it changed nothing that is described.

    What had ended by itself before it was changed is told first, as of its end: no other entry would say so.
    """
    if not changed:
        return
    notes = [
        Note(time=end, kind=EntryKind.END, document=_document({name: (before, None)}), concerns=_concerns(name, before))
        for name, (before, after) in changed.items()
        if (end := _ended(name, before, after, now)) is not None
    ]
    concerns = sorted({concern for name, (before, after) in changed.items() for concern in _concerns(name, after or before)})
    notes.append(
        Note(
            time=now if recorded is None else recorded.commit_time,
            kind=EntryKind.CHANGE,
            actor=origin.actor,
            organization=origin.organization,
            method=origin.method,
            peer=origin.peer,
            request_id=origin.request_id,
            outcome="OK",
            revision=0 if recorded is None else recorded.number,
            document=_document(changed),
            concerns=tuple(concerns),
        )
    )
    append(connection, keys, notes)


def head(connection: sa.Connection) -> Head:
    """The end of the log, as the database says."""
    row = connection.execute(sa.select(t.audit_head)).one()
    return Head(row.number, row.digest)


def base(connection: sa.Connection) -> Head:
    """The last entry that was removed; number 0 when none was."""
    row = connection.execute(sa.select(t.audit_base)).one()
    return Head(row.number, row.digest)


def begin_after(connection: sa.Connection, keys: AuditKeys, exported: Head, now: Instant) -> None:
    """The log begins after this entry from now on. An entry of its own says so: who has no key cannot cut off a beginning."""
    document = json.dumps({"number": exported.number, "digest": exported.digest})
    append(connection, keys, [Note(time=now, kind=EntryKind.EXPORTED, method="consentry audit export", document=document)])
    connection.execute(sa.update(t.audit_base).values(number=exported.number, digest=exported.digest))


def remove_exported(connection: sa.Connection) -> int:
    """Remove a piece of what lies before the beginning; how many entries that were."""
    columns = t.audit.c
    old = sa.select(columns.number).where(columns.number <= base(connection).number).order_by(columns.number)
    numbers = connection.scalars(old.limit(_AT_ONCE)).all()
    if numbers:
        for table in (t.audit_customers, t.audit):
            connection.execute(sa.delete(table).where(table.c.number <= numbers[-1]))
    return len(numbers)


def last_before(connection: sa.Connection, time: Instant) -> Head | None:
    """The last entry of those that all were written before a time; None when there is none."""
    columns = t.audit.c
    later = connection.scalar(sa.select(sa.func.min(columns.number)).where(columns.time >= time))
    query = sa.select(columns.number, columns.digest).where(columns.number > base(connection).number)
    if later is not None:
        query = query.where(columns.number < later)
    row = connection.execute(query.order_by(columns.number.desc()).limit(1)).one_or_none()
    return None if row is None else Head(row.number, row.digest)


def entries(connection: sa.Connection, *, after: int = 0) -> Iterator[Sealed]:
    """The log, those after a number, in its order."""
    after = max(after, base(connection).number)
    while True:
        query = sa.select(t.audit).where(t.audit.c.number > after).order_by(t.audit.c.number).limit(_AT_ONCE)
        page = [_sealed(row) for row in connection.execute(query)]
        yield from page
        if len(page) < _AT_ONCE:
            return
        after = page[-1].entry.number


def unwritten_changes(connection: sa.Connection) -> Sequence[int]:
    """The changes of the history since the log was begun that no entry names: some, at most."""
    named = sa.select(t.audit.c.revision)
    first = sa.select(sa.func.min(t.audit.c.revision)).where(t.audit.c.revision > 0).scalar_subquery()
    query = (
        sa.select(t.changes.c.number)
        .distinct()
        .where(t.changes.c.number >= first, t.changes.c.number.not_in(named))
        .order_by(t.changes.c.number)
        .limit(20)
    )
    return connection.scalars(query).all()


class SqlAudit:
    """See `ports.ReadAudit`."""

    def __init__(self, connection: sa.Connection, now: Instant) -> None:
        self._connection = connection
        self._now = now

    def of_customer(
        self, customer: CustomerId, partner: PartnerId | None, before: Place | None, *, limit: int
    ) -> Sequence[tuple[Place, Entry]]:
        """See `ports.ReadAudit.of_customer`."""
        filed = t.audit_customers.c
        place = (filed.time, filed.number, filed.partner)
        query = sa.select(*(column.label(f"place_{column.name}") for column in place), t.audit).join_from(
            t.audit_customers, t.audit, filed.number == t.audit.c.number
        )
        query = query.where(filed.customer == customer)
        if partner is not None:
            query = query.where(filed.partner.in_((partner, "")))
        if before is not None:
            query = query.where(sa.tuple_(*place) < sa.tuple_(*before))
        query = query.order_by(*(column.desc() for column in place)).limit(limit)
        return [
            (Place(Instant(row.place_time), row.place_number, row.place_partner), _sealed(row).entry)
            for row in self._connection.execute(query)
        ]

    def ended(
        self, customer: CustomerId, partner: PartnerId | None, before: Place | None, *, limit: int
    ) -> Sequence[tuple[Place, Description]]:
        """See `ports.ReadAudit.ended`."""
        consents = t.consents.c
        place = (consents.expire_time, sa.literal(0), consents.partner)
        query = sa.select(t.consents).where(
            consents.customer == customer, consents.revoke_time.is_(None), consents.expire_time <= self._now
        )
        if partner is not None:
            query = query.where(consents.partner == partner)
        if before is not None:
            query = query.where(sa.tuple_(*place) < sa.tuple_(*before))
        query = query.order_by(consents.expire_time.desc(), consents.partner.desc()).limit(limit)
        found: list[tuple[Place, Description]] = [
            (Place(Instant(row["expire_time"]), 0, row["partner"]), dict(row))
            for row in self._connection.execute(query).mappings()
        ]
        described = describe(self._connection, names.CUSTOMER.format(customer))
        end = None if described is None else _ended(names.CUSTOMER.format(customer), described, None, self._now)
        lapsed = None if end is None else Place(end, 0, "")
        if described is not None and lapsed is not None and (before is None or lapsed < before):
            found.append((lapsed, described))
        return found


def misfiled(connection: sa.Connection) -> list[int]:
    """The entries that do not stand in the histories that they belong to, or in others."""
    filed: dict[int, set[tuple[str, str]]] = {}
    kept = sa.select(t.audit_customers).where(t.audit_customers.c.number > base(connection).number)
    for row in connection.execute(kept):
        filed.setdefault(row.number, set()).add((row.customer, row.partner))
    wrong = []
    for sealed in entries(connection):
        number = sealed.entry.number
        if sealed.entry.kind in (EntryKind.CHANGE, EntryKind.END) and filed.pop(number, set()) != _concerned(sealed.entry):
            wrong.append(number)
    return wrong + sorted(filed)


def _concerned(entry: Entry) -> set[tuple[str, str]]:
    try:
        changed = json.loads(entry.document)
        return {concern for name, sides in changed.items() for concern in _concerns(name, sides["after"] or sides["before"])}
    except (ValueError, AttributeError, KeyError, TypeError):
        return set()  # no document of ours: the chain does not fit either


def _ended(name: str, before: Description | None, after: Description | None, now: Instant) -> Instant | None:
    """When what is now changed had ended by itself; None when it had not, or is not what has changed."""
    if before is None:
        return None
    if names.CUSTOMER.matches(name):
        end, over = before["subscription_expire_time"], before["subscription_cancel_time"]
    else:
        consent = before.get("consent")
        if not names.CONSENT.matches(name) or consent is None or (after and after["consent"] == consent):
            return None
        end, over = consent["expire_time"], consent["revoke_time"]
    return Instant(end) if over is None and end is not None and end <= now else None


def _concerns(name: str, description: Description | None) -> tuple[tuple[str, str], ...]:
    """In whose history a change of this subject stands."""
    if names.CONSENT.matches(name):
        customer, partner = names.CONSENT.parse(name, "name")
        return ((customer, partner),)
    organization = name
    if names.TOKEN.matches(name):
        organization = str((description or {}).get("organization", ""))
    return ((names.CUSTOMER.parse(organization, "name")[0], ""),) if names.CUSTOMER.matches(organization) else ()


def _document(changed: Differences) -> str:
    return json.dumps({name: _difference(*pair) for name, pair in sorted(changed.items())}, separators=(",", ":"))


def _difference(before: Description | None, after: Description | None) -> dict[str, Any]:
    """Both sides; of lists, what came and what went."""
    sides: dict[str, Any] = {"before": None, "after": None}
    for side, said in (("before", before), ("after", after)):
        sides[side] = None if said is None else {key: value for key, value in said.items() if key != CUSTOMERS}
    for word, customers in zip(("added", "removed"), (after or {}).get(CUSTOMERS, ()), strict=False):
        if customers:
            sides[word] = sorted(customers)
    return sides


def _entry(note: Note, number: int) -> Entry:
    return Entry(
        number=number,
        time=note.time,
        kind=note.kind,
        actor=note.actor,
        organization=note.organization,
        method=note.method,
        peer=_short(note.peer),
        request_id=_short(note.request_id),
        outcome=note.outcome,
        revision=note.revision,
        document=redact(note.document),
    )


def _short(text: str) -> str:
    return redact(text)[:_LONGEST]


def _values(sealed: Sealed) -> dict[str, Any]:
    entry = sealed.entry
    return {
        "number": entry.number,
        "time": entry.time,
        "kind": entry.kind,
        "actor": entry.actor,
        "organization": entry.organization,
        "method": entry.method,
        "peer": entry.peer,
        "request_id": entry.request_id,
        "outcome": entry.outcome,
        "revision": entry.revision,
        "document": entry.document,
        "key_id": sealed.key_id,
        "digest": sealed.digest,
    }


def _sealed(row: Any) -> Sealed:
    entry = Entry(
        number=row.number,
        time=Instant(row.time),
        kind=row.kind,
        actor=row.actor,
        organization=row.organization,
        method=row.method,
        peer=row.peer,
        request_id=row.request_id,
        outcome=row.outcome,
        revision=row.revision,
        document=row.document,
    )
    return Sealed(entry, row.key_id, row.digest)
