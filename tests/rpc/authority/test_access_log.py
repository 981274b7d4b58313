"""The customer's access log: what is reported is what was sent, counted once, and what nobody reported shows as such."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest

from consentry.authority.v1 import consent_pb2, data_class_pb2
from consentry.authority.v1.enforcement_pb2 import AccessCount, ReportAccessesRequest
from consentry.devices.v1 import alarms_pb2, feed_pb2, inventory_pb2, telemetry_pb2
from consentry_authority.enforcement.barriers import point_name
from consentry_core.protocol.times import from_timestamp, to_timestamp
from consentry_core.rpc.client.channels import bearer, open_channel
from consentry_core.values.clock import SECOND, SystemClock
from consentry_devices.app import DevicesSettings
from consentry_devices.app import start as start_devices
from consentry_rule import Instant
from support.authority import AuthorityCalls, IssuedKey, RunningAuthority, running_authority
from support.clocks import START, FakeClock
from support.pair import Pair, alarm
from support.processes import Service
from support.refusals import refusal_of

TELEMETRY, ALARMS, INVENTORY = (
    data_class_pb2.DATA_CLASS_TELEMETRY,
    data_class_pb2.DATA_CLASS_ALARMS,
    data_class_pb2.DATA_CLASS_INVENTORY,
)
CLASS_OF = {"telemetry": TELEMETRY, "alarm_change": ALARMS, "inventory_change": INVENTORY}
HOUR = 3_600


def at(seconds: float) -> Instant:
    return Instant(START + round(seconds * SECOND))


async def log(authority: AuthorityCalls, customer: str = "north", **fields: Any) -> consent_pb2.ListAccessesResponse:
    """All pages of what a customer is told."""
    request = consent_pb2.ListAccessesRequest(parent=f"customers/{customer}", **fields)
    metadata = bearer(await authority.admin(f"customers/{customer}"))
    whole = await authority.consents.ListAccesses(request, metadata=metadata)
    page = whole
    while page.next_page_token:
        request.page_token = page.next_page_token
        page = await authority.consents.ListAccesses(request, metadata=metadata)
        assert not page.unreported_intervals
        whole.accesses.extend(page.accesses)
    return whole


def report(number: int, /, *counts: AccessCount, start: float = 0, end: float = 10, **fields: Any) -> ReportAccessesRequest:
    return ReportAccessesRequest(
        **{
            "incarnation": "incarnation-0123456789",
            "service": "test",
            "number": number,
            "start_time": to_timestamp(at(start)),
            "end_time": to_timestamp(at(end)),
            "counts": counts,
            **fields,
        }
    )


def count(readings: int, *, key: str = "k1", customer: str = "north", hour: float = 0, **fields: Any) -> AccessCount:
    return AccessCount(
        **{
            "key": f"partners/acme/keys/{key}",
            "customer": f"customers/{customer}",
            "data_class": TELEMETRY,
            "hour": to_timestamp(at(hour * HOUR)),
            "messages": 1,
            "readings": readings,
            **fields,
        }
    )


# The authority's side


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def authority(tmp_path: Path, clock: FakeClock) -> AsyncIterator[RunningAuthority]:
    async with running_authority(tmp_path, clock=clock, accesses_kept_days=2) as running:
        for customer in ("north", "south"):
            await running.customer(customer)
        yield running


async def tell(authority: RunningAuthority, *reports: ReportAccessesRequest) -> None:
    for each in reports:
        await authority.enforcement.ReportAccesses(each, metadata=bearer(authority.service))


def told(answer: consent_pb2.ListAccessesResponse) -> list[tuple[str, int, int]]:
    return [
        (each.key.rpartition("/")[2], (from_timestamp(each.hour, "") - START) // SECOND // HOUR, each.readings)
        for each in answer.accesses
    ]


async def test_a_report_that_comes_again_is_counted_once(authority: RunningAuthority) -> None:
    first, second = report(1, count(5), end=10), report(2, count(7, devices=3), start=10, end=20)
    await tell(authority, first, first, second, first, second)
    await tell(authority, report(1, count(100, devices=2), incarnation="another-0123456789"))
    (access,) = (await log(authority)).accesses
    assert (access.readings, access.messages, access.devices) == (112, 3, 3)


async def test_the_newest_hour_comes_first_and_pages_hold_the_same(authority: RunningAuthority, clock: FakeClock) -> None:
    counts = [count(hour * 10 + key, key=f"k{key}", hour=hour) for hour in range(4) for key in range(3)]
    clock.advance(3 * HOUR)
    end = 3 * HOUR
    await tell(authority, report(1, *counts, count(1, customer="south"), count(1, customer="nobody"), end=end))
    whole = await log(authority)
    assert told(whole) == [(f"k{key}", hour, hour * 10 + key) for hour in (3, 2, 1, 0) for key in range(3)]
    for size in (1, 2, 5, 12):
        assert (await log(authority, page_size=size)).accesses == whole.accesses
    assert told(await log(authority, "south")) == [("k1", 0, 1)]


async def test_of_one_key_one_partner_or_one_time(authority: RunningAuthority, clock: FakeClock) -> None:
    clock.advance(2 * HOUR)
    other = count(9, key="k1")
    other.key = "partners/acme-two/keys/k1"
    counts = count(1, key="k1"), count(2, key="k2", hour=1), count(3, key="k1", hour=2), other
    await tell(authority, report(1, *counts, end=2 * HOUR))
    assert told(await log(authority, reader="partners/acme/keys/k1")) == [("k1", 2, 3), ("k1", 0, 1)]
    assert told(await log(authority, reader="partners/acme")) == [("k1", 2, 3), ("k2", 1, 2), ("k1", 0, 1)]
    start, end = to_timestamp(at(1 * HOUR)), to_timestamp(at(2 * HOUR))
    assert told(await log(authority, reader="partners/acme", start_time=start, end_time=end)) == [("k2", 1, 2)]


async def test_accesses_are_kept_for_the_time_that_is_set(authority: RunningAuthority, clock: FakeClock) -> None:
    await tell(authority, report(1, count(1), end=5, last=True))
    clock.advance(47 * HOUR)
    later = report(1, count(2, hour=47), start=47 * HOUR, end=47 * HOUR, incarnation="another-0123456789")
    await tell(authority, later)
    assert told(await log(authority)) == [("k1", 47, 2), ("k1", 0, 1)]
    clock.advance(3 * HOUR)
    later.number = 2
    await tell(authority, later)
    assert [hour for _, hour, _ in told(await log(authority))] == [47]


async def test_reports_that_do_not_meet_leave_an_interval_that_nobody_reported(authority: RunningAuthority) -> None:
    await tell(authority, report(1, end=10), report(2, start=10, end=20), report(4, start=50, end=60, last=True))
    (lost,) = (await log(authority)).unreported_intervals
    assert (lost.enforcement_point, lost.service) == (point_name("incarnation-0123456789"), "test")
    assert (from_timestamp(lost.start_time, ""), from_timestamp(lost.end_time, "")) == (at(20), at(50))
    assert not (await log(authority, start_time=to_timestamp(at(55)))).unreported_intervals


BAD: Sequence[tuple[dict[str, Any], str]] = (
    ({"incarnation": "short"}, "incarnation"),
    ({"service": "x" * 101}, "service"),
    ({"number": 0}, "number"),
    ({"number": 2**62}, "number"),
    ({"start_time": None}, "start_time"),
    ({"end_time": to_timestamp(at(-1))}, "end_time"),
    ({"counts": [count(-1)]}, "counts[0].readings"),
    ({"counts": [count(1), count(2**62)]}, "counts[1].readings"),
    ({"counts": [count(1, key="KEY")]}, "counts[0].key"),
    ({"counts": [count(1, customer="X")]}, "counts[0].customer"),
    ({"counts": [count(1, data_class=99)]}, "counts[0].data_class"),
    ({"counts": [count(1)] * 501}, "counts"),
    ({"counts": [count(1, hour=-1)]}, "counts[0].hour"),
    ({"counts": [count(1, hour=1)]}, "counts[0].hour"),
    ({"counts": [count(1), count(1, hour=2_000_000)]}, "counts[1].hour"),
    ({"start_time": to_timestamp(at(-32 * 24 * HOUR))}, "start_time"),
)


@pytest.mark.parametrize(("fields", "field"), BAD, ids=[f"{field} {index}" for index, (_, field) in enumerate(BAD)])
async def test_what_no_guard_reports_is_refused(authority: RunningAuthority, fields: dict[str, Any], field: str) -> None:
    call = authority.enforcement.ReportAccesses(report(1, **fields), metadata=bearer(authority.service))
    refused = await refusal_of(call)
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.fields[0].startswith(field)
    assert not (await log(authority)).accesses


# The pair


async def sent_and_received(pair: Pair, key: IssuedKey) -> dict[int, tuple[int, int, int]]:
    """Read everything once, in every way: messages, readings and bytes that the client received, by class."""
    received: dict[int, list[int]] = {each: [0, 0, 0] for each in (TELEMETRY, ALARMS, INVENTORY)}

    def got(data_class: int, message: Any, readings: int = 0) -> None:
        for place, number in enumerate((1, readings, message.ByteSize())):
            received[data_class][place] += number

    metadata = bearer(key.secret)
    devices = await pair.inventory.ListDevices(inventory_pb2.ListDevicesRequest(parent="customers/north"), metadata=metadata)
    got(INVENTORY, devices)
    got(ALARMS, await pair.alarms.ListAlarms(alarms_pb2.ListAlarmsRequest(parent="customers/north"), metadata=metadata))
    latest = await pair.telemetry.QueryLatest(telemetry_pb2.QueryLatestRequest(parent="customers/north"), metadata=metadata)
    got(TELEMETRY, latest, len(latest.readings))
    history = telemetry_pb2.QueryHistoryRequest(parent="customers/north", start_time=to_timestamp(Instant(0)))
    async for chunk in pair.telemetry.QueryHistory(history, metadata=metadata):
        got(TELEMETRY, chunk, sum(len(each.block.values) for each in chunk.telemetry))
    watch = feed_pb2.WatchRequest(customers=["customers/north"], stop_when_synced=True)
    async for event in pair.feed.Watch(watch, metadata=metadata):
        data_class = CLASS_OF.get(event.WhichOneof("event") or "")
        if data_class is not None:
            got(data_class, event, sum(len(each.block.values) for each in event.telemetry.devices))
    return {data_class: (messages, readings, size) for data_class, (messages, readings, size) in received.items()}


async def test_what_is_told_is_what_the_client_received(tmp_path: Path) -> None:
    """And a service that is stopped reports all of it, and leaves no interval."""
    async with contextlib.AsyncExitStack() as stack:
        authority = await stack.enter_async_context(running_authority(tmp_path / "authority", clock=SystemClock()))
        await authority.partner("acme")
        for customer in ("north", "silent"):
            await authority.customer(customer)
            await authority.connect("acme", customer)
        await authority.consent("north", "acme", data_start_time=Instant(0))
        key, idle = await authority.key("acme"), await authority.key("acme")
        settings = DevicesSettings(
            listen="127.0.0.1:0",
            authority=authority.address,
            token_file=tmp_path / "authority" / "devices.token",
            data_dir=tmp_path / "devices",
        )
        devices = await start_devices(settings)
        async with open_channel(devices.address) as channel:
            pair = Pair(authority, devices, channel, tmp_path)
            gateway = await pair.gateway("north")
            await gateway.publish(load=range(1, 101), alarms=[alarm("north")])
            await gateway.publish(load=range(1, 11), device="pdu")
            expected = await sent_and_received(pair, key)
            refused = inventory_pb2.ListDevicesRequest(parent="customers/silent")
            await refusal_of(pair.inventory.ListDevices(refused, metadata=bearer(key.secret)))
        await devices.stop()
        answer = await log(authority)
        found = {each.data_class: (each.messages, each.readings, each.bytes) for each in answer.accesses}
        assert found == expected
        assert {each.key for each in answer.accesses} == {key.name}, f"and nothing of {idle.name}"
        assert {each.data_class: each.devices for each in answer.accesses} == {TELEMETRY: 2, ALARMS: 1, INVENTORY: 2}
        assert not answer.unreported_intervals
        (asked,) = (await log(authority, "silent")).accesses
        assert (asked.key, asked.data_class, asked.refusals, asked.messages) == (key.name, INVENTORY, 1, 0)


@pytest.mark.slow
async def test_a_killed_service_loses_at_most_what_it_had_not_written_and_that_shows(tmp_path: Path) -> None:
    async with running_authority(tmp_path / "authority", clock=SystemClock()) as authority:
        await authority.partner("acme")
        await authority.customer("north")
        await authority.connect("acme", "north")
        await authority.consent("north", "acme", data_start_time=Instant(0))
        key = await authority.key("acme")
        service = Service(
            "devices",
            tmp_path,
            "devices",
            f"--authority={authority.address}",
            f"--token-file={tmp_path / 'authority' / 'devices.token'}",
            f"--data-dir={tmp_path / 'devices'}",
        )
        try:
            await service.serve()
            received = await watch_until_reported(authority, service, key)
            killed = SystemClock().now()
            await service.kill()
            known = sum(each.readings for each in (await log(authority)).accesses)
            assert 0 < known <= received
            # What was written and not reported yet is reported by the next life, under the former one's name.
            await service.serve()
            await until_told(authority, key, known)
            assert await reported(authority, key) <= received
            (lost,) = await lost_before(authority, killed)
            began, ended = from_timestamp(lost.start_time, ""), from_timestamp(lost.end_time, "")
            assert killed - 10 * SECOND < began < killed < ended, "from the last report to the end of its last lease"
        finally:
            await service.kill()


async def watch_until_reported(authority: RunningAuthority, service: Service, key: IssuedKey) -> int:
    """Publish and watch at the same time until some of it has been reported; how many readings the client received."""
    async with open_channel(service.address) as channel:
        pair = Pair(authority, Any, channel, authority.folder)  # type: ignore[arg-type] # a process of its own
        gateway = await pair.gateway("north")
        received = 0
        async with pair.watch(key.secret, customers=["customers/north"]) as reader:
            await reader.until("synced")
            while not await reported(authority, key):
                await gateway.publish(load=range(50))
                while received < 50 * gateway.number:
                    received += len(
                        [value for device in (await reader.next()).telemetry.devices for value in device.block.values]
                    )
                await asyncio.sleep(0.2)
            await gateway.publish(load=range(50))
            while received < 50 * gateway.number:
                received += len([value for device in (await reader.next()).telemetry.devices for value in device.block.values])
        return received


async def reported(authority: RunningAuthority, key: IssuedKey) -> int:
    return sum(each.readings for each in (await log(authority, reader=key.name)).accesses)


async def until_told(authority: RunningAuthority, key: IssuedKey, readings: int) -> None:
    """Wait until so many readings have been reported."""
    async with asyncio.timeout(30):
        while await reported(authority, key) < readings:  # noqa: ASYNC110 - nothing tells of it but looking
            await asyncio.sleep(0.2)


async def lost_before(authority: RunningAuthority, time: Instant) -> Sequence[consent_pb2.UnreportedInterval]:
    """The intervals that nobody reported and that began before, once there are any: a lease has to run out first."""
    while True:
        lost = (await log(authority)).unreported_intervals
        if found := [each for each in lost if from_timestamp(each.start_time, "") < time]:
            return found
        await asyncio.sleep(0.3)
