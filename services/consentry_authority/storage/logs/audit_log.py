"""The audit log in the database: appended to, read, never changed, and removed from its beginning once that was exported."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from consentry_authority.audit.chain import ENTRY_FIELDS, AuditKeys, Entry, EntryKind, Head, Sealed
from consentry_authority.storage.logs.audited_changes import concerned
from consentry_authority.storage.schema import tables as t
from consentry_core.process.logs import redact
from consentry_rule import Instant

_AT_ONCE = 1_000
_LONGEST = 200  # characters of what a caller says of itself


def append(connection: sa.Connection, keys: AuditKeys, entries: Iterable[Entry]) -> None:
    """Write entries at the end, under their numbers there. Part of the caller's transaction."""
    entries = tuple(entries)
    if not entries:
        return
    # The row of the head is updated first: whoever appends next waits until this transaction is over.
    connection.execute(sa.update(t.audit_head).values(number=t.audit_head.c.number))
    last = head(connection)
    for number, entry in enumerate(entries, last.number + 1):
        sealed = keys.seal(_clean(replace(entry, number=number)), last.digest)
        connection.execute(sa.insert(t.audit).values(_values(sealed)))
        filed = [
            {"customer": customer, "partner": partner, "time": entry.time, "number": number}
            for customer, partner in sorted(concerned(sealed.entry))
        ]
        if filed:
            connection.execute(sa.insert(t.audit_customers), filed)
        last = Head(number, sealed.digest)
    connection.execute(sa.update(t.audit_head).values(number=last.number, digest=last.digest))


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
    append(connection, keys, [Entry(time=now, kind=EntryKind.EXPORTED, method="consentry audit export", document=document)])
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
        page = [sealed_of(row) for row in connection.execute(query)]
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


def misfiled(connection: sa.Connection) -> list[int]:
    """The entries that do not stand in the histories that they belong to, or in others."""
    filed: dict[int, set[tuple[str, str]]] = {}
    kept = sa.select(t.audit_customers).where(t.audit_customers.c.number > base(connection).number)
    for row in connection.execute(kept):
        filed.setdefault(row.number, set()).add((row.customer, row.partner))
    wrong = []
    for sealed in entries(connection):
        number = sealed.entry.number
        if sealed.entry.kind in (EntryKind.CHANGE, EntryKind.END) and filed.pop(number, set()) != concerned(sealed.entry):
            wrong.append(number)
    return wrong + sorted(filed)


def sealed_of(row: Any) -> Sealed:
    """A row of the log."""
    said = {name: getattr(row, name) for name in ENTRY_FIELDS}
    return Sealed(Entry(**said), row.key_id, row.digest)


def _values(sealed: Sealed) -> dict[str, Any]:
    said = {name: getattr(sealed.entry, name) for name in ENTRY_FIELDS}
    return {**said, "key_id": sealed.key_id, "digest": sealed.digest}


def _clean(entry: Entry) -> Entry:
    return replace(entry, peer=_short(entry.peer), request_id=_short(entry.request_id), document=redact(entry.document))


def _short(text: str) -> str:
    return redact(text)[:_LONGEST]
