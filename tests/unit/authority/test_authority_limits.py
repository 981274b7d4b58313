"""What bounds one service's token, and the receipts and members that it can make others wait for."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from consentry_authority.commands.ports import Committed
from consentry_authority.enforcement.barriers import BOUND, MOST_POINTS, Barriers, Member, PointState, Speaker, point_name
from consentry_authority.enforcement.following import INTERESTS_OWED, NAMES_OWED, Following
from consentry_authority.enforcement.keeping import _pieces, drop
from consentry_authority.enforcement.limits import PACE, Fleets, Newcomers, Renewals
from consentry_authority.enforcement.news import News, Since
from consentry_authority.enforcement.runner import EnforcementRunner
from consentry_authority.storage.enforcement import members as rows
from consentry_authority.storage.enforcement import receipts as receipt_rows
from consentry_authority.storage.enforcement.records import SqlEnforcementRecords
from consentry_authority.storage.schema import tables as t
from consentry_core.protocol.follow import Hello, Interest, Revision
from consentry_core.values.clock import SECOND, BootTime
from consentry_core.values.errors import ResourceExhausted
from consentry_rule import Instant
from support.stores import StoreUnderTest, open_store

TOKEN = "tokens/hostile"
NOW, WALL = BootTime(100 * SECOND), Instant(7)


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[StoreUnderTest]:
    with open_store(tmp_path) as kept:
        yield kept


def member(number: int, leases: int = 1) -> Member:
    return Member(f"incarnation-{number:06}", "devices", Instant(0), leases)


def test_a_lease_is_granted_four_times_in_what_one_lasts() -> None:
    renewals = Renewals()
    granted = [at for at in range(0, 5 * SECOND, SECOND // 100) if _granted(renewals, "one", BootTime(at))]
    assert len(granted) == 4
    assert renewals.wait("another", BootTime(0)) == 0
    assert renewals.wait("one", BootTime(granted[-1])) == PACE


def _granted(renewals: Renewals, incarnation: str, now: BootTime) -> bool:
    if renewals.wait(incarnation, now):
        return False
    renewals.granted(incarnation, now)
    return True


def test_a_token_has_so_much_open_and_what_is_over_makes_room() -> None:
    fleets = Fleets(2)
    for _ in range(2):
        fleets.join(TOKEN)
    with pytest.raises(ResourceExhausted, match="2 enforcement points"):
        fleets.join(TOKEN)
    fleets.part(TOKEN)
    fleets.join(TOKEN)
    for _ in range(4):
        fleets.open_stream(TOKEN)
    with pytest.raises(ResourceExhausted, match="4 streams"):
        fleets.open_stream(TOKEN)
    fleets.open_stream("tokens/another")
    fleets.follow(TOKEN, 5_000)
    with pytest.raises(ResourceExhausted, match="5000 names"):
        fleets.follow(TOKEN, 1)
    fleets.follow(TOKEN, -1)
    fleets.follow(TOKEN, 1)


def test_only_so_many_members_of_a_token_stand_and_renewing_is_no_new_one(kept: StoreUnderTest) -> None:
    def grant(connection: sa.Connection, number: int, token: str = TOKEN) -> None:
        rows.grant(connection, Speaker(member(number).incarnation, "devices", token), None, Instant(1), most=3)

    with kept.store._database.engine.begin() as connection:
        for number in (0, 1, 2, 0, 1):
            grant(connection, number)
        with pytest.raises(ResourceExhausted):
            grant(connection, 3)
        grant(connection, 4, "tokens/another")
        assert [one.leases for one in rows.members(connection)] == [2, 2, 1, 1]


async def test_silent_members_are_dropped_together_and_told_of_in_one_line(
    kept: StoreUnderTest, caplog: pytest.LogCaptureFixture
) -> None:
    """Thousands of them, each with a line that names it, filled the log; the names are what speaks for them."""
    members = [member(number) for number in range(2_000)]
    with kept.store._database.engine.begin() as connection:
        connection.execute(
            sa.insert(t.members),
            [{"incarnation": one.incarnation, "service": "devices", "join_time": 0, "leases": 1} for one in members],
        )
        back = Speaker(members[5].incarnation, "devices", TOKEN)
        rows.grant(connection, back, None, Instant(1))
    records = SqlEnforcementRecords(kept.store)
    runner = EnforcementRunner(kept.store, records, kept.clock, News(), Newcomers(200), members=200)
    await runner.run(drop(members))
    assert [one.incarnation for one in await records.members()] == [members[5].incarnation]
    (line,) = [record.getMessage() for record in caplog.records if "fell silent" in record.getMessage()]
    assert "1999" in line
    assert point_name(members[0].incarnation) in line
    assert "incarnation-" not in line


def test_who_has_gone_silently_holds_up_no_later_barrier() -> None:
    barriers, gone, back = Barriers(), member(1), member(2)
    barriers.watch([gone, back], now=NOW)
    barriers.watch([gone, replace(back, leases=2)], now=BootTime(NOW + SECOND))
    assert barriers.next_tick() is not None
    assert barriers.tick(now=BootTime(NOW + BOUND - SECOND), wall=WALL).expired == ()
    expired = barriers.tick(now=BootTime(NOW + BOUND), wall=WALL).expired
    assert expired == (gone, back), "as they were read: who was granted a lease since stays"


def test_a_receipt_tells_of_those_that_did_not_acknowledge_and_counts_the_others(kept: StoreUnderTest) -> None:
    """3,000 members made one of 4 MB, which nobody could read."""
    barriers, revision = Barriers(), Revision("e", 3)
    barrier, _ = barriers.begin(revision, WALL, [member(number) for number in range(3_000)], committed=NOW, now=NOW, wall=WALL)
    for number in range(2_990):
        barriers.acknowledged(member(number).incarnation, revision, wall=WALL)
    assert barriers.tick(now=BootTime(NOW + BOUND), wall=WALL).barriers == (barrier,)
    with kept.store._database.engine.begin() as connection:
        receipt_rows.open_receipt(connection, 3, WALL, "customers/north", ["customers/north/consents/acme"])
        receipt_rows.close_receipts(connection, [barrier])
        assert connection.scalar(sa.select(sa.func.count()).select_from(t.receipt_points)) == MOST_POINTS
        receipt, _ = receipt_rows.receipt(connection, revision) or pytest.fail("it is kept")
        few = receipt_rows.receipts(connection, "e", [3], most_points=2)[3][0]
    assert receipt == barrier.receipt()
    assert (receipt.point_count, receipt.acknowledged_count, len(receipt.points)) == (3_000, 2_990, MOST_POINTS)
    assert [point.state for point in receipt.points] == [PointState.EXPIRED] * 10 + [PointState.ACKNOWLEDGED] * 90
    assert (few.point_count, few.points) == (3_000, receipt.points[:2])


def test_a_receipt_from_before_they_were_counted_is_counted_when_it_is_read(kept: StoreUnderTest) -> None:
    with kept.store._database.engine.begin() as connection:
        receipt_rows.open_receipt(connection, 3, WALL, "", [""])
        states = ["acknowledged"] * 150 + ["left"]
        points = [
            {"number": 3, "incarnation": f"i{number}", "service": "x", "state": state} for number, state in enumerate(states)
        ]
        connection.execute(sa.insert(t.receipt_points), points)
        receipt, _ = receipt_rows.receipt(connection, Revision("e", 3)) or pytest.fail("it is kept")
    assert (receipt.point_count, receipt.acknowledged_count, len(receipt.points)) == (151, 150, MOST_POINTS)
    assert receipt.points[0].state is PointState.LEFT


def test_receipts_are_written_in_pieces() -> None:
    barriers = Barriers()
    begun = [
        barriers.begin(Revision("e", number), WALL, [member(one) for one in range(300)], committed=NOW, now=NOW, wall=WALL)[0]
        for number in range(3)
    ]
    assert [len(piece) for piece in _pieces(begun)] == [1, 1, 1]


def test_a_stream_is_read_no_further_while_much_is_owed_on_it() -> None:
    following = Following()
    following.received(Hello("0123456789abcdef", "devices"))
    names = [f"customers/c{number:06}/consents/acme" for number in range(NAMES_OWED + 1)]
    following.received(Interest(1, tuple(names[:NAMES_OWED])))
    assert not following.full
    following.received(Interest(2, (names[-1],)))
    assert following.full
    empty = Following()
    empty.received(Hello("0123456789abcdef", "devices"))
    for number in range(INTERESTS_OWED + 1):
        assert not empty.full
        empty.received(Interest(number, ()))
    assert empty.full


def test_news_tell_what_was_touched_since_and_nothing_that_they_have_not_heard() -> None:
    news = News()

    def commit(number: int, *subjects: str) -> None:
        news.committed(Committed(None, Revision("e", number), WALL, changed=True, subjects=frozenset(subjects)))

    def since(number: int, epoch: str = "e") -> Since | None:
        return news.since(Revision(epoch, number))

    assert since(4) == Since(Revision("e", 4), frozenset())
    commit(5, "a")
    commit(6, "b", "c")
    assert since(4) == Since(Revision("e", 6), frozenset({"a", "b", "c"}))
    assert since(5) == Since(Revision("e", 6), frozenset({"b", "c"}))
    assert since(6) == Since(Revision("e", 6), frozenset())
    assert since(9) == Since(Revision("e", 9), frozenset()), "who has read more than was heard of here"
    assert (since(3), since(5, "another")) == (None, None)
    commit(8, "d")  # the one in between was not heard of
    assert (since(6), since(7)) == (None, Since(Revision("e", 8), frozenset({"d"})))
    commit(7, "e")
    assert (since(7), since(8)) == (None, None), "out of order: nothing is known to be the newest"
    news.missed()
    assert since(8) is None
