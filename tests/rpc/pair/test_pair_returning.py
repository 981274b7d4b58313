"""The pair: readers that go away and come back, to a service that was restarted, with other keys, in other deliveries."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask

from consentry.authority.v1 import data_class_pb2, keys_pb2
from consentry.devices.v1 import feed_pb2, gap_pb2
from consentry_core.rpc.client.channels import bearer, open_channel
from consentry_core.rpc.errors import error_info
from consentry_devices.app import DevicesSettings
from consentry_devices.app import start as start_devices
from support.pair import Pair, Reader, alarm, running_pair

NORTH, SOUTH = "customers/north", "customers/south"
W = feed_pb2.WatchRequest
ENTERS = ["customer_added", "inventory_change", "telemetry"]


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    """The pair, with partner acme and its valid customers north and south."""
    async with running_pair(tmp_path) as running:
        await running.authority.partner("acme")
        await running.authority.valid_customer("north", "acme")
        await running.authority.valid_customer("south", "acme")
        yield running


async def pull(pair: Pair, secret: str, **fields: Any) -> Reader:
    """Everything until now."""
    async with pair.watch(secret, stop_when_synced=True, **fields) as reader:
        await reader.until("synced")
    return reader


async def test_a_cursor_outlives_the_service_and_what_it_removed_is_a_gap(pair: Pair) -> None:
    key = await pair.authority.key("acme")
    north, south = await pair.gateway("north"), await pair.gateway("south")
    cursor = (await pull(pair, key.secret)).cursor
    await north.publish(load=[1.0])
    await north.publish(load=[2.0])
    await south.publish(load=[3.0])
    await pair.devices.stop()
    settings = DevicesSettings(
        listen="127.0.0.1:0",
        authority=pair.authority.address,
        token_file=pair.folder / "authority" / "devices.token",
        data_dir=pair.folder / "devices",
    )
    devices = await start_devices(settings)
    try:
        async with open_channel(devices.address) as channel:
            again = Pair(pair.authority, devices, channel, pair.folder)
            assert await devices.store.log.remove_oldest(taken_before=None, max_entries=2, max_bytes=10**6) == 2
            back = await pull(again, key.secret, after_cursor=cursor)
            gap = back.received[0].gap
            assert (gap.customer, gap.cause, list(gap.data_classes)) == (NORTH, gap_pb2.Gap.CAUSE_NOT_KEPT, [1, 2])
            assert back.values() == [2.0, 3.0]
            assert back.events() == ["gap", "telemetry", "inventory_change", "telemetry", "synced"]
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await pull(again, key.secret, after_cursor=cursor, strict=True)
            assert caught.value.code() is grpc.StatusCode.OUT_OF_RANGE
            assert error_info(caught.value).reason == "RESYNC_REQUIRED"
    finally:
        await devices.stop()


async def test_a_list_that_changes_is_told_to_who_stays_and_to_who_comes_back(pair: Pair) -> None:
    key = await pair.authority.key("acme", keys_pb2.Key.KIND_SPECIFIC_CUSTOMERS, ["north"])
    admin = bearer(await pair.authority.admin("partners/acme"))
    for gateway in (await pair.gateway("north"), await pair.gateway("south")):
        await gateway.publish(load=[1.0])
    async with pair.watch(key.secret) as stays:
        cursor = (await stays.until("synced")).cursor

        async def list_customers(*customers: str) -> None:
            changed = keys_pb2.Key(name=key.name, customers=customers)
            request = keys_pb2.UpdateKeyRequest(key=changed, update_mask=FieldMask(paths=["customers"]))
            await pair.authority.keys.UpdateKey(request, metadata=admin)

        await list_customers(NORTH, SOUTH)
        await stays.until("customer_added", customer=SOUTH)
        back = await pull(pair, key.secret, after_cursor=cursor)
        assert back.events() == [*ENTERS, "synced"]
        await list_customers(NORTH)
        await stays.until("customer_removed", customer=SOUTH)
        away = await pull(pair, key.secret, after_cursor=back.cursor)
        assert away.events() == ["customer_removed", "synced"]
        assert (await pull(pair, key.secret, after_cursor=away.cursor)).events() == ["synced"]


async def test_with_another_key_whoever_both_cover_goes_on(
    pair: Pair,
) -> None:
    """Also when the stream is cut off in the middle of it, and resumed with the first key."""
    every = await pair.authority.key("acme")
    only_north = await pair.authority.key("acme", keys_pb2.Key.KIND_SPECIFIC_CUSTOMERS, ["north"])
    north, south = await pair.gateway("north"), await pair.gateway("south")
    for gateway in (north, south):
        await gateway.publish(load=[1.0])
    cursor = (await pull(pair, every.secret)).cursor
    await north.publish(load=[2.0])
    await south.publish(load=[3.0])
    narrower = await pull(pair, only_north.secret, after_cursor=cursor)
    assert sorted(narrower.events()) == ["customer_removed", "synced", "telemetry"]
    assert (narrower.values(), narrower.received[0].customer_removed.customer) == ([2.0], SOUTH)

    async with pair.watch(every.secret, after_cursor=narrower.cursor) as wider:
        await wider.until("customer_added")
        assert wider.events() == ["customer_added"], "north goes on"
        inside = wider.cursor
        await wider.until("synced")
    assert wider.events() == ["customer_added", "gap", "inventory_change", "telemetry", "synced"]
    assert {response.gap.customer for response in wider.received if response.HasField("gap")} == {SOUTH}
    back = await pull(pair, only_north.secret, after_cursor=inside)
    assert (back.events(), back.received[0].customer_removed.customer) == (["customer_removed", "synced"], SOUTH)


async def test_a_class_that_was_closed_while_the_reader_was_away_has_a_gap_when_it_is_open_again(pair: Pair) -> None:
    key = await pair.authority.key("acme")
    north = await pair.gateway("north")
    await north.publish(load=[1.0])
    await north.publish(load=[2.0])
    cursor = (await pull(pair, key.secret)).cursor
    classes = (data_class_pb2.DATA_CLASS_INVENTORY, data_class_pb2.DATA_CLASS_ALARMS)
    await pair.authority.consent("north", "acme", data_classes=classes)
    async with pair.watch(key.secret, after_cursor=cursor) as back:
        await back.until("synced")
        await north.publish(load=[3.0])
        await north.publish(load=[4.0])
        await pair.authority.consent("north", "acme")
        gap = (await back.until("gap")).gap
        assert (gap.customer, gap.cause, list(gap.data_classes)) == (NORTH, gap_pb2.Gap.CAUSE_NOT_COVERED, [2])
        assert gap.start_time.ToNanoseconds() < gap.end_time.ToNanoseconds()
        await back.until("telemetry")
        assert back.values() == [4.0]


async def test_the_newest_readings_of_the_devices_that_are_named(pair: Pair) -> None:
    key = await pair.authority.key("acme")
    north = await pair.gateway("north")
    device = f"{NORTH}/devices/pdu"
    await north.publish(load=[1.0], device="ups")
    await north.publish(load=[2.0, 3.0], device="pdu")
    live: dict[str, Any] = {"live": W.Live(), "devices": [device]}
    async with (
        pair.watch(key.secret, delivery=W.DELIVERY_LATEST, **live) as latest,
        pair.watch(key.secret, delivery=W.DELIVERY_SAMPLE, sample_interval=Duration(nanos=200_000_000), **live) as sample,
    ):
        for reader in (latest, sample):
            await reader.until("synced")
        total = 0
        for number in range(30):
            await north.publish(load=[4.0 + number, 4.5 + number], device="pdu")
            await north.publish(load=[0.0], device="ups", alarms=[alarm("north", device="pdu")] if number == 20 else [])
            total += 2
        for reader in (latest, sample):
            while not reader.values() or reader.values()[-1] != 33.5:
                await reader.next()
            folded = sum(response.telemetry.folded_count for response in reader.received)
            assert len(reader.values()) + folded == total
            assert reader.values() == sorted(reader.values())
            assert reader.events().count("alarm_change") == 1
        assert len(sample.values()) < total
    rest = await pull(pair, key.secret, after_cursor=sample.cursor, devices=[device])
    assert rest.values() == []
