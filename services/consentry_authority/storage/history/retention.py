"""What the database lets go of, a piece at a time: whoever writes next waits for one of these and no longer.

Nothing that anybody decides by is among it: dead secrets, what was deleted, receipts of changes that are enforced, lines of the
history, requests that had an id. The audit log is not. What it tells of is gone only if it tells of that too.
"""

import json
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import sqlalchemy as sa

from consentry_authority.audit.chain import AuditKeys, EntryKind
from consentry_authority.storage.logs.audit import Note, append
from consentry_authority.storage.schema import tables as t
from consentry_core.values import names
from consentry_rule import Instant

PIECE: Final = 500
"""Rows of one kind in one transaction."""

Removal: TypeAlias = Callable[[sa.Connection, Instant, AuditKeys], int]
"""Removes a piece of what is older than an instant; how many rows it found."""


def receipts(connection: sa.Connection, before: Instant, _: AuditKeys) -> int:
    """Receipts of changes that are enforced, with what each enforcement point did. Pending ones are kept."""
    columns = t.receipts.c
    old = sa.select(columns.number).where(columns.commit_time < before, columns.enforce_time.is_not(None))
    numbers = connection.scalars(old.order_by(columns.number).limit(PIECE)).all()
    for table in (t.receipt_points, t.receipt_subjects, t.receipts):
        connection.execute(sa.delete(table).where(table.c.number.in_(numbers)))
    return len(numbers)


def history(connection: sa.Connection, before: Instant, _: AuditKeys) -> int:
    """Lines of the history, but for the newest. A watch that comes back from before them goes by the marks of what changed."""
    columns = t.changes.c
    oldest = sa.select(columns.number, columns.commit_time).order_by(columns.number, columns.subject).limit(PIECE)
    head = connection.execute(sa.select(t.revision.c.number)).scalar_one()
    numbers = {row.number for row in connection.execute(oldest) if row.commit_time < before and row.number < head}
    if not numbers:
        return 0
    return connection.execute(sa.delete(t.changes).where(columns.number <= max(numbers))).rowcount


def secrets(connection: sa.Connection, before: Instant, _: AuditKeys) -> int:
    """Secrets that are dead: a caller that comes with one is as unknown as before."""
    columns = t.secrets.c
    died = sa.func.coalesce(columns.kill_time, columns.create_time)
    old = sa.select(columns.id).where(columns.argon2_hash.is_(None), died < before)
    return _remove(connection, t.secrets, columns.id, connection.scalars(old.limit(PIECE)).all())


def tokens(connection: sa.Connection, before: Instant, audit_keys: AuditKeys) -> int:
    """Tokens that were deleted."""
    columns = t.tokens.c
    ids = connection.scalars(sa.select(columns.id).where(columns.delete_time < before).limit(PIECE)).all()
    _forget(connection, [names.TOKEN.format(each) for each in ids], before, audit_keys)
    return _remove(connection, t.tokens, columns.id, ids)


def keys(connection: sa.Connection, before: Instant, audit_keys: AuditKeys) -> int:
    """One key that was deleted: first, a piece at a time, what is said of its list, then itself."""
    columns = t.keys.c
    row = connection.execute(sa.select(columns.partner, columns.id).where(columns.delete_time < before).limit(1)).one_or_none()
    if row is None:
        return 0
    for table in (t.key_customers, t.key_listings):
        of_key = (table.c.partner == row.partner, table.c.key == row.id)
        listed = connection.scalars(sa.select(table.c.customer).where(*of_key).limit(PIECE)).all()
        if listed:
            return connection.execute(sa.delete(table).where(*of_key, table.c.customer.in_(listed))).rowcount
    _forget(connection, [names.KEY.format(row.partner, row.id)], before, audit_keys)
    return connection.execute(sa.delete(t.keys).where(columns.partner == row.partner, columns.id == row.id)).rowcount


def requests(connection: sa.Connection, before: Instant, _: AuditKeys) -> int:
    """What came of requests that had an id."""
    columns = t.requests.c
    rows = connection.execute(sa.select(columns.caller, columns.id).where(columns.create_time <= before).limit(PIECE)).all()
    for row in rows:
        connection.execute(sa.delete(t.requests).where(columns.caller == row.caller, columns.id == row.id))
    return len(rows)


def _forget(connection: sa.Connection, credentials: Sequence[str], before: Instant, audit_keys: AuditKeys) -> None:
    """What else there is of credentials that were deleted. An entry tells that they are gone: nobody removed them past us."""
    if not credentials:
        return
    document = json.dumps({name: {"before": None, "after": None} for name in credentials})
    note = Note(time=before, kind=EntryKind.CHANGE, method="retention", outcome="OK", document=document)
    append(connection, audit_keys, [note])
    connection.execute(sa.delete(t.secrets).where(t.secrets.c.credential.in_(credentials)))
    connection.execute(sa.delete(t.field_numbers).where(t.field_numbers.c.resource.in_(credentials)))


def _remove(connection: sa.Connection, table: sa.Table, column: sa.Column[str], values: Sequence[str]) -> int:
    return connection.execute(sa.delete(table).where(column.in_(values))).rowcount if values else 0
