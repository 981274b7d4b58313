"""Members in the database. None of it is history: it draws no revision."""

from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa

from consentry_authority.enforcement.barriers import Member, Speaker
from consentry_authority.enforcement.limits import MEMBERS_PER_TOKEN, too_many_members
from consentry_authority.storage.logs import access_log
from consentry_authority.storage.schema import tables as t
from consentry_core.protocol.follow import Revision
from consentry_rule import Instant

_ROWS_AT_ONCE = 200  # of four parameters each


def grant(
    connection: sa.Connection,
    speaker: Speaker,
    applied: Revision | None,
    now: Instant,
    *,
    most: int = MEMBERS_PER_TOKEN,
    admit: Callable[[], None] = access_log.anybody,
) -> None:
    """Count another lease of a member, and note what it has acknowledged. To be committed before the lease is made.

    PermissionDenied when the incarnation is another token's, and what `admit` raises: see `access_log.claim`. ResourceExhausted
    when it would be one more than `most` of its token.
    """
    access_log.may_serve(connection, speaker, now, admit=admit)
    columns = t.members.c
    new: dict[str, Any] = {"token": speaker.token}
    if applied is not None:
        new |= {"applied_epoch": applied.epoch, "applied_number": applied.number}
    row = columns.incarnation == speaker.incarnation
    updated = connection.execute(sa.update(t.members).where(row).values(leases=columns.leases + 1, **new))
    if updated.rowcount == 0:
        standing = connection.scalar(sa.select(sa.func.count()).select_from(t.members).where(columns.token == speaker.token))
        if standing is not None and standing >= most:
            raise too_many_members(most)
        new |= {"incarnation": speaker.incarnation, "service": speaker.service, "join_time": now, "leases": 1}
        connection.execute(sa.insert(t.members).values(new))


def leave(connection: sa.Connection, incarnation: str, now: Instant) -> None:
    """A member has given its lease back."""
    access_log.serves_no_more(connection, incarnation, now)
    connection.execute(sa.delete(t.members).where(t.members.c.incarnation == incarnation))


def expire(connection: sa.Connection, expired: Sequence[Member]) -> int:
    """Drop members that were granted nothing since their leases were counted: none of those is usable any more. How many.

    One that was dropped and came back counts from 1 again; by when it joined it is told from what it was.
    """
    columns, dropped = t.members.c, 0
    as_read = sa.tuple_(columns.incarnation, columns.join_time, columns.leases)
    for start in range(0, len(expired), _ROWS_AT_ONCE):
        piece = expired[start : start + _ROWS_AT_ONCE]
        rows = (
            columns.incarnation.in_([member.incarnation for member in piece]),
            as_read.in_([(member.incarnation, member.join_time, member.leases) for member in piece]),
        )
        dropped += connection.execute(sa.delete(t.members).where(*rows)).rowcount
    return dropped


def members(connection: sa.Connection) -> Sequence[Member]:
    """Whoever may hold a lease, by incarnation."""
    rows = connection.execute(sa.select(t.members).order_by(t.members.c.incarnation))
    return [
        Member(
            row.incarnation,
            row.service,
            Instant(row.join_time),
            row.leases,
            None if row.applied_epoch is None else Revision(row.applied_epoch, row.applied_number),
        )
        for row in rows
    ]
