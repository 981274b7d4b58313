"""Alarms from successive polls: raised once, changed when they get worse, cleared on evidence, never flapping."""

from consentry_core.values.names import resource_id
from consentry_gateway.reading.alarms import Alarm, AlarmBook
from consentry_gateway.reading.model import Device, DeviceId, Limit, Severity
from support.polls import UPS, at, poll

ONLINE, ON_BATTERY = {"output.status": "online"}, {"output.status": "on battery"}


def labels(alarms: tuple[Alarm, ...]) -> list[tuple[str, Severity]]:
    return [(alarm.label, alarm.severity) for alarm in alarms]


def test_a_power_failure_is_raised_once_and_says_so_when_it_is_over() -> None:
    book = AlarmBook()
    assert book.observe(poll(0, ONLINE)) == ()
    (raised,) = book.observe(poll(5, ON_BATTERY))
    assert (raised.label, raised.severity, raised.activate_time, raised.clear_time) == (
        "Power Failure", Severity.CRITICAL, at(5), None,
    )  # fmt: skip
    assert book.observe(poll(10, ON_BATTERY)) == ()
    (cleared,) = book.observe(poll(15, ONLINE))
    assert (cleared.id, cleared.label, cleared.severity) == (raised.id, "Power Failure Cleared", Severity.OK)
    assert (cleared.activate_time, cleared.clear_time) == (at(5), at(15))
    assert book.observe(poll(20, ONLINE)) == ()


def test_the_same_condition_comes_back_under_the_same_id() -> None:
    book = AlarmBook()
    (first,) = book.observe(poll(0, ON_BATTERY))
    book.observe(poll(5, ONLINE))
    (second,) = book.observe(poll(10, ON_BATTERY))
    assert (second.id, second.activate_time) == (first.id, at(10))


def test_a_low_battery_is_an_alarm_of_its_own() -> None:
    book = AlarmBook()
    raised = book.observe(poll(0, ON_BATTERY | {"battery.status": "low"}))
    assert labels(raised) == [("Power Failure", Severity.CRITICAL), ("Low Battery", Severity.CRITICAL)]
    assert book.observe(poll(5, ON_BATTERY | {"battery.status": "unknown"})) == ()


def test_an_overload_grows_out_of_a_near_overload() -> None:
    book = AlarmBook()
    (near,) = book.observe(poll(0, {"load.status": "near overload"}))
    (over,) = book.observe(poll(5, {"load.status": "overload"}))
    (cleared,) = book.observe(poll(10, {"load.status": "normal"}))
    assert labels((near, over, cleared)) == [
        ("Near Overload", Severity.WARNING), ("Overload", Severity.CRITICAL), ("Overload Cleared", Severity.OK),
    ]  # fmt: skip
    assert near.id == over.id == cleared.id
    assert over.activate_time == near.activate_time


def test_a_temperature_clears_only_well_below_its_limit() -> None:
    book, limit = AlarmBook(), Limit(35.0, 33.0)
    seen = [
        labels(book.observe(poll(n, {"ambient.temperature": value}, limit=limit)))
        for n, value in enumerate((34.9, 35.1, 34.0, 35.2, 32.9))
    ]
    assert seen == [[], [("High Temperature", Severity.WARNING)], [], [], [("High Temperature Cleared", Severity.OK)]]


def test_a_device_is_unreachable_after_so_many_failed_polls_in_a_row() -> None:
    book = AlarmBook(unreachable_after=3)
    silent = [book.observe(poll(n, reachable=False)) for n in range(2)]
    assert silent == [(), ()]
    assert book.observe(poll(2)) == ()
    assert [labels(book.observe(poll(n, reachable=False))) for n in range(3, 7)] == [
        [], [], [("Device Communication Alert", Severity.WARNING)], [],
    ]  # fmt: skip
    assert labels(book.observe(poll(7))) == [("Device Communication Alert Cleared", Severity.OK)]


def test_a_poll_that_does_not_say_changes_nothing() -> None:
    book = AlarmBook(unreachable_after=3)
    (raised,) = book.observe(poll(0, ON_BATTERY))
    assert book.observe(poll(5, reachable=False)) == ()
    assert book.observe(poll(10, {"ups.load": 50.0})) == ()
    assert book.active == (raised,)


def test_what_was_active_before_a_restart_is_cleared_by_evidence_and_raised_no_second_time() -> None:
    before = AlarmBook()
    before.observe(poll(0, ON_BATTERY))
    after = AlarmBook(before.active)
    assert after.observe(poll(5, ON_BATTERY)) == ()
    (cleared,) = AlarmBook(before.active).observe(poll(5, ONLINE))
    assert cleared.activate_time == at(0)


def test_an_unreachable_device_stays_so_over_a_restart_until_it_answers() -> None:
    before = AlarmBook(unreachable_after=1)
    (raised,) = before.observe(poll(0, reachable=False))
    after = AlarmBook(before.active, unreachable_after=3)
    assert after.observe(poll(5, reachable=False)) == ()
    assert after.active == (raised,)
    assert len(after.observe(poll(10))) == 1


def test_an_alarm_never_ends_before_it_began() -> None:
    book = AlarmBook()
    book.observe(poll(10, ON_BATTERY))
    (cleared,) = book.observe(poll(5, ONLINE))
    assert cleared.clear_time == cleared.activate_time


def test_ids_of_alarms_are_good_however_long_the_device_s_is() -> None:
    long = Device(DeviceId("a" * 63), "Long")
    other = Device(DeviceId("a" * 62 + "b"), "Long, too")
    ids = [AlarmBook().observe(poll(0, ON_BATTERY, device=device))[0].id for device in (long, other, UPS)]
    assert [resource_id(alarm_id, "id") for alarm_id in ids] == ids
    assert len(set(ids)) == 3
