"""The pair, end to end: what a partner may read, and how that changes under an open stream."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from consentry.authority.v1 import coverage_pb2, data_class_pb2, directory_pb2, keys_pb2, tokens_pb2
from consentry.devices.v1 import alarms_pb2, feed_pb2, gap_pb2, inventory_pb2, telemetry_pb2
from consentry_core.protocol.times import to_timestamp
from consentry_core.rpc.client.channels import bearer
from consentry_core.rpc.errors import error_info
from consentry_core.values.clock import SECOND
from consentry_rule import Instant
from support.pair import PATIENCE, Pair, Reader, alarm, running_pair

NORTH, SOUTH = "customers/north", "customers/south"


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    """The pair, with partner acme and its valid customers north and south."""
    async with running_pair(tmp_path) as running:
        await running.authority.partner("acme")
        await running.authority.valid_customer("north", "acme")
        await running.authority.valid_customer("south", "acme")
        yield running


async def test_readings_reach_a_reader_and_only_of_covered_customers(pair: Pair) -> None:
    key = await pair.authority.key("acme", keys_pb2.Key.KIND_SPECIFIC_CUSTOMERS, ["north"])
    north, south = await pair.gateway("north"), await pair.gateway("south")
    await north.publish(load=[1.0, 2.0])
    await south.publish(load=[50.0])
    async with pair.watch(key.secret) as reader:
        await reader.until("synced")
        assert reader.values() == [2.0], "a snapshot has the newest reading of each sensor"
        assert reader.events() == ["customer_added", "inventory_change", "telemetry", "synced"]
        await south.publish(load=[51.0])
        await north.publish(load=[3.0])
        await reader.until("telemetry")
        assert reader.values() == [2.0, 3.0]


async def test_a_withdrawal_reaches_an_open_stream_at_once(pair: Pair) -> None:
    """The stream narrows and goes on; nothing of the customer follows; the coverage list and the next call show it too."""
    key = await pair.authority.key("acme")
    north, south = await pair.gateway("north"), await pair.gateway("south")
    async with pair.watch(key.secret) as reader:
        await reader.until("synced")
        await north.publish(load=[1.0])
        await south.publish(load=[50.0])
        while len(reader.values()) < 2:
            await reader.until("telemetry")
        began = time.monotonic()
        await pair.authority.revoke("south", "acme")
        removed = await reader.until("customer_removed")
        assert time.monotonic() - began < 1.0
        assert removed.customer_removed.customer == SOUTH
        assert removed.customer_removed.reason == "CONSENT_REVOKED"
        await south.publish(load=[51.0])
        await north.publish(load=[2.0])
        await reader.until("telemetry")
        assert reader.values("south") == [50.0]
        assert reader.values("north") == [1.0, 2.0]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await pair.telemetry.QueryLatest(telemetry_pb2.QueryLatestRequest(parent=SOUTH), metadata=bearer(key.secret))
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert error_info(caught.value).reason == "CONSENT_REVOKED"


async def test_granted_again_it_enters_again_with_a_gap_between(pair: Pair) -> None:
    """What was measured before the new grant stays closed."""
    key = await pair.authority.key("acme")
    south = await pair.gateway("south")
    await south.publish(load=[1.0])
    async with pair.watch(key.secret, customers=[NORTH, SOUTH]) as reader:
        await reader.until("synced")
        await pair.authority.revoke("south", "acme")
        await reader.until("customer_removed")
        await south.publish(load=[2.0])
        await pair.authority.consent("south", "acme")
        await reader.until("customer_added")
        gap = await reader.next()
        assert (gap.gap.customer, gap.gap.cause) == (SOUTH, gap_pb2.Gap.CAUSE_NOT_COVERED)
        await south.publish(load=[3.0])
        await reader.until("telemetry")
        assert reader.values() == [1.0, 3.0]


async def test_a_new_valid_customer_enters_by_itself(pair: Pair) -> None:
    key = await pair.authority.key("acme")
    async with pair.watch(key.secret) as reader:
        await reader.until("synced")
        await pair.authority.valid_customer("west", "acme")
        west = await pair.gateway("west")
        await west.publish(load=[7.0])
        await reader.until("customer_added", customer="customers/west")
        while not reader.values("west"):
            await reader.next()
        assert reader.values("west") == [7.0]


async def test_a_named_customer_alone_ends_the_stream_with_its_reason(pair: Pair) -> None:
    key = await pair.authority.key("acme")
    async with pair.watch(key.secret, customers=[SOUTH]) as reader:
        await reader.until("synced")
        await pair.authority.revoke("south", "acme")
        error = await reader.error()
    assert error.code() is grpc.StatusCode.PERMISSION_DENIED
    assert error_info(error).reason == "CONSENT_REVOKED"


async def test_naming_customers_that_are_not_covered(pair: Pair) -> None:
    """They are removed at the start; a stranger's customer and one that does not exist look the same."""
    await pair.authority.customer("stranger")
    key = await pair.authority.key("acme")
    async with pair.watch(key.secret, customers=[NORTH, "customers/stranger", "customers/nobody"]) as reader:
        await reader.until("synced")
        removed = [response.customer_removed for response in reader.received if response.HasField("customer_removed")]
    assert {(each.customer, each.reason) for each in removed} == {
        ("customers/stranger", "NOT_COVERED"),
        ("customers/nobody", "NOT_COVERED"),
    }
    async with pair.watch(key.secret, customers=["customers/nobody"]) as reader:
        error = await reader.error()
    assert error_info(error).reason == "NOT_COVERED"


async def test_an_end_needs_no_message(pair: Pair) -> None:
    """A subscription that ends while the stream is open, with nobody doing anything."""
    key = await pair.authority.key("acme")
    await pair.authority.subscribe("south", expire_time=Instant(time.time_ns() + 700_000_000))
    async with pair.watch(key.secret) as reader:
        removed = await reader.until("customer_removed")
        assert removed.customer_removed.reason == "SUBSCRIPTION_EXPIRED"


async def test_a_key_that_ends_ends_its_streams(pair: Pair) -> None:
    key = await pair.authority.key("acme", expire_time=Instant(time.time_ns() + 700_000_000))
    async with pair.watch(key.secret) as reader:
        error = await reader.error()
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED
    assert error_info(error).reason == "CREDENTIAL_EXPIRED"


@pytest.mark.parametrize("how", ["delete", "disable"])
async def test_a_key_that_is_taken_away_ends_its_streams(pair: Pair, how: str) -> None:
    key = await pair.authority.key("acme")
    admin = bearer(await pair.authority.admin("partners/acme"))
    async with pair.watch(key.secret) as reader:
        await reader.until("synced")
        if how == "delete":
            await pair.authority.keys.DeleteKey(keys_pb2.DeleteKeyRequest(name=key.name), metadata=admin)
        else:
            await pair.authority.keys.DisableKey(keys_pb2.DisableKeyRequest(name=key.name), metadata=admin)
        error = await reader.error()
    expected = {
        "delete": (grpc.StatusCode.UNAUTHENTICATED, "CREDENTIAL_INVALID"),
        "disable": (grpc.StatusCode.PERMISSION_DENIED, "KEY_DISABLED"),
    }
    assert (error.code(), error_info(error).reason) == expected[how]


async def test_a_reader_goes_on_where_it_was_with_another_key_of_its_partner(pair: Pair) -> None:
    """Nothing is lost and nothing comes twice: the cursor is the partner's, not the key's."""
    old, new = await pair.authority.key("acme"), await pair.authority.key("acme")
    north = await pair.gateway("north")
    async with pair.watch(old.secret) as reader:
        await reader.until("synced")
        await north.publish(load=[1.0, 2.0])
        await reader.until("telemetry")
        cursor = reader.cursor
    await north.publish(load=[3.0])
    await north.publish(load=[4.0], alarms=[alarm("north")])
    async with pair.watch(new.secret, after_cursor=cursor) as reader:
        await reader.until("synced")
        assert reader.values() == [3.0, 4.0]
        assert reader.events().count("alarm_change") == 1
        assert "customer_added" not in reader.events()
        await north.publish(load=[5.0])
        await reader.until("telemetry")
        assert reader.values() == [3.0, 4.0, 5.0]


async def test_every_cursor_resumes_exactly(pair: Pair) -> None:
    """After whichever message one stops: the rest comes, once."""
    key = await pair.authority.key("acme")
    north = await pair.gateway("north")
    async with pair.watch(key.secret, live=feed_pb2.WatchRequest.Live()) as reader:
        await reader.until("synced")
        for number in range(6):
            await north.publish(load=[float(number)], alarms=[alarm("north", cleared=number % 2 == 1)])
        while len(reader.values()) < 6:
            await reader.next()
        received = list(reader.received)
    start = next(index for index, response in enumerate(received) if response.WhichOneof("event") == "synced")
    for index in range(start, len(received)):
        async with pair.watch(key.secret, after_cursor=received[index].cursor, stop_when_synced=True) as reader:
            await reader.until("synced")
            rest = [response for response in reader.received if response.WhichOneof("event") in {"telemetry", "alarm_change"}]
        later = [
            value
            for response in received[index + 1 :]
            for device in response.telemetry.devices
            for value in device.block.values
        ]
        assert [value for response in rest for device in response.telemetry.devices for value in device.block.values] == later


async def test_who_comes_back_is_told_what_a_reader_that_stayed_was_told(pair: Pair) -> None:
    """Withdrawn while it was away, or withdrawn and granted again: removed, added, a gap, how things stand; nothing twice."""
    key = await pair.authority.key("acme")
    south = await pair.gateway("south")
    await south.publish(load=[1.0])

    async def comes_back(cursor: str) -> Reader:
        async with pair.watch(key.secret, after_cursor=cursor, stop_when_synced=True) as reader:
            await reader.until("synced")
        return reader

    async with pair.watch(key.secret) as stays:
        present = (await stays.until("synced")).cursor
        await pair.authority.revoke("south", "acme")
        await stays.until("customer_removed")
        away = await comes_back(present)
        assert away.events() == ["customer_removed", "synced"]
        assert away.received[0].customer_removed.reason == "CONSENT_REVOKED"
        withdrawn = away.cursor
        assert (await comes_back(withdrawn)).events() == ["synced"], "it has been told"
        await south.publish(load=[2.0])
        await pair.authority.consent("south", "acme")
        await stays.until("customer_added")
        await south.publish(load=[3.0])
        again = ["customer_added", "gap", "inventory_change", "telemetry", "synced"]
        away = await comes_back(withdrawn)
        assert (away.events(), away.values()) == (again, [3.0])
        told = away.cursor
        away = await comes_back(present)
        assert (away.events(), away.values()) == (["customer_removed", *again], [3.0])
        assert (await comes_back(told)).events() == ["synced"]


async def test_an_end_that_came_while_a_reader_was_away_is_told(pair: Pair) -> None:
    key = await pair.authority.key("acme")
    await pair.authority.subscribe("south", expire_time=Instant(time.time_ns() + 600_000_000))
    async with pair.watch(key.secret) as reader:
        await reader.until("synced")
        cursor = reader.cursor
        await reader.until("customer_removed", customer=SOUTH)
    async with pair.watch(key.secret, after_cursor=cursor) as reader:
        await reader.until("synced")
        assert reader.received[0].customer_removed.reason == "SUBSCRIPTION_EXPIRED"


async def test_a_daily_pull_ends_by_itself(pair: Pair) -> None:
    key = await pair.authority.key("acme")
    async with pair.watch(key.secret, stop_when_synced=True) as reader:
        await reader.until("synced")
        with pytest.raises(EOFError):
            await reader.next()
        assert await reader.call.code() is grpc.StatusCode.OK


async def test_data_classes_are_kept_apart(pair: Pair) -> None:
    """A consent for alarms opens alarms; classes that are added later come in with what they hold."""
    alarms, telemetry = data_class_pb2.DATA_CLASS_ALARMS, data_class_pb2.DATA_CLASS_TELEMETRY
    await pair.authority.consent("south", "acme", data_classes=[alarms])
    key = await pair.authority.key("acme", keys_pb2.Key.KIND_SPECIFIC_CUSTOMERS, ["south"])
    south = await pair.gateway("south")
    async with pair.watch(key.secret) as reader:
        added = await reader.until("customer_added")
        assert list(added.customer_added.data_classes) == [alarms]
        await reader.until("synced")
        await south.publish(load=[1.0], alarms=[alarm("south")])
        await reader.until("alarm_change")
        assert reader.values() == []
        await pair.authority.consent("south", "acme", data_classes=[alarms, telemetry])
        again = await reader.until("customer_added")
        assert list(again.customer_added.data_classes) == [telemetry, alarms]
        await reader.until("telemetry")
        assert reader.values() == [1.0]
    closed: list[tuple[Any, Any]] = [
        (pair.inventory.ListDevices, inventory_pb2.ListDevicesRequest(parent=SOUTH)),
        (pair.inventory.GetDevice, inventory_pb2.GetDeviceRequest(name=f"{SOUTH}/devices/ups")),
    ]
    for method, request in closed:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await method(request, metadata=bearer(key.secret))
        assert error_info(caught.value).reason == "DATA_CLASS_NOT_CONSENTED"
    listed = await pair.alarms.ListAlarms(alarms_pb2.ListAlarmsRequest(parent=SOUTH), metadata=bearer(key.secret))
    assert [each.label for each in listed.alarms] == ["Power Failure"]


async def test_classes_that_came_while_a_reader_was_away_come_in_with_what_they_hold(pair: Pair) -> None:
    """And what was open all along goes on where it was."""
    alarms, telemetry = data_class_pb2.DATA_CLASS_ALARMS, data_class_pb2.DATA_CLASS_TELEMETRY
    await pair.authority.consent("south", "acme", data_classes=[alarms])
    key = await pair.authority.key("acme", keys_pb2.Key.KIND_SPECIFIC_CUSTOMERS, ["south"])
    south = await pair.gateway("south")

    async def comes_back(cursor: str) -> Reader:
        async with pair.watch(key.secret, after_cursor=cursor, stop_when_synced=True) as reader:
            await reader.until("synced")
        return reader

    async with pair.watch(key.secret) as stays:

        async def consents(*classes: data_class_pb2.DataClass.ValueType) -> None:
            """And the service knows it."""
            await pair.authority.consent("south", "acme", data_classes=classes)
            assert list((await stays.until("customer_added")).customer_added.data_classes) == list(classes)

        before = (await stays.until("synced")).cursor
        await south.publish(load=[1.0], alarms=[alarm("south")])
        await south.publish(alarms=[alarm("south", "water")])
        await consents(telemetry, alarms)
        away = await comes_back(before)
        assert away.events() == ["customer_added", "gap", "telemetry", "alarm_change", "alarm_change", "synced"]
        assert list(away.received[0].customer_added.data_classes) == [telemetry, alarms]
        assert list(away.received[1].gap.data_classes) == [telemetry], "it may have been open before, and closed meanwhile"
        assert away.values() == [1.0]
        assert (await comes_back(away.cursor)).events() == ["synced"], "it has been told"
        inside = next(response for response in away.received if response.HasField("telemetry")).cursor
        assert (await comes_back(inside)).values() == [1.0], "a snapshot that was cut off is told again"

        await consents(telemetry)
        narrowed = await comes_back(away.cursor)
        assert narrowed.events() == ["customer_added", "synced"]
        assert list(narrowed.received[0].customer_added.data_classes) == [telemetry]
        async with pair.watch(key.secret, data_classes=[telemetry], stop_when_synced=True) as reader:
            only_telemetry = (await reader.until("synced")).cursor
        await consents(alarms)
        async with pair.watch(key.secret, data_classes=[telemetry], after_cursor=only_telemetry) as reader:
            assert (await reader.next()).customer_removed.reason == "DATA_CLASS_NOT_CONSENTED"
            assert (await reader.next()).HasField("synced")


async def test_nothing_older_than_the_consent_opens_is_served_by_any_path(pair: Pair) -> None:
    now = time.time_ns()
    south = await pair.gateway("south")
    await pair.authority.consent("south", "acme", data_start_time=Instant(now - 60 * SECOND))
    await south.publish(load=[1.0, 2.0], at=now - 60 * SECOND - 1_000)  # one before, one at the start
    key = await pair.authority.key("acme", keys_pb2.Key.KIND_SPECIFIC_CUSTOMERS, ["south"])
    metadata = bearer(key.secret)
    async with pair.watch(key.secret) as reader:
        await reader.until("synced")
        assert reader.values() == [2.0]
        await south.publish(load=[3.0, 4.0], at=now - 60 * SECOND - 1_000, device="other")
        await reader.until("telemetry")
        assert reader.values() == [2.0, 4.0], "a block that straddles the start is cut there"
    history = pair.telemetry.QueryHistory(
        telemetry_pb2.QueryHistoryRequest(parent=SOUTH, start_time=to_timestamp(Instant(0))), metadata=metadata
    )
    values = [value async for piece in history for device in piece.telemetry for value in device.block.values]
    assert sorted(values) == [2.0, 4.0]
    latest = await pair.telemetry.QueryLatest(telemetry_pb2.QueryLatestRequest(parent=SOUTH), metadata=metadata)
    assert sorted(reading.value for reading in latest.readings) == [2.0, 4.0]


async def test_a_demo_key_reads_the_demo_customer_and_nobody_else(pair: Pair) -> None:
    key = await pair.authority.key("acme", keys_pb2.Key.KIND_DEMO)
    demo = await pair.gateway("demo", secret=pair.authority.gateway)
    north = await pair.gateway("north")
    async with pair.watch(key.secret) as reader:
        await reader.until("synced")
        await north.publish(load=[1.0])
        await demo.publish(load=[2.0])
        await reader.until("telemetry")
        assert reader.values() == [2.0]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await pair.inventory.ListDevices(inventory_pb2.ListDevicesRequest(parent=NORTH), metadata=bearer(key.secret))
    assert error_info(caught.value).reason == "NOT_DEMO_CUSTOMER"
    other = await pair.authority.key("acme")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await pair.inventory.ListDevices(
            inventory_pb2.ListDevicesRequest(parent="customers/demo"), metadata=bearer(other.secret)
        )
    assert error_info(caught.value).reason == "DEMO_CUSTOMER"


async def test_a_gateways_deleted_token_cuts_its_stream(pair: Pair) -> None:
    issued = await pair.authority.token(tokens_pb2.Token.ROLE_GATEWAY, NORTH)
    gateway = await pair.gateway("north", secret=issued.secret)
    await gateway.publish(load=[1.0])
    await pair.authority.tokens.DeleteToken(
        tokens_pb2.DeleteTokenRequest(name=issued.token.name), metadata=bearer(pair.authority.operator)
    )
    assert await asyncio.wait_for(gateway.call.code(), PATIENCE) is grpc.StatusCode.UNAUTHENTICATED


async def test_a_service_follows_nothing_with_a_deleted_token(pair: Pair) -> None:
    """The guard whose own token is gone stops serving within the lease, and its callers are not told that theirs is bad."""
    key = await pair.authority.key("acme")
    async with pair.watch(key.secret) as reader:
        await reader.until("synced")
        listed = await pair.authority.tokens.ListTokens(
            tokens_pb2.ListTokensRequest(), metadata=bearer(pair.authority.operator)
        )
        (own,) = [token for token in listed.tokens if token.role == tokens_pb2.Token.ROLE_SERVICE]
        began = time.monotonic()
        await pair.authority.tokens.DeleteToken(
            tokens_pb2.DeleteTokenRequest(name=own.name), metadata=bearer(pair.authority.operator)
        )
        error = await reader.error()
    assert time.monotonic() - began < 5.5
    assert (error.code(), error_info(error).reason) == (grpc.StatusCode.UNAVAILABLE, "LEASE_LOST")


async def test_coverage_is_watched_with_reasons(pair: Pair) -> None:
    key = await pair.authority.key("acme")
    call: Any = pair.authority.coverage.WatchCoverage(coverage_pb2.WatchCoverageRequest(), metadata=bearer(key.secret))
    assert [(await call.read()).covered.customer for _ in range(2)] == [NORTH, SOUTH]
    assert (await call.read()).HasField("synced")
    await pair.authority.subscribe("south", directory_pb2.Subscription.PLAN_TRIAL, Instant(time.time_ns() + 500_000_000))
    event = await asyncio.wait_for(call.read(), PATIENCE)
    assert (event.uncovered.customer, event.uncovered.reason) == (SOUTH, "SUBSCRIPTION_EXPIRED")
    before = event.revision
    await pair.authority.disconnect("acme", "north")
    event = await asyncio.wait_for(call.read(), PATIENCE)
    assert (event.uncovered.customer, event.uncovered.reason) == (NORTH, "NOT_CONNECTED")
    call.cancel()
    resumed: Any = pair.authority.coverage.WatchCoverage(
        coverage_pb2.WatchCoverageRequest(after_revision=before), metadata=bearer(key.secret)
    )
    told = []
    while not (event := await asyncio.wait_for(resumed.read(), PATIENCE)).HasField("synced"):
        told.append((event.uncovered.customer, event.uncovered.reason))
    assert (NORTH, "NOT_CONNECTED") in told
    resumed.cancel()
