"""`Watch` with DELIVERY_LATEST and DELIVERY_SAMPLE, and with devices named."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from consentry_core.values.errors import InvalidArgument
from consentry_devices.domain.alarms import Alarm
from consentry_devices.domain.inventory import InventoryChange, Location
from consentry_rule import DataClass
from support.device_frames import NORTH, NOW, SECOND, SOUTH, device, sensor
from support.watched_feed import LIVE, Request, WatchedFeed, consent_to, watched_feed

LATEST: dict[str, Any] = {"delivery": Request.DELIVERY_LATEST}
SAMPLE: dict[str, Any] = {"delivery": Request.DELIVERY_SAMPLE, "sample_interval": Duration(seconds=10)}


@pytest.fixture
async def feed(tmp_path: Path) -> AsyncIterator[WatchedFeed]:
    async with watched_feed(tmp_path) as opened:
        yield opened


def power(of: str = "ups", id: str = "power") -> Alarm:  # noqa: A002 - the field's name
    return Alarm(id, of, "Power Failure", "", 7, NOW)


async def test_latest_tells_a_slow_reader_the_newest_and_how_many_it_missed(feed: WatchedFeed) -> None:
    watching = feed.watch(live=LIVE, **LATEST)
    await watching.until("synced")
    await feed.publish(NORTH, 1.0)
    await watching.until("telemetry")
    for second in range(1, 6):  # while that is being written
        await feed.publish(NORTH, second + 0.1, second + 0.2, start=NOW + 10 * second * SECOND)
    await feed.publish(SOUTH, 50.0)
    await watching.until("telemetry")
    assert sorted(watching.values()) == [1.0, 5.2, 50.0]
    assert watching.folded() == 9


async def test_alarms_are_not_folded_and_do_not_wait(feed: WatchedFeed) -> None:
    """And a cursor that is before a value that is pending is before that one only."""
    watching = feed.watch(live=LIVE, **SAMPLE)
    await watching.until("synced")
    await feed.publish(NORTH, 1.0)
    await watching.until("telemetry")
    await feed.publish(NORTH, 2.0, start=NOW + SECOND, alarms=[power()])
    await feed.publish(NORTH, 3.0, start=NOW + 2 * SECOND, alarms=[power(id="smoke")])
    assert [(await watching.next()).alarm_change.alarm.name.rpartition("/")[2] for _ in range(2)] == ["power", "smoke"]
    again = await feed.pull(watching.cursor)
    assert (again.events(), again.values()) == (["telemetry", "telemetry", "synced"][1:], [2.0, 3.0])
    again = await feed.pull(watching.cursor, **LATEST)
    assert (again.events(), again.values(), again.folded()) == (["telemetry", "synced"], [3.0], 1)
    first = await feed.pull(watching.received[-2].cursor)
    assert (first.events(), first.values()) == (["telemetry", "alarm_change", "telemetry", "synced"], [2.0, 3.0])


async def test_sample_tells_once_an_interval_and_the_last_too(feed: WatchedFeed) -> None:
    watching = feed.watch(live=LIVE, delivery=Request.DELIVERY_SAMPLE, sample_interval=Duration(nanos=100_000_000))
    await watching.until("synced")
    await feed.publish(NORTH, 1.0)
    await watching.until("telemetry")
    waiting = asyncio.create_task(watching.next())
    for second in range(1, 4):
        await feed.publish(NORTH, second + 1.0, start=NOW + second * SECOND)
    await asyncio.sleep(0.02)  # the event loop comes by, and it is not time yet
    assert not waiting.done()
    feed.clock.advance(0.1)
    await waiting
    assert (watching.values(), watching.folded()) == ([1.0, 4.0], 2)


async def test_late_readings_are_no_news(feed: WatchedFeed) -> None:
    watching = feed.watch(live=LIVE, **LATEST)
    await watching.until("synced")
    await feed.publish(NORTH, 1.0, 2.0, late=True)
    await feed.publish(NORTH, 3.0)
    await watching.until("telemetry")
    assert (watching.values(), watching.folded()) == ([3.0], 2)


async def test_a_snapshots_readings_are_not_told_again_as_newest(feed: WatchedFeed) -> None:
    await feed.publish(NORTH, 1.0, start=NOW + SECOND)
    watching = feed.watch(**LATEST)
    await watching.until("synced")
    assert watching.values() == [1.0]
    await feed.publish(NORTH, 0.5, start=NOW)
    await feed.publish(SOUTH, 2.0)
    await watching.until("telemetry")
    assert (watching.values(), watching.folded()) == ([1.0, 2.0], 1)


async def test_what_is_pending_of_a_customer_that_is_withdrawn_is_not_told(feed: WatchedFeed) -> None:
    watching = feed.watch(live=LIVE, **SAMPLE)
    await watching.until("synced")
    await feed.publish(NORTH, 1.0)
    await watching.until("telemetry")
    await feed.publish(SOUTH, 50.0)
    await feed.publish(NORTH, 2.0, start=NOW + SECOND, alarms=[power()])
    await watching.until("alarm_change")
    feed.gate.revoke(SOUTH)
    await watching.until("customer_removed")
    feed.clock.advance(10)
    await watching.until("telemetry")
    assert watching.values() == [1.0, 2.0]
    cursor = watching.cursor
    feed.gate.consent(SOUTH)
    again = await feed.pull(cursor, **SAMPLE)
    assert again.events() == ["customer_added", "gap", "inventory_change", "telemetry", "synced"]
    assert again.values() == [50.0], "how it stands; the consent opens it"


async def test_a_class_that_was_closed_for_a_while_leaves_a_gap(feed: WatchedFeed) -> None:
    watching = feed.watch(live=LIVE)
    await watching.until("synced")
    consent_to(feed.gate, NORTH, DataClass.INVENTORY, DataClass.ALARMS)
    await feed.publish(NORTH, 1.0, alarms=[power()])
    await feed.publish(NORTH, 1.5, alarms=[power(id="smoke")])
    for _ in range(2):
        await watching.until("alarm_change")
    consent_to(feed.gate, NORTH)
    await watching.until("gap")
    assert watching.events()[-2:] == ["customer_added", "gap"]
    assert list(watching.gaps()[0].data_classes) == [2]
    await feed.publish(NORTH, 2.0)
    await watching.until("telemetry")
    assert 1.0 not in watching.values()


async def test_synced_comes_after_what_is_pending(feed: WatchedFeed) -> None:
    """So that a pull with a long interval is told everything."""
    cursor = (await feed.watch(live=LIVE).until("synced")).cursor
    await feed.publish(NORTH, 1.0, 2.0)
    again = await feed.pull(cursor, **SAMPLE)
    assert (again.events()[-2:], again.values(), again.folded()) == (["telemetry", "synced"], [2.0], 1)
    assert (await feed.pull(again.cursor)).events() == ["synced"]


async def test_any_cursor_of_any_delivery_goes_on_with_any_other(feed: WatchedFeed) -> None:
    """Lossless from there: nothing that was told comes again, nothing that was neither told nor folded is missing."""
    watching = feed.watch(live=LIVE, **LATEST)
    await watching.until("synced")
    total = 0
    for round_ in range(6):
        for step in range(3):
            for customer in (NORTH, SOUTH):
                total += 1
                await feed.publish(customer, float(total), start=NOW + total * SECOND, alarms=[power()] if step == 1 else ())
        await watching.next() if round_ % 2 else await watching.until("telemetry")
    counted = len(watching.values()) + watching.folded()
    rest = await feed.pull(watching.cursor)
    assert len(rest.values()) + counted == total
    assert not set(rest.values()) & set(watching.values())
    after_alarm = [index for index, response in enumerate(watching.received) if response.HasField("alarm_change")]
    for index in after_alarm:
        before = watching.received[: index + 1]
        told = [value for response in before for each in response.telemetry.devices for value in each.block.values]
        folded = sum(response.telemetry.folded_count for response in before)
        rest = await feed.pull(watching.received[index].cursor)
        assert len(told) + folded + len(rest.values()) == total


# Devices


async def test_only_what_concerns_the_devices_that_are_named(feed: WatchedFeed) -> None:
    site = Location("site", "Site", 1, "")
    both = InventoryChange(NOW, (site,), (device(), device("pdu")), (sensor(), sensor("pdu")))
    await feed.tell(NORTH, both)
    await feed.publish(NORTH, 1.0, alarms=[power()])
    await feed.publish(NORTH, 2.0, of="pdu", alarms=[power("pdu", "load")])
    await feed.publish(SOUTH, 3.0)
    watching = feed.watch(devices=[f"customers/{NORTH}/devices/pdu"])
    await watching.until("synced")
    told = watching.received
    assert watching.events() == ["customer_added", "inventory_change", "alarm_change", "telemetry", "synced"]
    assert told[0].customer_added.customer == f"customers/{NORTH}", "its customer is named with it"
    change = told[1].inventory_change
    assert (list(change.locations), [each.name for each in change.devices]) == ([], [f"customers/{NORTH}/devices/pdu"])
    assert [each.name for each in change.sensors] == [f"customers/{NORTH}/devices/pdu/sensors/load"]
    assert watching.values() == [2.0]

    renamed = InventoryChange(NOW, (), (device(name="new"), device("pdu", name="new")), (sensor(id="other"),))
    await feed.tell(NORTH, renamed)
    await feed.tell(NORTH, InventoryChange(NOW, (), (device(name="newer"),)))
    await feed.publish(NORTH, 4.0, of="ups", alarms=[power(id="other")])
    await feed.publish(NORTH, 5.0, of="pdu")
    live = [await watching.next() for _ in range(3)]
    assert [each.WhichOneof("event") for each in live] == ["inventory_change", "inventory_change", "telemetry"]
    change = live[0].inventory_change
    assert ([each.display_name for each in change.devices], list(change.sensors)) == (["new"], [])
    assert change.HasField("time")
    assert watching.values() == [2.0, 5.0]


async def test_a_watch_over_devices_ends_with_their_customer(feed: WatchedFeed) -> None:
    watching = feed.watch(devices=[f"customers/{NORTH}/devices/ups"])
    await watching.until("synced")
    feed.gate.revoke(NORTH)
    await watching.until("customer_removed")
    with pytest.raises(Exception, match="consent"):
        await watching.next()


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a device of a customer that is not named": (
        {"customers": ["customers/north"], "devices": ["customers/south/devices/ups"]},
        "CUSTOMER_NOT_NAMED",
    ),
    "too many devices": ({"devices": [f"customers/north/devices/d{n}" for n in range(1001)]}, "TOO_MANY"),
    "a delivery that is none": ({"delivery": 99}, "DELIVERY_INVALID"),
    "a sample without an interval": ({"delivery": Request.DELIVERY_SAMPLE}, "SAMPLE_INTERVAL_INVALID"),
    "an interval that is too short": (
        {"delivery": Request.DELIVERY_SAMPLE, "sample_interval": Duration(nanos=99_999_999)},
        "SAMPLE_INTERVAL_INVALID",
    ),
    "an interval that is too long": (
        {"delivery": Request.DELIVERY_SAMPLE, "sample_interval": Duration(seconds=3601)},
        "SAMPLE_INTERVAL_INVALID",
    ),
    "an interval with another delivery": (
        {"delivery": Request.DELIVERY_LATEST, "sample_interval": Duration(seconds=1)},
        "SAMPLE_INTERVAL_INVALID",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_a_question_that_makes_no_sense_is_refused(feed: WatchedFeed, case: str) -> None:
    fields, reason = REFUSED[case]
    with pytest.raises(InvalidArgument) as caught:
        await feed.watch(**fields).next()
    assert caught.value.reason == reason


async def test_a_cursor_is_of_its_devices(feed: WatchedFeed) -> None:
    cursor = (await feed.watch(devices=["customers/north/devices/ups"]).until("synced")).cursor
    assert (await feed.pull(cursor, devices=["customers/north/devices/ups"])).events() == ["synced"]
    with pytest.raises(InvalidArgument, match="devices"):
        await feed.pull(cursor, customers=["customers/north"])
