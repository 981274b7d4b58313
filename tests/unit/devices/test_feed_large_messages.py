"""Whatever is stored, no message of the feed is too large: what is, is told in pieces, and a cursor may stand between two."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from consentry.devices.v1 import feed_pb2, inventory_pb2
from consentry_core.values import names
from consentry_devices.blocks import columns
from consentry_devices.domain.frames import TelemetryBlock
from consentry_devices.domain.inventory import Device, InventoryChange, Sensor
from consentry_devices.rpc.converters import WireEncoder, to_inventory_change
from consentry_devices.rpc.inventory_part import PIECE_BYTES, pieces
from consentry_rule import CustomerId, Instant
from support.device_frames import NORTH, NOW, frame, stream
from support.watched_feed import LIVE, Request, WatchedFeed, Watching, watched_feed

_LONG = "ö" * 200
DEVICES = [Device(f"d{number:04}", _LONG, 1, _LONG, _LONG, "", "") for number in range(1_500)]
SENSORS = [Sensor("d0000", f"s{number:05}", _LONG, "temperature", "C") for number in range(1_000)]
LARGE = InventoryChange(NOW, (), tuple(DEVICES), tuple(SENSORS))


@pytest.fixture
async def feed(tmp_path: Path) -> AsyncIterator[WatchedFeed]:
    async with watched_feed(tmp_path) as opened:
        yield opened


@pytest.fixture
def stored_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it was done before there was a limit."""
    monkeypatch.setattr(
        WireEncoder,
        "inventory_changes",
        lambda _, customer, change: [to_inventory_change(customer, change).SerializeToString()],
    )


def _told(responses: Sequence[feed_pb2.WatchResponse]) -> list[str]:
    changes = [response.inventory_change for response in responses if response.HasField("inventory_change")]
    return [thing.name for change in changes for things in (change.devices, change.sensors) for thing in things]


def _largest(responses: Sequence[feed_pb2.WatchResponse]) -> int:
    return max(response.ByteSize() for response in responses)


_ALL = [names.DEVICE.format(NORTH, each.id) for each in DEVICES] + [
    names.SENSOR.format(NORTH, each.device, each.id) for each in SENSORS
]


async def _live(feed: WatchedFeed, **fields: Any) -> Watching:
    watching = feed.watch(live=LIVE, **fields)
    await watching.until("synced")
    return watching


async def test_a_large_frame_of_inventory_reaches_who_follows(feed: WatchedFeed) -> None:
    watching = await _live(feed)
    await feed.tell(NORTH, LARGE)
    while len(_told(watching.received)) < len(_ALL):
        await watching.next()
    assert _told(watching.received) == _ALL
    assert _largest(watching.received) < 2 * PIECE_BYTES


@pytest.mark.usefixtures("stored_whole")
@pytest.mark.parametrize("delivery", [Request.DELIVERY_LOSSLESS, Request.DELIVERY_LATEST])
async def test_a_large_change_of_before_is_told_in_pieces_and_a_cursor_stands_between_them(
    feed: WatchedFeed, delivery: Request.Delivery.ValueType
) -> None:
    """Whoever comes back after any of them is told the rest: nothing is lost, nothing comes twice."""
    begin = (await _live(feed)).cursor
    await feed.publish(CustomerId("south"), 1.0)
    await feed.tell(NORTH, LARGE)
    await feed.publish(NORTH, 2.0)
    whole = await feed.pull(begin, delivery=delivery)
    assert [name for name in _told(whole.received) if name in set(_ALL)] == _ALL
    assert _largest(whole.received) < 2 * PIECE_BYTES
    assert len([each for each in whole.events() if each == "inventory_change"]) > 4
    for count, response in enumerate(whole.received[:-1], 1):
        rest = await feed.pull(response.cursor, delivery=delivery)
        assert _told(whole.received[:count] + rest.received) == _told(whole.received), count
        assert sorted(_values(whole.received[:count] + rest.received)) == sorted(whole.values())


def _values(responses: Sequence[feed_pb2.WatchResponse]) -> list[float]:
    return [value for response in responses for device in response.telemetry.devices for value in device.block.values]


@pytest.mark.usefixtures("stored_whole")
async def test_a_large_change_is_told_of_some_devices(feed: WatchedFeed) -> None:
    device = names.DEVICE.format(NORTH, "d0000")
    begin = (await _live(feed, devices=[device])).cursor
    await feed.tell(NORTH, LARGE)
    whole = await feed.pull(begin, devices=[device])
    assert _told(whole.received) == [device, *_ALL[len(DEVICES) :]]
    for count, response in enumerate(whole.received[:-1], 1):
        rest = await feed.pull(response.cursor, devices=[device])
        assert _told(whole.received[:count] + rest.received) == _told(whole.received)


async def test_a_device_of_very_many_values_is_told_in_pieces_by_who_folds(feed: WatchedFeed) -> None:
    """A cursor stands between them too, and every reading is told or counted once."""
    texts = "ö" * 400
    await feed.tell(NORTH, LARGE)
    request: Any = {"delivery": Request.DELIVERY_LATEST}
    begin = (await _live(feed, **request)).cursor
    readings = [(sensor.id, Instant(NOW + turn), f"{turn}{texts}") for turn in range(2) for sensor in SENSORS]
    await _publish(feed, "d0000", readings)
    whole = await feed.pull(begin, **request)
    assert _largest(whole.received) < 2 * PIECE_BYTES
    told = _texts(whole.received)
    assert len(told) == len(set(told)) == len(SENSORS)
    assert whole.folded() == len(SENSORS)
    parts = [response for response in whole.received if response.HasField("telemetry")]
    assert len(parts) > 4
    for count, response in enumerate(whole.received[:-1], 1):
        rest = await feed.pull(response.cursor, **request)
        assert sorted(_texts(whole.received[:count] + rest.received)) == sorted(told), count
        folded = sum(each.telemetry.folded_count for each in whole.received[:count])
        assert folded + rest.folded() == len(SENSORS), count


def _texts(responses: Sequence[feed_pb2.WatchResponse]) -> list[tuple[str, str]]:
    blocks = [device.block for response in responses for device in response.telemetry.devices]
    return [(block.sensors[text.sensor_index], text.text) for block in blocks for text in block.texts]


async def _publish(feed: WatchedFeed, device: str, readings: Sequence[tuple[str, Instant, float | str]]) -> None:
    table = columns.of_rows(readings)
    payload = columns.encode(names.DEVICE.format(NORTH, device), table, historical=False)
    newest = tuple((sensor, time, value) for sensor, (time, value) in columns.newest(table).items())
    block = TelemetryBlock(device, table.sensors, payload, *table.span(), newest, len(table))
    await (await feed.log.submit(stream(NORTH), frame(2, block, inventory=InventoryChange(NOW))))


def test_pieces_say_together_what_the_change_says() -> None:
    """First what is new, then the sensors that go, and last what they were of."""
    change = to_inventory_change(
        NORTH,
        InventoryChange(
            NOW, (), tuple(DEVICES[:400]), (), ("l1",), ("d1", "d2"), tuple(("d1", f"s{number:05}") for number in range(9_000))
        ),
    )
    parsed = [inventory_pb2.InventoryChange.FromString(piece) for piece, _ in pieces(change.SerializeToString())]
    assert len(parsed) > 3
    assert all(piece.time == change.time for piece in parsed)
    joined = inventory_pb2.InventoryChange()
    for piece in parsed:
        joined.MergeFrom(piece)
    assert joined == change
    assert not any(piece.deleted_devices or piece.deleted_locations for piece in parsed[:-1])


def test_a_device_with_more_gateways_than_a_message_holds_is_told_with_some() -> None:
    device = Device("d", "", 1, "", "", "", "", tuple(f"gateway-{number:060}" for number in range(20_000)))
    whole = inventory_pb2.InventoryChange(devices=[inventory_pb2.Device(name="d", gateways=device.gateways)])
    assert whole.ByteSize() > 2**20
    assert all(len(piece) < 2 * PIECE_BYTES for piece, _ in pieces(whole.SerializeToString()))
