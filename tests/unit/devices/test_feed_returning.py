"""What a reader that comes back is told of what happened meanwhile to its coverage, and of what retention took."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from consentry.devices.v1 import feed_pb2, gap_pb2
from consentry_core.protocol.marks import MarkedKey
from consentry_core.values import names
from consentry_core.values.errors import InvalidArgument, OutOfRange, PermissionDenied
from consentry_devices.domain.alarms import Alarm
from consentry_devices.domain.inventory import Device, Sensor
from consentry_devices.domain.state import Reading
from consentry_devices.feed.filter import Filter
from consentry_devices.feed.reader import Missing, Reader
from consentry_devices.log.entries import Entry, Kind, Removal
from consentry_devices.rpc.watch.snapshot import Snapshot
from consentry_rule import ALL_DATA_CLASSES, CustomerId, DataClass, Instant, KeyKind
from support.device_frames import NORTH, NOW, SECOND, SOUTH
from support.devices import ACME, RuleCall
from support.watched_feed import LIVE, Request, WatchedFeed, Watching, change_consent, consent_to, watched_feed

EAST = CustomerId("east")
LIST = "the-listed-key"
TELEMETRY, ALARMS, INVENTORY = DataClass.TELEMETRY, DataClass.ALARMS, DataClass.INVENTORY
AGAIN = ["customer_added", "gap", "inventory_change", "telemetry"]


@pytest.fixture
async def feed(tmp_path: Path) -> AsyncIterator[WatchedFeed]:
    async with watched_feed(tmp_path) as opened:
        for customer in (NORTH, SOUTH):
            await opened.publish(customer, 1.0)
        yield opened


async def synced(feed: WatchedFeed, key: str = "the-key") -> str:
    """The cursor of a reader that has been told everything."""
    return (await feed.watch(key=key).until("synced")).cursor


def of(watching: Watching, event: str) -> list[str]:
    """The customers of the events of a kind."""
    return [getattr(each, event).customer.removeprefix("customers/") for each in watching.received if each.HasField(event)]  # type: ignore[arg-type]


# Keys over a list


async def test_a_customer_that_was_put_on_the_list_enters_with_its_state(feed: WatchedFeed) -> None:
    feed.gate.list_customers(NORTH)
    cursor = await synced(feed, LIST)
    feed.gate.list_customers(NORTH, SOUTH)
    back = await feed.pull(cursor, key=LIST)
    assert back.events() == ["customer_added", "inventory_change", "telemetry", "synced"]
    assert of(back, "customer_added") == [SOUTH]
    assert (await feed.pull(back.cursor, key=LIST)).events() == ["synced"]


async def test_a_customer_that_was_taken_off_the_list_is_removed(feed: WatchedFeed) -> None:
    feed.gate.list_customers(NORTH, SOUTH)
    cursor = await synced(feed, LIST)
    feed.gate.list_customers(NORTH)
    back = await feed.pull(cursor, key=LIST)
    assert back.events() == ["customer_removed", "synced"]
    assert back.received[0].customer_removed.reason == "NOT_ON_KEY"
    assert (await feed.pull(back.cursor, key=LIST)).events() == ["synced"]
    feed.gate.list_customers(NORTH, SOUTH)
    assert (await feed.pull(back.cursor, key=LIST)).events() == [*AGAIN, "synced"]
    assert (await feed.pull(cursor, key=LIST)).events() == ["customer_removed", *AGAIN, "synced"]


async def test_a_customer_that_was_never_on_the_list_is_not_removed(feed: WatchedFeed) -> None:
    feed.gate.list_customers(NORTH)
    cursor = await synced(feed, LIST)
    feed.gate.revoke(SOUTH)
    assert (await feed.pull(cursor, key=LIST)).events() == ["synced"]
    feed.gate.number += 1
    feed.gate.epoch = "e2"
    assert of(await feed.pull(cursor, key=LIST), "customer_removed") == [NORTH]


async def test_a_rehearsed_withdrawal_is_told_like_any(feed: WatchedFeed) -> None:
    feed.gate.rehearse(False)
    cursor = await synced(feed, "the-demo-key")
    feed.gate.rehearse(True)
    back = await feed.pull(cursor, key="the-demo-key")
    assert back.events() == ["customer_removed", "synced"]
    feed.gate.rehearse(False)
    assert (await feed.pull(back.cursor, key="the-demo-key")).events() == ["customer_added", "gap", "synced"]


# Other keys


async def test_with_another_key_over_the_same_customers_all_go_on_in_silence(feed: WatchedFeed) -> None:
    cursor = await synced(feed)
    feed.gate.credentials["a-new-key"] = MarkedKey(KeyKind.ALL_CUSTOMERS, ACME)
    await feed.publish(NORTH, 2.0)
    back = await feed.pull(cursor, key="a-new-key")
    assert (back.events(), back.values()) == (["telemetry", "synced"], [2.0])
    feed.gate.list_customers(NORTH, SOUTH)
    assert (await feed.pull(cursor, key=LIST)).events() == ["telemetry", "synced"]


async def test_with_another_key_what_changed_about_consents_is_told_as_with_the_same(feed: WatchedFeed) -> None:
    cursor = await synced(feed)
    feed.gate.credentials["a-new-key"] = MarkedKey(KeyKind.ALL_CUSTOMERS, ACME)
    feed.gate.revoke(SOUTH)
    feed.gate.consent(EAST)
    back = await feed.pull(cursor, key="a-new-key")
    assert (of(back, "customer_removed"), of(back, "customer_added"), back.gaps()) == ([SOUTH], [EAST], [])


async def test_with_another_key_over_other_customers_whoever_both_cover_goes_on(feed: WatchedFeed) -> None:
    cursor = await synced(feed)
    feed.gate.list_customers(NORTH)
    await feed.publish(NORTH, 2.0, start=NOW + SECOND)
    back = await feed.pull(cursor, key=LIST)
    assert sorted(filter(None, back.events())) == ["customer_removed", "synced", "telemetry"]
    assert (of(back, "customer_removed"), back.values()) == ([SOUTH], [2.0])
    assert (await feed.pull(back.cursor, key=LIST)).events() == ["synced"]
    more = await feed.pull(back.cursor)
    assert more.events() == [*AGAIN, "synced"]
    assert of(more, "customer_added") == of(more, "gap") == [SOUTH]


async def test_cut_off_while_another_keys_customers_are_told_and_back_with_the_first_key(feed: WatchedFeed) -> None:
    """Whoever has entered meanwhile leaves; whoever has not is not mentioned."""
    feed.gate.consent(EAST)
    feed.gate.list_customers(NORTH)
    cursor = await synced(feed, LIST)
    watching = feed.watch(after_cursor=cursor)
    await watching.until("customer_added")
    assert of(watching, "customer_added") == [EAST]
    for response in (watching.received[-1], await watching.until("customer_added"), await watching.until("telemetry")):
        entered = set(of(watching, "customer_added")) if response is not watching.received[0] else {EAST}
        back = await feed.pull(response.cursor, key=LIST)
        assert back.events() == ["customer_removed"] * len(entered) + ["synced"]
        assert set(of(back, "customer_removed")) == entered
        whole = await feed.pull(response.cursor)
        assert of(whole, "customer_added") == [EAST, SOUTH], "told anew, whole"
        assert whole.values() == [1.0]
    feed.gate.rehearse(False)
    with pytest.raises(InvalidArgument):
        await feed.pull(cursor, key="the-demo-key")


async def test_of_too_many_to_be_named_nobody_is_taken_to_have_stayed(
    feed: WatchedFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With another list; a key without one, and the same key, tell it by the numbers."""
    for module in ("cursor", "reader"):
        monkeypatch.setattr(f"consentry_devices.feed.{module}.MOST_NAMED", 1)
    cursor = await synced(feed)
    feed.gate.list_customers(NORTH)
    back = await feed.pull(cursor, key=LIST)
    assert (back.events(), of(back, "customer_removed")) == (["customer_removed", "synced"], [SOUTH])
    feed.gate.list_customers(NORTH, SOUTH)
    listed = await synced(feed, LIST)
    assert (await feed.pull(listed, key=LIST)).events() == ["synced"]
    assert (await feed.pull(listed)).events() == ["synced"], "over the same customers"
    feed.gate.consent(EAST)
    watching = feed.watch(after_cursor=listed)
    await watching.until("customer_added")
    cut = await feed.pull(watching.cursor, key=LIST)
    assert set(of(cut, "customer_removed")) >= {EAST}


# What is open again, under a stream that was resumed


def range_of(gap: gap_pb2.Gap) -> tuple[int, int]:
    assert gap.cause == gap_pb2.Gap.CAUSE_NOT_COVERED
    return gap.start_time.ToNanoseconds(), gap.end_time.ToNanoseconds()


@pytest.mark.parametrize("start", [{}, {"live": LIVE}], ids=["snapshot", "live"])
@pytest.mark.parametrize("seen", [True, False], ids=["closed before the cursor", "closed after it"])
@pytest.mark.parametrize("how", ["narrowed", "withdrawn", "lapsed", "unlisted"])
async def test_what_is_open_again_under_a_resumed_stream_has_a_gap(
    feed: WatchedFeed, how: str, seen: bool, start: dict[str, Any]
) -> None:
    """However it was closed, and whether that was told before the reader went away or when it came back."""

    def close() -> None:
        if how == "narrowed":
            consent_to(feed.gate, NORTH, INVENTORY, ALARMS)
        elif how == "withdrawn":
            feed.gate.revoke(NORTH)
        elif how == "lapsed":
            change_consent(feed.gate, NORTH, expire_time=Instant(feed.clock.now() + SECOND))
            feed.clock.advance(2)
            feed.gate.look({NORTH})
        else:
            feed.gate.list_customers(SOUTH)

    def open_again() -> None:
        if how == "narrowed":
            consent_to(feed.gate, NORTH)
        elif how == "unlisted":
            feed.gate.list_customers(NORTH, SOUTH)
        else:
            feed.gate.consent(NORTH)

    feed.gate.list_customers(NORTH, SOUTH)
    watching = feed.watch(key=LIST, **start)
    await watching.until("synced")
    told_up_to = feed.clock.now()
    feed.clock.advance(10)
    if seen:
        close()
        await watching.until("customer_added" if how == "narrowed" else "customer_removed")
    cursor = watching.cursor
    await watching.end()
    if not seen:
        close()
    await feed.publish(NORTH, 2.0, start=feed.clock.now())
    back = feed.watch(key=LIST, after_cursor=cursor)
    await back.until("synced")
    feed.clock.advance(10)
    open_again()
    await back.until("gap")
    assert back.events()[-2:] == ["customer_added", "gap"]
    begins, ends = range_of(back.gaps()[-1])
    assert ends == feed.clock.now() + 1
    assert begins == (0 if seen and how != "narrowed" else told_up_to), "0: nobody remembers"
    assert (list(back.gaps()[-1].data_classes) == [2]) == (how == "narrowed")


async def test_a_class_that_is_left_out_when_the_customer_comes_back_has_its_gap_when_it_comes(feed: WatchedFeed) -> None:
    """In one and the same stream, too."""
    watching = feed.watch()
    await watching.until("synced")
    feed.gate.revoke(NORTH)
    await watching.until("customer_removed")
    feed.gate.consent(NORTH, INVENTORY)
    await watching.until("gap")
    feed.gate.consent(NORTH)
    gap = (await watching.until("gap")).gap
    assert set(gap.data_classes) == {2, 3}


async def test_an_end_that_nobody_has_been_told_of_is_still_told_to_who_comes_back(feed: WatchedFeed) -> None:
    """The news of another customer comes between the end and the look at it."""
    change_consent(feed.gate, NORTH, expire_time=Instant(feed.clock.now() + SECOND))
    watching = feed.watch()
    await watching.until("synced")
    feed.clock.advance(2)
    feed.gate.consent(EAST)
    await watching.until("customer_added")
    await feed.publish(SOUTH, 2.0, start=NOW + SECOND)
    await watching.until("telemetry")
    back = await feed.pull(watching.cursor)
    assert of(back, "customer_removed") == [NORTH]


# Coverage is data too


async def test_who_is_withdrawn_before_it_is_told_that_it_enters_is_not_told_to_enter(feed: WatchedFeed) -> None:
    watching = feed.watch()
    await watching.until("customer_added")  # south is decided, and waits
    feed.gate.revoke(SOUTH)
    await watching.until("synced")
    assert (of(watching, "customer_added"), of(watching, "customer_removed")) == ([NORTH], [])
    feed.gate.consent(SOUTH)
    await watching.until("telemetry")
    assert of(watching, "customer_added") == [NORTH, SOUTH]
    assert watching.values(SOUTH) == [1.0]


async def test_a_named_customer_that_was_withdrawn_before_it_was_told_ends_the_stream(feed: WatchedFeed) -> None:
    watching = feed.watch(customers=[f"customers/{NORTH}", f"customers/{SOUTH}"])
    await watching.until("customer_added")
    for customer in (SOUTH, NORTH):
        feed.gate.revoke(customer)
    with pytest.raises(PermissionDenied):
        await watching.until("synced")
    assert (of(watching, "customer_added"), set(of(watching, "customer_removed"))) == ([NORTH], {NORTH, SOUTH})


async def test_classes_that_were_closed_before_they_were_told_are_not_told_to_be_open(feed: WatchedFeed) -> None:
    watching = feed.watch()
    await watching.until("customer_added")
    consent_to(feed.gate, SOUTH, INVENTORY)
    await watching.until("synced")
    added = [each.customer_added for each in watching.received if each.customer_added.customer == f"customers/{SOUTH}"]
    assert [list(each.data_classes) for each in added] == [[1]]


async def test_what_is_missing_of_who_has_left_meanwhile_is_not_told(feed: WatchedFeed) -> None:
    cursor = await synced(feed)
    for customer in (NORTH, SOUTH):
        await feed.publish(customer, 2.0)
    await feed.remove(6)
    feed.restart()
    watching = feed.watch(after_cursor=cursor)
    await watching.until("gap")
    assert of(watching, "gap") == [NORTH]
    feed.gate.revoke(SOUTH)
    await watching.until("synced")
    assert of(watching, "gap") == [NORTH]


# Another history


async def test_after_a_restore_of_the_authority_every_member_is_removed_and_added(feed: WatchedFeed) -> None:
    feed.gate.consent(EAST)
    cursor = await synced(feed)
    feed.gate.revoke(EAST)
    feed.gate.epoch = "e2"
    back = await feed.pull(cursor)
    assert of(back, "customer_removed") == [EAST, NORTH, SOUTH]
    assert of(back, "customer_added") == of(back, "gap") == [NORTH, SOUTH]
    assert {each.cause for each in back.gaps()} == {gap_pb2.Gap.CAUSE_NOT_COVERED}
    assert (await feed.pull(back.cursor)).events() == ["synced"]


# The start


async def test_a_cursor_inside_a_snapshot_begins_it_again_and_says_who_has_left(feed: WatchedFeed) -> None:
    watching = feed.watch()
    await watching.until("telemetry")
    inside = watching.received
    assert inside[-1].telemetry.devices[0].device.startswith("customers/north/")
    feed.gate.revoke(NORTH)
    await feed.publish(SOUTH, 2.0, start=NOW + SECOND)
    for response in inside:
        back = await feed.pull(response.cursor)
        assert (of(back, "customer_removed"), of(back, "customer_added")) == ([NORTH], [SOUTH])
        assert back.values() == [2.0]
    feed.gate.consent(NORTH)
    back = await feed.pull(inside[-1].cursor)
    assert back.events() == ["customer_removed", *AGAIN, "customer_added", "inventory_change", "telemetry", "synced"]


async def test_every_cursor_around_a_snapshot_leads_to_everything(feed: WatchedFeed) -> None:
    """Whatever one stops after: the newest of each sensor, then all that came later, each once."""
    watching = feed.watch()
    await watching.until("customer_added")
    await feed.publish(NORTH, 2.0, start=NOW + SECOND)
    await feed.publish(SOUTH, 20.0, start=NOW + SECOND)
    await watching.until("synced")
    await feed.publish(NORTH, 3.0, start=NOW + 2 * SECOND)
    await watching.until("telemetry")
    for response in watching.received:
        settled = response.HasField("synced") or response is watching.received[-1]
        back = await feed.pull(response.cursor)
        if not settled:
            assert sorted(back.values()) == [3.0, 20.0]
        else:
            assert back.values() == ([3.0] if response.HasField("synced") else [])


# Retention


def gap_of(gap: gap_pb2.Gap) -> tuple[str, list[int], int, int]:
    assert gap.cause == gap_pb2.Gap.CAUSE_NOT_KEPT
    return gap.customer, list(gap.data_classes), gap.start_time.ToNanoseconds(), gap.end_time.ToNanoseconds()


async def test_what_retention_took_before_a_reader_came_back_is_a_gap(feed: WatchedFeed) -> None:
    cursor = await synced(feed)
    feed.clock.advance(60)
    for value in (2.0, 3.0, 4.0):
        await feed.publish(NORTH, value, start=NOW + int(value) * SECOND, alarms=[Alarm(f"a{value}", "ups", "", "", 7, NOW)])
    await feed.remove(4 + 3)  # all until the second alarm
    feed.restart()
    back = await feed.pull(cursor)
    assert back.events() == ["gap", "telemetry", "alarm_change", "telemetry", "synced"]
    assert back.values() == [3.0, 4.0]
    (gap,) = back.gaps()
    customer, classes, start, end = gap_of(gap)
    assert (customer, classes) == ("customers/north", [2, 3])
    assert end == NOW + 2 * SECOND + 1
    assert start < end
    assert (await feed.pull(back.received[0].cursor)).events()[-2:] == ["telemetry", "synced"]
    assert (await feed.pull(back.cursor)).events() == ["synced"]


async def test_who_misses_nothing_of_what_is_gone_is_told_of_no_gap(feed: WatchedFeed) -> None:
    """South's were removed up to where the reader was, and north's after it."""
    cursor = await synced(feed)
    await feed.publish(NORTH, 2.0)
    await feed.remove(5)
    feed.restart()
    assert of(await feed.pull(cursor), "gap") == [NORTH]
    await feed.publish(SOUTH, 3.0)
    everything = await synced(feed)
    await feed.remove(1)
    assert (await feed.pull(everything)).events() == ["synced"]


async def test_strict_refuses_a_cursor_of_which_something_is_gone(feed: WatchedFeed) -> None:
    cursor = await synced(feed)
    await feed.publish(NORTH, 2.0)
    await feed.publish(NORTH, 3.0)
    assert (await feed.pull(cursor, strict=True)).values() == [2.0, 3.0]
    await feed.remove(5)
    feed.restart()
    with pytest.raises(OutOfRange) as caught:
        await feed.pull(cursor, strict=True)
    assert caught.value.reason == "RESYNC_REQUIRED"
    assert (await feed.pull(cursor)).values() == [3.0]


async def test_everything_may_be_gone(feed: WatchedFeed) -> None:
    cursor = await synced(feed)
    await feed.publish(NORTH, 2.0)
    await feed.remove(5)
    feed.restart()
    back = await feed.pull(cursor)
    assert back.events() == ["gap", "synced"]
    assert (await feed.pull(back.cursor)).events() == ["synced"]


@pytest.mark.parametrize("delivery", [Request.DELIVERY_LOSSLESS, Request.DELIVERY_LATEST])
async def test_a_reader_that_retention_overtakes_is_told_while_it_is_open(
    feed: WatchedFeed, delivery: feed_pb2.WatchRequest.Delivery.ValueType
) -> None:
    """It stands in a write, and the ring no longer has what comes next."""
    cursor = await synced(feed)
    for value in range(2, 5):
        await feed.publish(NORTH, float(value), start=NOW + value * SECOND)
    feed.restart()
    feed.gate.consent(EAST)
    watching = feed.watch(after_cursor=cursor, delivery=delivery)
    await watching.until("customer_added")
    await feed.remove(6)
    await watching.until("synced")
    assert (of(watching, "gap"), watching.values()) == ([NORTH], [4.0])


async def test_a_gap_is_told_for_what_was_open_only(feed: WatchedFeed) -> None:
    """Nothing that was removed is as new as what the consent opens."""
    change_consent(feed.gate, NORTH, data_start_time=Instant(NOW + 100 * SECOND))
    cursor = await synced(feed)
    await feed.publish(NORTH, 2.0)
    await feed.publish(NORTH, 3.0, start=NOW + 200 * SECOND)
    await feed.remove(5)
    feed.restart()
    back = await feed.pull(cursor)
    assert (back.events(), back.values()) == (["telemetry", "synced"], [3.0])


# Without a stream


@pytest.fixture
async def reader(feed: WatchedFeed) -> Reader:
    call = RuleCall(feed.gate, "the-key")
    await call.follow_all()
    reader = Reader(call, "the-key", Filter(), lambda _, payload: payload)
    assert sum(map(len, reader.start(10))) == 2
    return reader


def test_what_is_missing_depends_on_where_the_reader_stands(reader: Reader) -> None:
    removals = {
        NORTH: {TELEMETRY: Removal(20, Instant(NOW)), ALARMS: Removal(25, Instant(NOW + 5))},
        SOUTH: {INVENTORY: Removal(10, Instant(NOW))},
        EAST: {TELEMETRY: Removal(99, Instant(NOW))},
    }
    assert list(filter(None, reader.missing(removals, seq=25, telemetry=15))) == [
        Missing(NORTH, frozenset({TELEMETRY}), Instant(NOW))
    ]
    assert list(filter(None, reader.missing(removals, seq=15, telemetry=15))) == [
        Missing(NORTH, frozenset({ALARMS}), Instant(NOW + 5))
    ]
    assert list(filter(None, reader.missing(removals, seq=10, telemetry=10))) == [], "it has been told"


def test_a_gateways_loss_is_handed_on_unless_it_is_older_than_the_consent_opens(reader: Reader, feed: WatchedFeed) -> None:
    lost = Entry(
        11, NORTH, TELEMETRY, Kind.GAP, None, Instant(NOW), Instant(NOW + SECOND), Instant(NOW), historical=False, payload=b"x"
    )
    assert reader.open_payload(lost) == b"x"
    change_consent(feed.gate, NORTH, data_start_time=Instant(NOW + SECOND))
    assert reader.open_payload(lost) == b"x"
    change_consent(feed.gate, NORTH, data_start_time=Instant(NOW + SECOND + 1))
    assert reader.open_payload(lost) is None
    assert reader.open_payload(replace(lost, customer=EAST)) is None


# Snapshots


def test_a_large_snapshot_is_kept_in_a_file_and_told_in_bounded_pieces(tmp_path: Path) -> None:
    devices = [Device(f"d{n:03}", "D", 1, "", "", "", "") for n in range(300)]
    sensors = [Sensor(each.id, f"s{n}", "S", "ups.load", "%") for each in devices for n in range(50)]
    readings = [Reading(each.device, each.id, Instant(NOW), 1.0) for each in sensors]
    with Snapshot(NORTH, tmp_path) as snapshot:
        for things in (devices, sensors, [], readings):
            for start in range(0, len(things), 500):
                snapshot.take(things[start : start + 500])
        told: dict[DataClass, list[bytes]] = {}
        for data_class in (TELEMETRY, INVENTORY, ALARMS):
            told[data_class] = [piece.event for piece in snapshot.pieces(data_class, lambda: Instant(0))]
        assert list(snapshot.pieces(TELEMETRY, lambda: Instant(NOW + 1))) == []
        assert list(tmp_path.iterdir()) == [], "it has no name"
    assert max(len(event) for events in told.values() for event in events) < 130_000
    changes = [feed_pb2.WatchResponse.FromString(event).inventory_change for event in told[INVENTORY]]
    assert [each.name for change in changes for each in change.devices] == [names.DEVICE.format(NORTH, d.id) for d in devices]
    assert sum(len(change.sensors) for change in changes) == len(sensors)
    telemetry = [feed_pb2.WatchResponse.FromString(event).telemetry for event in told[TELEMETRY]]
    assert sum(len(block.block.values) for message in telemetry for block in message.devices) == len(readings)
    assert told[ALARMS] == []
    assert len(told[TELEMETRY]) > 3


async def test_the_event_loop_goes_on_while_a_snapshot_is_read(feed: WatchedFeed, tmp_path: Path) -> None:
    """It is filled on a thread of the database."""
    with Snapshot(NORTH, tmp_path) as snapshot:
        telling = asyncio.create_task(feed.state.snapshot(NORTH, ALL_DATA_CLASSES, None, snapshot.take))
        await asyncio.sleep(0)
        assert not telling.done()
        assert await telling == feed.log.tail()


async def test_a_live_start_that_was_cut_off_goes_on_without_the_current_state(feed: WatchedFeed) -> None:
    live = feed.watch(live=LIVE)
    cursor = (await live.until("customer_added")).cursor
    back = await feed.pull(cursor)
    assert back.events() == ["customer_added", "customer_added", "synced"]
