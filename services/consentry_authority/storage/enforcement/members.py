"""Members and receipts in the database. None of it is history: it draws no revision."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import sqlalchemy as sa

from consentry_authority.enforcement.barriers import MOST_POINTS, Barrier, Member, Point, PointState, Receipt, Speaker
from consentry_authority.enforcement.limits import MEMBERS_PER_TOKEN, too_many_members
from consentry_authority.storage.logs import accesses
from consentry_authority.storage.schema import tables as t
from consentry_authority.storage.schema.rows import instant
from consentry_core.protocol.follow import Revision
from consentry_rule import Instant

_AT_ONCE = 500  # parameters of one statement
_ROWS_AT_ONCE = 200  # likewise, of four each

EVERYTHING: Final = ""
"""The subject of a change that may have taken anything away from anybody: of a restore."""


def grant(
    connection: sa.Connection,
    speaker: Speaker,
    applied: Revision | None,
    now: Instant,
    *,
    most: int = MEMBERS_PER_TOKEN,
    admit: Callable[[], None] = accesses.anybody,
) -> None:
    """Count another lease of a member, and note what it has acknowledged. To be committed before the lease is made.

    PermissionDenied when the incarnation is another token's, and what `admit` raises: see `accesses.claim`. ResourceExhausted
    when it would be one more than `most` of its token.
    """
    accesses.may_serve(connection, speaker, now, admit=admit)
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
    accesses.serves_no_more(connection, incarnation, now)
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
        number, receipt = barrier.revision.number, barrier.receipt()
        row = (t.receipts.c.number == number, t.receipts.c.enforce_time.is_(None))
        enforced = {
            "enforce_time": receipt.enforce_time,
            "point_count": receipt.point_count,
            "acknowledged_count": receipt.acknowledged_count,
        }
        if connection.execute(sa.update(t.receipts).where(*row).values(enforced)).rowcount == 0:
            continue  # another replica waited too, and was first
        points = [
            {
                "number": number,
                "incarnation": point.incarnation,
                "service": point.service,
                "state": point.state.value,
                "acknowledge_time": point.acknowledge_time,
            }
            for point in receipt.points
        ]
        if points:
            connection.execute(sa.insert(t.receipt_points), points)


def receipt(connection: sa.Connection, revision: Revision) -> tuple[Receipt, str] | None:
    """A change's receipt, and the organisation that made the change; None for a change that took nothing away."""
    return receipts(connection, revision.epoch, [revision.number]).get(revision.number)


def receipts(
    connection: sa.Connection, epoch: str, numbers: Sequence[int], *, most_points: int = MOST_POINTS
) -> dict[int, tuple[Receipt, str]]:
    """The receipts of those of these changes (at most a page of them) that took something away; see `receipt`.

    Each with at most `most_points` points: there are receipts from before they were bounded when they are written.
    """
    points = _points(connection, numbers, most_points)
    counts = {row.number: row for row in connection.execute(_COUNTED.where(t.receipt_points.c.number.in_(numbers)))}
    found = {}
    for row in connection.execute(sa.select(t.receipts).where(t.receipts.c.number.in_(numbers))):
        counted = counts.get(row.number) if row.point_count is None else row
        receipt = Receipt(
            Revision(epoch, row.number),
            Instant(row.commit_time),
            instant(row.enforce_time),
            tuple(points.get(row.number, ())),
            0 if counted is None else counted.point_count,
            0 if counted is None else counted.acknowledged_count,
        )
        found[row.number] = receipt, row.organization
    return found


_ACKNOWLEDGED = t.receipt_points.c.state == PointState.ACKNOWLEDGED.value
_COUNTED = sa.select(
    t.receipt_points.c.number,
    sa.func.count().label("point_count"),
    sa.func.sum(sa.case((_ACKNOWLEDGED, 1), else_=0)).label("acknowledged_count"),
).group_by(t.receipt_points.c.number)


def _points(connection: sa.Connection, numbers: Sequence[int], most: int) -> dict[int, list[Point]]:
    """Those that did not acknowledge first."""
    columns = t.receipt_points.c
    first = sa.case((_ACKNOWLEDGED, 1), else_=0)
    place = sa.func.row_number().over(partition_by=columns.number, order_by=(first, columns.incarnation)).label("place")
    ranked = sa.select(t.receipt_points, place).where(columns.number.in_(numbers)).subquery()
    points: dict[int, list[Point]] = {}
    for row in connection.execute(sa.select(ranked).where(ranked.c.place <= most).order_by(ranked.c.number, ranked.c.place)):
        point = Point(row.incarnation, row.service, PointState(row.state), instant(row.acknowledge_time))
        points.setdefault(row.number, []).append(point)
    return points


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
