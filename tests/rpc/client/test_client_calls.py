"""Pages, rows, columns and refusals, through both clients."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import grpc_testing
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from consentry.authority.v1 import coverage_pb2, data_class_pb2
from consentry.devices.v1 import alarms_pb2, gap_pb2, inventory_pb2, telemetry_pb2
from consentry_client import (
    Aggregate,
    AsyncClient,
    CallFailed,
    Client,
    CoveredCustomer,
    DataClass,
    DeadlineExceeded,
    FailedPrecondition,
    HistoryGap,
    InvalidArgument,
    NotFound,
    QuotaLeft,
    Reading,
    ResourceExhausted,
    Step,
    Violation,
)
from consentry_core.rpc.errors import to_status, trailing_metadata
from consentry_core.values import errors
from support.scripted import HANG, ScriptedAlarms, ScriptedCoverage, ScriptedInventory, ScriptedTelemetry, serving

NORTH = "customers/north"
UPS = f"{NORTH}/devices/ups-1"
SECRET = "ck_all_secret"
LOCATION, DEVICE, SENSOR = inventory_pb2.Location(name="l"), inventory_pb2.Device(name=UPS), inventory_pb2.Sensor(name="s")


async def both(address: str, method: str, *arguments: Any, **options: Any) -> tuple[Any, Any]:
    """The same call through both clients; iterators drained."""

    def over_sync() -> Any:
        with Client(authority=address, devices=address, secret=SECRET) as client:
            answer = getattr(client, method)(*arguments, **options)
            return list(answer) if isinstance(answer, Iterator) else answer

    async with AsyncClient(authority=address, devices=address, secret=SECRET) as client:
        answer = getattr(client, method)(*arguments, **options)
        over_aio = [item async for item in answer] if hasattr(answer, "__aiter__") else await answer
    return await asyncio.to_thread(over_sync), over_aio


async def test_coverage_is_listed_over_all_pages_short_ones_too() -> None:
    page = coverage_pb2.ListCoveredCustomersResponse
    customer = coverage_pb2.CoveredCustomer
    pages = [
        [page(customers=[customer(name=NORTH, data_classes=[data_class_pb2.DATA_CLASS_ALARMS])], next_page_token="2")],
        [page(next_page_token="3")],
        [page(customers=[customer(name="customers/south")])],
    ]
    coverage = ScriptedCoverage(*pages, *pages)
    with serving(coverage=coverage) as address:
        answers = await both(address, "covered_customers")
    covered = [CoveredCustomer(NORTH, frozenset({DataClass.ALARMS})), CoveredCustomer("customers/south", frozenset())]
    assert answers == (covered, covered)
    assert [request.page_token for request in coverage.requests] == ["", "2", "3"] * 2


@pytest.mark.parametrize(
    ("method", "argument", "answer", "found"),
    [
        ("locations", NORTH, inventory_pb2.ListLocationsResponse(locations=[LOCATION]), LOCATION),
        ("devices", NORTH, inventory_pb2.ListDevicesResponse(devices=[DEVICE]), DEVICE),
        ("sensors", UPS, inventory_pb2.ListSensorsResponse(sensors=[SENSOR]), SENSOR),
    ],
)
async def test_inventory_is_listed(method: str, argument: str, answer: Any, found: Any) -> None:
    inventory = ScriptedInventory([answer], [answer])
    with serving(inventory=inventory) as address:
        assert await both(address, method, argument) == ([found], [found])
    assert [request.parent for request in inventory.requests] == [argument] * 2


async def test_one_device_comes_with_what_it_is_part_of() -> None:
    answer = inventory_pb2.GetDeviceResponse(device=DEVICE, ancestors=[inventory_pb2.Device(name="p")])
    inventory = ScriptedInventory([answer], [answer])
    with serving(inventory=inventory) as address:
        assert await both(address, "device", UPS) == (answer, answer)


async def test_alarms_and_their_events_are_listed() -> None:
    alarm = alarms_pb2.Alarm(name=f"{NORTH}/alarms/a", label="Power Failure")
    event = alarms_pb2.AlarmEvent(number=1, alarm=alarm)
    alarms = ScriptedAlarms(*[[alarms_pb2.ListAlarmsResponse(alarms=[alarm])]] * 2)
    with serving(alarms=alarms) as address:
        assert await both(address, "alarms", NORTH, active_only=True) == ([alarm], [alarm])
    assert all(request.active_only for request in alarms.requests)
    alarms = ScriptedAlarms(*[[alarms_pb2.GetAlarmResponse(alarm=alarm)]] * 2)
    with serving(alarms=alarms) as address:
        assert await both(address, "alarm", alarm.name) == (alarm, alarm)
    alarms = ScriptedAlarms(*[[alarms_pb2.ListAlarmEventsResponse(alarm_events=[event])]] * 2)
    with serving(alarms=alarms) as address:
        assert await both(address, "alarm_events", alarm.name) == ([event], [event])


async def test_the_latest_readings_come_as_rows() -> None:
    reading = telemetry_pb2.Reading(device=UPS, sensor=f"{UPS}/sensors/load", time=Timestamp(seconds=1), value=41.5)
    answer = telemetry_pb2.QueryLatestResponse(readings=[reading])
    first = telemetry_pb2.QueryLatestResponse(readings=[reading], next_page_token="more")
    telemetry = ScriptedTelemetry([first], [answer], [first], [answer])
    with serving(telemetry=telemetry) as address:
        row = Reading(UPS, f"{UPS}/sensors/load", 10**9, 41.5)
        assert await both(address, "latest", NORTH, devices=[UPS]) == ((row, row), (row, row))
    asked = telemetry_pb2.QueryLatestRequest(parent=NORTH, devices=[UPS], page_size=1000)
    assert telemetry.requests[0] == asked
    asked.page_token = "more"
    assert telemetry.requests[1] == asked


async def test_history_streams_tables_of_devices() -> None:
    block = telemetry_pb2.TelemetryBlock(sensors=["load"], sensor_indexes=[0], times_unix_nano=[5], values=[1.5])
    table = telemetry_pb2.DeviceTelemetry(device=UPS, reading_count=1, block=block)
    answers = [telemetry_pb2.QueryHistoryResponse(telemetry=[table, table]), telemetry_pb2.QueryHistoryResponse()]
    telemetry = ScriptedTelemetry(answers, answers)
    start = datetime(2024, 1, 1, tzinfo=UTC)
    with serving(telemetry=telemetry) as address:
        for tables in await both(address, "history", NORTH, start, 2 * 10**18):
            assert [list(table.readings()) for table in tables] == [[Reading(UPS, f"{UPS}/sensors/load", 5, 1.5)]] * 2
    assert telemetry.requests[1] == telemetry_pb2.QueryHistoryRequest(
        parent=NORTH, start_time=Timestamp(seconds=1_704_067_200), end_time=Timestamp(seconds=2 * 10**9)
    )


async def test_history_in_steps_begins_with_what_is_missing() -> None:
    gap = gap_pb2.Gap(
        customer=NORTH, cause=gap_pb2.Gap.CAUSE_GATEWAY_LOST, start_time=Timestamp(seconds=1, nanos=2), gateway="gw"
    )
    steps = telemetry_pb2.DeviceSteps(
        device=UPS, sensors=["load"], sensor_indexes=[0, 0], times_unix_nano=[5, 10], means=[1.5, 2.5], counts=[2, 1]
    )
    answers = [telemetry_pb2.QueryHistoryResponse(gaps=[gap]), telemetry_pb2.QueryHistoryResponse(steps=[steps])]
    telemetry = ScriptedTelemetry(answers, answers)
    aggregates = [Aggregate.MEAN, Aggregate.COUNT]
    with serving(telemetry=telemetry) as address:
        for told in await both(address, "history_in_steps", NORTH, 10**9, step=timedelta(minutes=5), aggregates=aggregates):
            assert told[0] == HistoryGap(NORTH, "GATEWAY_LOST", 10**9 + 2, None, "gw")
            assert len(told[1]) == 2
            assert list(told[1].steps()) == [
                Step(UPS, f"{UPS}/sensors/load", 5, None, None, 1.5, None, 2),
                Step(UPS, f"{UPS}/sensors/load", 10, None, None, 2.5, None, 1),
            ]
            assert list(told[1].columns().means) == [1.5, 2.5]
    request = telemetry_pb2.QueryHistoryRequest
    assert telemetry.requests[1] == request(
        parent=NORTH,
        start_time=Timestamp(seconds=1),
        step=Duration(seconds=300),
        aggregates=[request.AGGREGATE_MEAN, request.AGGREGATE_COUNT],
    )


async def test_made_up_readings_come_as_tables_of_devices() -> None:
    table = telemetry_pb2.DeviceTelemetry(device="customers/simulated/devices/device-0000", reading_count=3)
    answers = [telemetry_pb2.SimulateTelemetryResponse(telemetry=[table, table])]
    telemetry = ScriptedTelemetry(answers, answers)
    with serving(telemetry=telemetry) as address:
        for tables in await both(address, "simulate", 5_000, 500):
            assert [len(each) for each in tables] == [3, 3]
    assert telemetry.requests[0] == telemetry_pb2.SimulateTelemetryRequest(measurements_per_second=5_000, sensor_count=500)


async def test_a_refusal_carries_what_is_wrong_with_which_field() -> None:
    refusal = errors.InvalidArgument(
        "parent", "must be of the form customers/{customer}", also=[errors.Violation("page_size", "must not be below 0")]
    )
    with (
        serving(inventory=ScriptedInventory([refusal])) as address,
        Client(devices=address, secret=SECRET) as client,
        pytest.raises(InvalidArgument) as caught,
    ):
        list(client.devices("nonsense"))
    assert caught.value.violations == (
        Violation("parent", "must be of the form customers/{customer}"),
        Violation("page_size", "must not be below 0"),
    )
    assert str(caught.value) == "INVALID_ARGUMENT: parent: must be of the form customers/{customer}"


async def test_a_precondition_says_what_would_have_to_change_and_a_limit_when_to_come_back() -> None:
    refusals: list[Any] = [
        [errors.FailedPrecondition("not connected", violations=[errors.Violation(NORTH, "connect it first")])],
        [errors.ResourceExhausted("too fast", retry_after=1.5)],
        [errors.NotFound("no such device")],
    ]
    with serving(inventory=ScriptedInventory(*refusals)) as address:
        async with AsyncClient(devices=address, secret=SECRET) as client:
            with pytest.raises(FailedPrecondition) as precondition:
                await client.device(UPS)
            with pytest.raises(ResourceExhausted) as limit:
                await client.device(UPS)
            with pytest.raises(NotFound):
                await client.device(UPS)
    assert precondition.value.violations == (Violation(NORTH, "connect it first"),)
    assert limit.value.retry_after == 1.5
    assert isinstance(limit.value, CallFailed)


async def test_a_call_that_gets_no_answer_ends_in_time() -> None:
    inventory = ScriptedInventory([HANG], [HANG])
    with serving(inventory=inventory) as address:
        with Client(devices=address, secret=SECRET, timeout=0.2) as client, pytest.raises(DeadlineExceeded):
            await asyncio.to_thread(client.device, UPS)
        async with AsyncClient(devices=address, secret=SECRET, timeout=0.2) as async_client:
            with pytest.raises(DeadlineExceeded):
                await async_client.device(UPS)


# Without any transport: the channel of grpc-testing shows what the client says and takes what a test answers.

_LIST = coverage_pb2.DESCRIPTOR.services_by_name["CoverageService"].methods_by_name["ListCoveredCustomers"]


@pytest.fixture
def channel() -> grpc_testing.Channel:
    services = coverage_pb2.DESCRIPTOR.services_by_name.values()
    return grpc_testing.channel(services, grpc_testing.strict_real_time())


def test_a_call_authenticates_and_takes_the_answer(channel: grpc_testing.Channel) -> None:
    with ThreadPoolExecutor(1) as thread, Client(authority=channel, secret=f" {SECRET}\n") as client:
        listing = thread.submit(lambda: list(client.covered_customers()))
        metadata, request, call = channel.take_unary_unary(_LIST)
        assert request == coverage_pb2.ListCoveredCustomersRequest()
        assert ("authorization", f"Bearer {SECRET}") in tuple(metadata)
        answer = coverage_pb2.ListCoveredCustomersResponse(customers=[coverage_pb2.CoveredCustomer(name=NORTH)])
        call.terminate(answer, (), grpc.StatusCode.OK, "")
        assert listing.result(10) == [CoveredCustomer(NORTH, frozenset())]


def test_what_is_left_of_the_quota_stays_as_it_was_last_told(channel: grpc_testing.Channel) -> None:
    """By whatever tells it; what is no number tells nothing."""
    told: list[tuple[Any, QuotaLeft | None]] = [
        ((), None),
        ((("consentry-calls-left", "7"), ("other", "1")), QuotaLeft(calls=7)),
        ((), QuotaLeft(calls=7)),
        ((("consentry-calls-left", "many"),), QuotaLeft(calls=7)),
        ((("consentry-streams-left", "0"),), QuotaLeft(streams=0)),
    ]
    with ThreadPoolExecutor(1) as thread, Client(authority=channel, secret=SECRET) as client:
        for metadata, left in told:
            listing = thread.submit(lambda: list(client.covered_customers()))
            _, _, call = channel.take_unary_unary(_LIST)
            call.terminate(coverage_pb2.ListCoveredCustomersResponse(), metadata, grpc.StatusCode.OK, "")
            assert listing.result(10) == []
            assert client.quota_left == left


def test_a_status_of_the_transport_has_no_reason(channel: grpc_testing.Channel) -> None:
    failure = _failure(channel, grpc.StatusCode.UNAVAILABLE, "connection refused", ())
    assert (type(failure).__name__, failure.reason) == ("Unavailable", "")
    assert failure.message == "connection refused; given up after 3 attempts"


def test_a_status_writes_no_lines_and_no_escapes(channel: grpc_testing.Channel) -> None:
    failure = _failure(channel, grpc.StatusCode.NOT_FOUND, "gone\n2026-01-01 all is well\x1b[2J\u202e", (), attempts=1)
    assert str(failure) == r"NOT_FOUND: gone\n2026-01-01 all is well\x1b[2J\u202e"


def test_details_that_contradict_their_status_are_left_aside(channel: grpc_testing.Channel) -> None:
    denied = trailing_metadata(to_status(errors.PermissionDenied("no", reason="CONSENT_REVOKED")))
    failure = _failure(channel, grpc.StatusCode.UNAVAILABLE, "a proxy's own", denied)
    assert (type(failure).__name__, failure.reason, failure.violations) == ("Unavailable", "", ())


def _failure(
    channel: grpc_testing.Channel, status: grpc.StatusCode, message: str, metadata: Any, attempts: int = 3
) -> CallFailed:
    with ThreadPoolExecutor(1) as thread, Client(authority=channel, secret=SECRET, random=lambda: 0.0) as client:
        listing = thread.submit(lambda: list(client.covered_customers()))
        for _ in range(attempts):
            _, _, call = channel.take_unary_unary(_LIST)
            call.terminate(None, metadata, status, message)
        failure = listing.exception(10)
    assert isinstance(failure, CallFailed)
    return failure
