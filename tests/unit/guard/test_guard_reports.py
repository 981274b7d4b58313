"""What the guard counts, and its reports on their way: nothing is lost but what was not written, and nothing counts twice."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from consentry_core.protocol.refused_call import RefusedCall
from consentry_core.values.clock import SECOND
from consentry_core.values.errors import InvalidArgument, Unavailable
from consentry_guard import Handed
from consentry_guard.reports.files import MOST_COUNTS, Report, Reports
from consentry_guard.reports.refusals import Refusals, Refused
from consentry_guard.reports.reporting import Reporting
from consentry_guard.reports.tally import HOUR, Count, Tally
from consentry_rule import CustomerId, DataClass, Instant

KEY, NORTH, SOUTH = "partners/acme/keys/k1", CustomerId("north"), CustomerId("south")
TELEMETRY, ALARMS = (NORTH, DataClass.TELEMETRY), (NORTH, DataClass.ALARMS)
NOON = Instant(500_000 * HOUR)


def at(seconds: float) -> Instant:
    return Instant(NOON + round(seconds * SECOND))


def a_count(readings: int = 1, *, key: str = KEY) -> Count:
    return Count(NOON, key, NORTH, DataClass.TELEMETRY, messages=1, readings=readings)


def test_messages_readings_bytes_and_different_devices_are_counted_by_class() -> None:
    tally = Tally()
    tally.count(KEY, at(1), 700, {TELEMETRY: Handed(30, frozenset({"ups", "pdu"}))})
    tally.count(KEY, at(2), 300, {TELEMETRY: Handed(20, frozenset({"ups", "fan"}))})
    tally.count(KEY, at(3), 90, {ALARMS: Handed(0, frozenset({"ups"}))})
    assert tally.take() == [
        Count(NOON, KEY, NORTH, DataClass.TELEMETRY, messages=2, readings=50, bytes=1_000, devices=3),
        Count(NOON, KEY, NORTH, DataClass.ALARMS, messages=1, bytes=90, devices=1),
    ]
    assert tally.take() == []
    tally.count(KEY, at(4), 10, {TELEMETRY: Handed(1, frozenset({"ups"}))})
    assert tally.take() == [Count(NOON, KEY, NORTH, DataClass.TELEMETRY, messages=1, readings=1, bytes=10, devices=3)]


def test_a_message_about_several_customers_counts_for_each_what_is_its() -> None:
    tally = Tally()
    tally.count(KEY, at(1), 1_000, {TELEMETRY: Handed(3, bytes=400), (SOUTH, DataClass.TELEMETRY): Handed(5, bytes=600)})
    assert [(count.customer, count.readings, count.bytes) for count in tally.take()] == [(NORTH, 3, 400), (SOUTH, 5, 600)]


def test_an_hour_ends_on_the_hour_of_the_authoritys_clock() -> None:
    tally = Tally()
    tally.count(KEY, at(3_599), 10, {TELEMETRY: Handed(1, frozenset({"ups"}))})
    tally.count(KEY, at(3_601), 10, {TELEMETRY: Handed(2, frozenset({"pdu"}))})
    tally.refuse(KEY, at(3_602), SOUTH, None)
    assert [(count.hour, count.customer, count.readings, count.devices, count.refusals) for count in tally.take()] == [
        (NOON, NORTH, 1, 1, 0),
        (NOON + HOUR, NORTH, 2, 1, 0),
        (NOON + HOUR, SOUTH, 0, 0, 1),
    ]


def test_what_is_asked_for_in_vain_cannot_fill_the_memory() -> None:
    tally = Tally(most_counts=100, most_devices=10)
    for number in range(1_000):
        tally.refuse(KEY, at(1), CustomerId(f"made-up-{number}"), DataClass.ALARMS)
    assert len(tally.take()) == 100
    assert tally.left_out == 900
    tally = Tally(most_devices=10)
    for number in range(100):
        tally.count(KEY, at(1), 1, {TELEMETRY: Handed(1, frozenset({f"device {number}"}))})
    assert tally.take()[0].devices == 10


# On the disk


def opened(folder: Path, incarnation: str = "one") -> Reports:
    return Reports(folder, incarnation, "devices", at(0))


def left(reports: Reports) -> list[Report]:
    return [report for _, report in reports.left()]


def test_reports_follow_each_other_and_stay_as_they_were_sent(tmp_path: Path) -> None:
    reports = opened(tmp_path)
    reports.add([a_count(1)], at(2))
    reports.add([a_count(2)], at(4))
    first = reports.next()
    assert (first.number, first.start, first.end) == (1, at(0), at(4))
    assert first.counts == (replace(a_count(3), messages=2),)
    reports.add([a_count(5)], at(6))
    assert reports.next() is first, "until it is acknowledged"
    reports.acknowledged()
    second = reports.next()
    assert (second.number, second.start, second.end, second.counts) == (2, at(4), at(6), (a_count(5),))
    reports.acknowledged()
    assert not reports.pressing
    reports.close()
    assert list(tmp_path.iterdir()) == []


def test_what_a_dead_incarnation_has_left_is_sent_by_the_next_under_its_name(tmp_path: Path) -> None:
    dead = opened(tmp_path)
    dead.add([a_count(1)], at(2))
    sent = dead.next()  # and nobody knows whether it arrived
    dead.add([a_count(2)], at(4))
    living = opened(tmp_path, "two")
    assert left(living) == [], "it is not dead yet"
    dead._lock.release()  # as the end of the process does
    found = left(living)
    assert found[0] == sent
    assert [(report.incarnation, report.number, report.end) for report in found] == [("one", 1, at(2)), ("one", 2, at(4))]
    for file, _ in living.left():
        file.unlink()
    assert left(living) == []
    assert [path.name for path in tmp_path.iterdir()] == ["two"]
    living.close()


def test_what_was_refused_is_told_with_what_was_read_and_comes_back_from_the_disk_as_it_was(tmp_path: Path) -> None:
    call = RefusedCall(at(1), KEY, "/a.B/C", "KEY_DISABLED", "ipv4:192.0.2.1:5", "request-1")
    dead = opened(tmp_path)
    dead.add([], at(2), refused=Refused((call,), (("KEY_DISABLED", 3),)))
    dead.add([], at(4), refused=Refused((replace(call, time=at(3)),), (("KEY_DISABLED", 4), ("KEY_EXPIRED", 1))))
    assert dead.pressing
    refused = dead.next().refused
    assert refused == Refused((call, replace(call, time=at(3))), (("KEY_DISABLED", 7), ("KEY_EXPIRED", 1)))
    dead._lock.release()
    living = opened(tmp_path, "two")
    assert [report.refused for report in left(living)] == [refused]
    living.close()


def test_what_an_older_version_has_left_is_sent_too(tmp_path: Path) -> None:
    """It told of nothing that it refused."""
    dead = opened(tmp_path)
    dead.add([a_count(5)], at(2))
    dead._lock.release()
    (file,) = tmp_path.glob("one/*.json")
    said = json.loads(file.read_text())
    del said["refused"]
    file.write_text(json.dumps(said))
    living = opened(tmp_path, "two")
    (report,) = left(living)
    assert (report.counts, bool(report.refused)) == ((a_count(5),), False)
    living.close()


def test_refused_calls_that_nobody_takes_for_long_are_counted(tmp_path: Path) -> None:
    reports = opened(tmp_path)
    for number in range(0, 700, 50):
        some = (RefusedCall(at(1), KEY, "/a.B/C", "KEY_DISABLED", "", str(number + each)) for each in range(50))
        reports.add([], at(2), refused=Refused(tuple(some)))
    refused = reports.next().refused
    assert (len(refused.calls), refused.left_out) == (500, (("KEY_DISABLED", 200),))
    reports.close()


def test_what_is_not_a_report_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "000000000001.json").write_text('{"half": ')
    reports = opened(tmp_path, "two")
    assert left(reports) == []
    assert (tmp_path / "one" / "000000000001.json").exists()
    reports.close()


def test_a_report_holds_only_so_much_and_speaks_for_its_time_only_with_the_last_of_it(tmp_path: Path) -> None:
    reports = opened(tmp_path)
    reports.add([a_count(key=f"partners/acme/keys/k{number}") for number in range(MOST_COUNTS * 2 + 1)], at(2))
    sent = []
    while reports.pressing:
        sent.append(reports.next())
        reports.acknowledged()
    assert [(report.number, report.start, report.end, len(report.counts), report.more) for report in sent] == [
        (1, at(0), at(2), MOST_COUNTS, True),
        (2, at(0), at(2), MOST_COUNTS, True),
        (3, at(0), at(2), 1, False),
    ]
    reports.close()


# At work


class Authority:
    """Keeps reports, and answers as it is told to."""

    def __init__(self) -> None:
        self.kept: list[Report] = []
        self.error: Exception | None = None
        self.came = asyncio.Event()

    async def take(self, report: Report) -> None:
        if self.error is not None:
            raise self.error
        self.kept.append(report)
        self.came.set()


def kept(folder: Path) -> list[Path]:
    """The reports on the disk."""
    return list(folder.glob("*/*.json"))


async def run(folder: Path, authority: Authority, tally: Tally, incarnation: str = "one") -> None:
    """One life of a guard, which has its first look at the time and is then stopped."""
    known = asyncio.Event()

    def now() -> Instant:
        known.set()
        return at(9)

    reporting = Reporting(tally, Refusals(), folder, incarnation, "devices", now=now, send=authority.take, write_every=60)
    reporting.start()
    await asyncio.wait_for(known.wait(), 10)
    await reporting.stop()


async def test_a_guard_that_stops_reports_what_it_counted_and_that_it_was_the_last(tmp_path: Path) -> None:
    authority, tally = Authority(), Tally()
    tally.count(KEY, at(1), 10, {TELEMETRY: Handed(7)})
    await run(tmp_path, authority, tally)
    (report,) = authority.kept
    assert (report.incarnation, report.number, report.last) == ("one", 1, True)
    assert [count.readings for count in report.counts] == [7]
    assert kept(tmp_path) == []


async def test_what_could_not_be_reported_is_reported_by_the_next_life(tmp_path: Path) -> None:
    authority, tally = Authority(), Tally()
    authority.error = Unavailable("later")
    tally.count(KEY, at(1), 10, {TELEMETRY: Handed(7)})
    await run(tmp_path, authority, tally)
    assert len(kept(tmp_path)) == 1
    authority.error = None
    reporting = Reporting(
        Tally(), Refusals(), tmp_path, "two", "devices", now=lambda: at(20), send=authority.take, write_every=0.01
    )
    reporting.start()
    await asyncio.wait_for(authority.came.wait(), 10)
    await reporting.stop()
    assert (authority.kept[0].incarnation, authority.kept[0].last) == ("one", True)
    assert kept(tmp_path) == []


@pytest.mark.parametrize("error", [Unavailable("later"), InvalidArgument("counts", "never")])
async def test_what_the_authority_does_not_take_now_is_kept_and_what_it_never_takes_is_not(
    tmp_path: Path, error: Exception
) -> None:
    authority, tally = Authority(), Tally()
    authority.error = error
    tally.count(KEY, at(1), 10, {TELEMETRY: Handed(7)})
    await run(tmp_path, authority, tally)
    assert bool(kept(tmp_path)) == isinstance(error, Unavailable)
