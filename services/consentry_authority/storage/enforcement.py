"""Members and receipts in the database. None of it is history: it draws no revision."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import sqlalchemy as sa

from consentry_authority.enforcement.barriers import Barrier, Member, Point, PointState, Receipt, Speaker
from consentry_authority.storage import accesses
from consentry_authority.storage import tables as t
from consentry_authority.storage.rows import instant
from consentry_core.follow import Revision
from consentry_rule import Instant

_AT_ONCE = 500  # parameters of one statement

EVERYTHING: Final = ""
"""The subject of a change that may have taken anything away from anybody: of a restore."""


def grant(connection: sa.Connection, speaker: Speaker, applied: Revision | None, now: Instant) -> None:
    """Count another lease of a member, and note what it has acknowledged. To be committed before the lease is made.

    PermissionDenied when the incarnation is another token's: see `accesses.claim`.
    """
    row = t.members.c.incarnation == speaker.incarnation
    applied_columns: dict[str, Any] = {}
    if applied is not None:
        applied_columns = {"applied_epoch": applied.epoch, "applied_number": applied.number}
    updated = connection.execute(sa.update(t.members).where(row).values(leases=t.members.c.leases + 1, **applied_columns))
    if updated.rowcount == 0:
        new = {"incarnation": speaker.incarnation, "service": speaker.service, "join_time": now, "leases": 1}
        connection.execute(sa.insert(t.members).values(**new, **applied_columns))
    accesses.may_serve(connection, speaker, now)


def leave(connection: sa.Connection, incarnation: str, now: Instant) -> None:
    """A member has given its lease back."""
    accesses.serves_no_more(connection, incarnation, now)
    connection.execute(sa.delete(t.members).where(t.members.c.incarnation == incarnation))


def expire(connection: sa.Connection, expired: Iterable[Member]) -> None:
    """Drop members that were granted nothing since their leases were counted: none of those is usable any more.

    One that was dropped and came back counts from 1 again; by when it joined it is told from what it was.
    """
    columns = t.members.c
    for member in expired:
        row = (
            columns.incarnation == member.incarnation,
            columns.join_time == member.join_time,
            columns.leases == member.leases,
        )
        connection.execute(sa.delete(t.members).where(*row))


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


def open_receipt(
    connection: sa.Connection, number: int, commit_time: Instant, organization: str, subjects: Iterable[str]
) -> None:
    """A change takes access away from these subjects: it will have a receipt."""
    connection.execute(
        sa.insert(t.receipts).values(number=number, commit_time=commit_time, organization=organization, enforce_time=None)
    )
    connection.execute(sa.insert(t.receipt_subjects), [{"number": number, "subject": subject} for subject in subjects])


def close_receipts(connection: sa.Connection, barriers: Iterable[Barrier]) -> None:
    """Changes have been enforced: keep when, and what each enforcement point did."""
    for barrier in barriers:
        number = barrier.revision.number
        row = (t.receipts.c.number == number, t.receipts.c.enforce_time.is_(None))
        if connection.execute(sa.update(t.receipts).where(*row).values(enforce_time=barrier.enforce_time)).rowcount == 0:
            continue  # another replica waited too, and was first
        points = [
            {
                "number": number,
                "incarnation": point.incarnation,
                "service": point.service,
                "state": point.state.value,
                "acknowledge_time": point.acknowledge_time,
            }
            for point in barrier.points.values()
        ]
        if points:
            connection.execute(sa.insert(t.receipt_points), points)


def receipt(connection: sa.Connection, revision: Revision) -> tuple[Receipt, str] | None:
    """A change's receipt, and the organisation that made the change; None for a change that took nothing away."""
    return receipts(connection, revision.epoch, [revision.number]).get(revision.number)


def receipts(connection: sa.Connection, epoch: str, numbers: Sequence[int]) -> dict[int, tuple[Receipt, str]]:
    """The receipts of those of these changes (at most a page of them) that took something away; see `receipt`."""
    points: dict[int, list[Point]] = {}
    query = sa.select(t.receipt_points).where(t.receipt_points.c.number.in_(numbers))
    for row in connection.execute(query.order_by(t.receipt_points.c.incarnation)):
        point = Point(row.incarnation, row.service, PointState(row.state), instant(row.acknowledge_time))
        points.setdefault(row.number, []).append(point)
    return {
        row.number: (
            Receipt(
                Revision(epoch, row.number),
                Instant(row.commit_time),
                instant(row.enforce_time),
                tuple(points.get(row.number, ())),
            ),
            row.organization,
        )
        for row in connection.execute(sa.select(t.receipts).where(t.receipts.c.number.in_(numbers)))
    }


def change(connection: sa.Connection, revision: Revision) -> tuple[Receipt, str] | None:
    """Of a change that took nothing away: enforced since its commit; and whose it was. None for one that is not there."""
    columns = t.changes.c
    query = sa.select(columns.commit_time, columns.organization).where(columns.number == revision.number).limit(1)
    row = connection.execute(query).one_or_none()
    return (
        None if row is None else (Receipt(revision, Instant(row.commit_time), Instant(row.commit_time)), row.organization or "")
    )


def last_number(connection: sa.Connection, subjects: Sequence[str], *, until: int | None = None) -> int | None:
    """The last change, at most `until`, that took access away from one of these subjects; None when none did.

    A name ending in `/` stands for all below it.
    """
    column = t.receipt_subjects.c.subject
    # `0` comes after `/`: what begins with a name ending in `/` lies between the two.
    named = [
        sa.and_(column >= subject, column < subject[:-1] + "0") if subject.endswith("/") else column == subject
        for subject in subjects
    ]
    query = sa.select(sa.func.max(t.receipt_subjects.c.number)).where(sa.or_(sa.false(), *named))
    if until is not None:
        query = query.where(t.receipt_subjects.c.number <= until)
    return connection.execute(query).scalar_one_or_none()


def pending_subjects(connection: sa.Connection, subjects: Sequence[str]) -> set[str]:
    """Those of these subjects that something was taken away from, or may have been, and nobody has seen that enforced yet."""
    joined = sa.join(t.receipt_subjects, t.receipts, t.receipt_subjects.c.number == t.receipts.c.number)
    query = sa.select(t.receipt_subjects.c.subject).select_from(joined).where(t.receipts.c.enforce_time.is_(None))
    if connection.execute(query.where(t.receipt_subjects.c.subject == EVERYTHING)).first() is not None:
        return set(subjects)
    return {
        row.subject
        for start in range(0, len(subjects), _AT_ONCE)
        for row in connection.execute(query.where(t.receipt_subjects.c.subject.in_(subjects[start : start + _AT_ONCE])))
    }


def pending(connection: sa.Connection) -> Sequence[tuple[int, Instant]]:
    """The changes whose enforcement nobody has seen to its end: number and commit time."""
    rows = connection.execute(sa.select(t.receipts).where(t.receipts.c.enforce_time.is_(None)).order_by(t.receipts.c.number))
    return [(row.number, Instant(row.commit_time)) for row in rows]
