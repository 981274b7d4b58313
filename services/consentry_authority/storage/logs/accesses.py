"""The customers' access log in the database. None of it is history: it draws no revision.

`access_points` says up to when each incarnation has reported. It outlives the member's row, so that the time between an
incarnation's last report and its end can be told; what lies between two reports that do not meet is an access gap. It also says
whose each incarnation is, for as long as anything is known of it: no other service's token may speak for it.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from consentry_authority.access_log.reports import HOUR, PATIENCE, AccessCount, AccessReport, Period, Unreported
from consentry_authority.enforcement.barriers import Speaker
from consentry_authority.storage.schema import tables as t
from consentry_authority.storage.schema.rows import instant
from consentry_core.protocol.follow import LEASE_SECONDS
from consentry_core.sql.database import insert_missing, upsert
from consentry_core.values.clock import SECOND
from consentry_core.values.errors import PermissionDenied
from consentry_rule import CustomerId, DataClass, Instant

# Longer than a lease is usable, whatever the clocks.
_LEASE = (LEASE_SECONDS + 1) * SECOND
_AT_ONCE = 500  # parameters of one statement, or rows of a few each
_MOST_UNREPORTED = 1_000
_MOST_GAPS = 20  # of one incarnation
_ADDED = ("messages", "readings", "bytes", "refusals")
_NUMBERS = (*_ADDED, "devices")
_LARGEST = 2**63 - 1


def anybody() -> None:
    """Lets every new incarnation in."""


def claim(connection: sa.Connection, speaker: Speaker, now: Instant, *, admit: Callable[[], None] = anybody) -> None:
    """A token speaks for an incarnation. PermissionDenied when that is another one's: it is whose token spoke first.

    `admit` is called for one that nobody has spoken for, and refuses it by raising.
    """
    columns = t.access_points.c
    row = columns.incarnation == speaker.incarnation
    owner = connection.execute(sa.select(columns.token).where(row)).one_or_none()
    if owner is None:
        admit()
        times = {"reported_until": now, "served_until": now}
        connection.execute(sa.insert(t.access_points).values(**asdict(speaker), **times, last_number=0, done=False))
    elif owner.token is None:
        connection.execute(sa.update(t.access_points).where(row).values(token=speaker.token))
    elif owner.token != speaker.token:
        raise PermissionDenied(
            "this incarnation is another token's; draw a random name of your own, anew at every start",
            reason="NOT_YOUR_INCARNATION",  # the same as consentry_guard.rpc.authority.NOT_YOUR_INCARNATION
        )


def may_serve(connection: sa.Connection, speaker: Speaker, now: Instant, *, admit: Callable[[], None] = anybody) -> None:
    """A member is about to be granted a lease: it may serve, until that can no longer be usable. See `claim`."""
    claim(connection, speaker, now, admit=admit)
    row = t.access_points.c.incarnation == speaker.incarnation
    connection.execute(sa.update(t.access_points).where(row).values(served_until=Instant(now + _LEASE)))


def serves_no_more(connection: sa.Connection, incarnation: str, now: Instant) -> None:
    """A member has given its lease back."""
    row = t.access_points.c.incarnation == incarnation
    connection.execute(sa.update(t.access_points).where(row).values(served_until=now))


def keep(connection: sa.Connection, report: AccessReport, token: str, *, admit: Callable[[], None] = anybody) -> int | None:
    """Count a report: how many rows are new; None when it was counted before. See `claim`."""
    columns = t.access_points.c
    row = columns.incarnation == report.incarnation
    claim(connection, Speaker(report.incarnation, report.service, token), report.start, admit=admit)
    point = connection.execute(sa.select(t.access_points).where(row)).one()
    if report.number <= point.last_number:
        return None
    # A first report begins when its incarnation took its own first look at the time, a little after it had joined.
    if report.number > 1 and report.start > point.reported_until:
        _leave_gap(connection, report, token, point.reported_until)
    new = _count(connection, report)
    reported_until = point.reported_until if report.more else max(report.end, point.reported_until)
    connection.execute(
        sa.update(t.access_points)
        .where(row)
        .values(last_number=report.number, reported_until=reported_until, done=point.done or report.last)
    )
    return new


def _leave_gap(connection: sa.Connection, report: AccessReport, token: str, start: Instant) -> None:
    """Nobody has spoken for the time before a report. Of one that leaves many such times, the last two become one."""
    gaps = t.access_gaps.c
    own = gaps.incarnation == report.incarnation
    count, newest = connection.execute(sa.select(sa.func.count(), sa.func.max(gaps.start_time)).where(own)).one()
    if count >= _MOST_GAPS:
        connection.execute(sa.update(t.access_gaps).where(own, gaps.start_time == newest).values(end_time=report.start))
        return
    gap = {"incarnation": report.incarnation, "start_time": start, "end_time": report.start}
    connection.execute(sa.insert(t.access_gaps).values(service=report.service, token=token, **gap))


def page(
    connection: sa.Connection,
    customer: CustomerId,
    keys: str,
    period: Period,
    *,
    after: tuple[int, str, str] | None,
    limit: int,
) -> Sequence[AccessCount]:
    """What was read of a customer by these keys (a key, a partner's prefix ending in `/`, or all), newest hour first."""
    columns = t.accesses.c
    # As floats: exact for all that can be read in an hour, and what a guard makes up is no error here.
    sums = [sa.func.sum(sa.cast(columns[name], sa.Float)).label(name) for name in _ADDED]
    devices = sa.func.max(columns.devices).label("devices")
    query = sa.select(columns.hour, columns.key, columns.data_class, *sums, devices).where(columns.customer == customer)
    if keys.endswith("/"):
        query = query.where(columns.key >= keys, columns.key < keys[:-1] + "0")  # `0` comes after `/`
    elif keys:
        query = query.where(columns.key == keys)
    if period.start is not None:
        query = query.where(columns.hour > period.start - HOUR)
    if period.end is not None:
        query = query.where(columns.hour < period.end)
    if after is not None:
        hour, key, data_class = after
        later = (columns.hour == hour) & (sa.tuple_(columns.key, columns.data_class) > sa.tuple_(key, data_class))
        query = query.where(sa.or_(columns.hour < hour, later), columns.hour <= hour)
    query = query.group_by(columns.hour, columns.key, columns.data_class)
    query = query.order_by(columns.hour.desc(), columns.key, columns.data_class).limit(limit)
    return [
        AccessCount(
            hour=Instant(row.hour),
            key=row.key,
            customer=customer,
            data_class=DataClass(row.data_class) if row.data_class else None,
            messages=_whole(row.messages),
            readings=_whole(row.readings),
            bytes=_whole(row.bytes),
            devices=row.devices,
            refusals=_whole(row.refusals),
        )
        for row in connection.execute(query)
    ]


def _whole(total: float) -> int:
    return min(int(total), _LARGEST)


def unreported(connection: sa.Connection, period: Period, now: Instant) -> Sequence[Unreported]:
    """The times that nobody has spoken for, newest first, as far as they overlap a period.

    One that has said its last word has a lease for a moment more; if it goes on serving, that word was not its last. Each
    service has as many of these as any other, however many it makes: its older ones are told as one, which nobody's name is on.
    """
    points, gaps = t.access_points.c, t.access_gaps.c
    end = sa.case((points.served_until <= now, points.served_until), else_=None)
    over = points.done & (points.served_until <= points.reported_until + PATIENCE)
    silent = sa.select(
        points.incarnation, points.service, points.token, points.reported_until.label("start_time"), end.label("end_time")
    ).where(~over, points.reported_until < sa.func.coalesce(end, now - PATIENCE))
    lost = sa.select(gaps.incarnation, gaps.service, gaps.token, gaps.start_time, gaps.end_time)
    if period.start is not None:
        silent, lost = silent.where(points.served_until > period.start), lost.where(gaps.end_time > period.start)
    if period.end is not None:
        silent, lost = silent.where(points.reported_until < period.end), lost.where(gaps.start_time < period.end)
    both = sa.union_all(silent, lost).subquery()
    # Of a point from before tokens were written down the service's own word has to do.
    whose = sa.func.coalesce(both.c.token, both.c.service)
    services = connection.scalar(sa.select(sa.func.count(sa.distinct(whose))).select_from(both)) or 1
    each = max(_MOST_UNREPORTED // services, 1)
    place = sa.func.row_number().over(partition_by=whose, order_by=(both.c.start_time.desc(), both.c.incarnation))
    ranked = sa.select(both, whose.label("whose"), place.label("place")).subquery()
    one_by_one = sa.select(ranked).where(ranked.c.place < each)
    told = [
        Unreported(row.incarnation, row.service, Instant(row.start_time), instant(row.end_time))
        for row in connection.execute(one_by_one)
    ]
    open_ends = sa.func.sum(sa.case((ranked.c.end_time.is_(None), 1), else_=0))
    older = sa.select(
        sa.func.count().label("points"),
        sa.func.max(ranked.c.incarnation).label("incarnation"),
        sa.func.max(ranked.c.service).label("service"),
        sa.func.min(ranked.c.start_time).label("start_time"),
        sa.case((open_ends > 0, None), else_=sa.func.max(ranked.c.end_time)).label("end_time"),
    )
    told += [
        Unreported(row.incarnation if row.points == 1 else "", row.service, Instant(row.start_time), instant(row.end_time))
        for row in connection.execute(older.where(ranked.c.place >= each).group_by(ranked.c.whose))
    ]
    return sorted(told, key=lambda each: (-each.start, each.incarnation))


def forget_before(connection: sa.Connection, time: Instant, now: Instant) -> None:
    """Let go of what is older; and, sooner, of incarnations that said hello and were never heard of again."""
    points = t.access_points.c
    connection.execute(sa.delete(t.accesses).where(t.accesses.c.hour <= time - HOUR))
    connection.execute(sa.delete(t.access_gaps).where(t.access_gaps.c.end_time < time))
    connection.execute(sa.delete(t.access_points).where(points.served_until < time))
    unheard = (points.last_number == 0, points.served_until == points.reported_until, points.served_until < now - HOUR)
    connection.execute(sa.delete(t.access_points).where(*unheard))


def _count(connection: sa.Connection, report: AccessReport) -> int:
    """How many rows are new."""
    known = _known(connection, sorted({count.customer for count in report.counts}))
    rows: list[dict[str, Any]] = [
        {
            "customer": count.customer,
            "hour": count.hour - count.hour % HOUR,
            "key": count.key,
            "data_class": count.data_class.value if count.data_class else "",
            "incarnation": report.incarnation,
            "messages": count.messages,
            "readings": count.readings,
            "bytes": count.bytes,
            "devices": count.devices,
            "refusals": count.refusals,
        }
        for count in report.counts
        if count.customer in known
    ]
    if not rows:
        return 0
    new = insert_missing(connection, t.accesses, [row | dict.fromkeys(_NUMBERS, 0) for row in rows])
    upsert(connection, t.accesses, rows, added=_ADDED, largest=("devices",))
    return new


def _known(connection: sa.Connection, customers: Sequence[CustomerId]) -> set[CustomerId]:
    return {
        CustomerId(found)
        for start in range(0, len(customers), _AT_ONCE)
        for found in connection.scalars(
            sa.select(t.customers.c.id).where(t.customers.c.id.in_(customers[start : start + _AT_ONCE]))
        )
    }
