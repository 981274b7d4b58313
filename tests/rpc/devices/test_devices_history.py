"""History on a real server: in steps, with its gaps, while consent moves; pages of the newest readings; made-up readings."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import sqlalchemy as sa
from google.protobuf.duration_pb2 import Duration

from consentry.authority.v1 import data_class_pb2
from consentry.devices.v1 import gap_pb2, telemetry_pb2, telemetry_pb2_grpc
from consentry_core.protocol.marks import MarkedKey
from consentry_core.protocol.times import to_timestamp
from consentry_core.rpc.client.channels import bearer
from consentry_devices.storage import tables
from consentry_rule import Instant, KeyKind, PartnerId
from support.clocks import START, FakeClock
from support.devices import KEY, RuleGate, RunningDevices, running_devices
from support.gateways import SECOND, publish, readings
from support.refusals import refusal_of

NORTH = "customers/north"
UPS = f"{NORTH}/devices/ups"
Request = telemetry_pb2.QueryHistoryRequest


@pytest.fixture
def gate() -> RuleGate:
    gate = RuleGate(FakeClock())
    gate.consent("north")
    return gate


@pytest.fixture
async def service(tmp_path: Path, gate: RuleGate) -> AsyncIterator[RunningDevices]:
    async with running_devices(tmp_path, gate) as service:
        yield service


def asked(start: int, end: int | None = None, step: int | None = None, **only: Any) -> Request:
    """A question about north; times and step in seconds, times from START."""
    return Request(
        parent=NORTH,
        start_time=to_timestamp(Instant(START + start * SECOND)),
        end_time=None if end is None else to_timestamp(Instant(START + end * SECOND)),
        step=None if step is None else Duration(seconds=step),
        **only,
    )


def history(service: RunningDevices, request: Request) -> Any:
    """The call."""
    return telemetry_pb2_grpc.TelemetryServiceStub(service.channel).QueryHistory(request, metadata=KEY)


def rows(responses: Sequence[telemetry_pb2.QueryHistoryResponse]) -> list[tuple[str, int, str, float, int]]:
    """Steps as rows: device, seconds from START, sensor, mean, count."""
    return [
        (table.device.rpartition("/")[2], (time - START) // SECOND, table.sensors[index], mean, count)
        for response in responses
        for table in response.steps
        for index, time, mean, count in zip(
            table.sensor_indexes, table.times_unix_nano, table.means, table.counts, strict=True
        )
    ]  # fmt: skip


async def steps(service: RunningDevices, *question: Any, **only: Any) -> list[tuple[str, int, str, float, int]]:
    """The rows of an answer."""
    return rows([response async for response in history(service, asked(*question, **only))])


# Steps


async def test_late_and_overlapping_data_is_in_its_right_step(service: RunningDevices, gate: RuleGate) -> None:
    late = readings(4, START - 95 * SECOND, 10.0, 20.0)
    late.historical = True
    await publish(
        service.channel,
        gate.gateway("north"),
        readings(1, START - 100 * SECOND, *range(20)),
        readings(2, START - 50 * SECOND, 1.0, device="pdu"),
        readings(3, START - 105 * SECOND, *[100.0] * 10, sensor="charge"),
        late,
    )
    assert await steps(service, -1000, None, 10) == [
        ("pdu", -50, "load", 1.0, 1),
        ("ups", -110, "charge", 100.0, 5),
        ("ups", -100, "charge", 100.0, 5),
        ("ups", -100, "load", 75 / 12, 12),
        ("ups", -90, "load", 14.5, 10),
    ]
    only = {"sensors": [f"{UPS}/sensors/charge", f"{NORTH}/devices/pdu/sensors/load"]}
    assert await steps(service, -102, -50, 10, **only) == [("ups", -110, "charge", 100.0, 2), ("ups", -100, "charge", 100.0, 5)]
    (last,) = [response async for response in history(service, asked(-100, -90, 10, aggregates=[Request.AGGREGATE_LAST]))]
    assert [(list(table.lasts), list(table.means)) for table in last.steps] == [([100.0, 9.0], [])]
    assert await steps(service, -100, -100, 10) == []


async def test_a_step_that_began_before_the_consent_opens_holds_nothing_older(service: RunningDevices, gate: RuleGate) -> None:
    await publish(service.channel, gate.gateway("north"), readings(1, START - 20 * SECOND, *range(20)))
    gate.consent("north", start=START - 13 * SECOND)
    assert await steps(service, -1000, None, 10) == [("ups", -20, "load", 8.0, 3), ("ups", -10, "load", 14.5, 10)]


async def test_a_consent_that_opens_less_while_steps_are_streamed_is_heeded_from_there_on(
    service: RunningDevices, gate: RuleGate
) -> None:
    """What is under way when it changes is folded anew; nothing comes twice, and nothing is missing."""
    number = 100_000
    frames = [
        readings(1 + index, START - number * SECOND, *np.arange(number, dtype=float), device=device)
        for index, device in enumerate(("a", "b", "c", "d", "e", "f"))
    ]
    await publish(service.channel, gate.gateway("north"), *frames)
    before = await steps(service, -number, None, 7)
    responses = aiter(history(service, asked(-number, None, 7)))
    first = await anext(responses)
    gate.consent("north", start=START - 500 * SECOND)
    after = await steps(service, -number, None, 7)
    found = rows([first, *[response async for response in responses]])
    cut = next(place for place, (one, other) in enumerate(zip(found, before, strict=False)) if one != other)
    # Some was on its way already; from the cut on, it is what an answer that begins now would say of what is not yet told.
    *_, (device, time, *_) = before[:cut]
    assert found[:cut] == before[:cut]
    assert found[cut:] == [row for row in after if (row[0], row[1]) > (device, time)]
    assert {"e", "f"} <= {row[0] for row in found[cut:]}


async def test_a_revocation_ends_steps_that_are_streamed(service: RunningDevices, gate: RuleGate) -> None:
    frames = [
        readings(1 + index, START - 100_000 * SECOND, *np.arange(100_000, dtype=float), device=f"d{index}")
        for index in range(6)
    ]
    await publish(service.channel, gate.gateway("north"), *frames)
    call = history(service, asked(-100_000, None, 1))
    await call.read()
    gate.revoke("north")

    async def rest() -> None:
        while await call.read() is not grpc.aio.EOF:
            pass

    assert (await refusal_of(rest())).reason == "CONSENT_REVOKED"


@pytest.mark.parametrize(
    ("only", "reason"),
    [
        ({"step": Duration(nanos=999_999)}, "STEP_INVALID"),
        ({"step": Duration()}, "STEP_INVALID"),
        ({"step": Duration(seconds=-1)}, "STEP_INVALID"),
        ({"step": Duration(seconds=1, nanos=10**9)}, "STEP_INVALID"),
        ({"step": Duration(seconds=1), "aggregates": [Request.AGGREGATE_UNSPECIFIED]}, "AGGREGATE_INVALID"),
        ({"step": Duration(seconds=1), "aggregates": [77]}, "AGGREGATE_INVALID"),
        ({"aggregates": [Request.AGGREGATE_MIN]}, "STEP_MISSING"),
    ],
)
async def test_steps_that_make_no_sense_are_refused(service: RunningDevices, only: dict[str, Any], reason: str) -> None:
    refused = await refusal_of(
        history(service, asked(-10, None, **only) if "step" not in only else _with(asked(-10), only)).read()
    )
    assert (refused.code, refused.reason) == (grpc.StatusCode.INVALID_ARGUMENT, reason)


def _with(request: Request, only: dict[str, Any]) -> Request:
    request.MergeFrom(Request(**only))
    request.step.SetInParent()
    return request


async def test_the_longest_step_there_is_holds_everything(service: RunningDevices, gate: RuleGate) -> None:
    await publish(service.channel, gate.gateway("north"), readings(1, START - 20 * SECOND, *range(20)))
    assert [row[3:] for row in await steps(service, -1000, None, 315_576_000_000)] == [(9.5, 20)]


# What is missing, and what is gone


async def test_what_retention_removed_and_gateways_lost_comes_first(service: RunningDevices, gate: RuleGate) -> None:
    await publish(service.channel, gate.gateway("north"), readings(1, START - 20 * SECOND, *range(20)))
    lost = await _lost(service, -40, -30, "gw-1")
    await _lost(service, -400, -300, "gw-2")
    removed = {"customer": "north", "data_class": "telemetry", "seq": 1, "until": START - 100 * SECOND}
    await service.devices.store.database.write(lambda connection: connection.execute(sa.insert(tables.removals), removed))
    for step in (None, 10):
        first, *rest = [response async for response in history(service, asked(-200, None, step))]
        assert list(first.gaps) == [
            _gap(gap_pb2.Gap.CAUSE_NOT_KEPT, START - 200 * SECOND, START - 100 * SECOND + 1),
            lost,
        ]
        assert not first.telemetry
        assert not first.steps
        assert len(rest) == 1
    assert [len(response.gaps) async for response in history(service, asked(-99, -45))] == []
    gate.consent("north", start=START - 35 * SECOND)
    first = await history(service, asked(-200)).read()
    assert [(gap.cause, gap.start_time) for gap in first.gaps] == [
        (gap_pb2.Gap.CAUSE_GATEWAY_LOST, to_timestamp(Instant(START - 35 * SECOND)))
    ]


async def test_what_retention_removes_while_an_answer_is_under_way_comes_last(service: RunningDevices, gate: RuleGate) -> None:
    number = 100_000
    frames = [
        readings(1 + index, START - number * SECOND, *np.arange(number, dtype=float), device=device)
        for index, device in enumerate(("a", "b", "c", "d"))
    ]
    await publish(service.channel, gate.gateway("north"), *frames)
    responses = aiter(history(service, asked(-number)))
    assert (await anext(responses)).telemetry
    assert await service.devices.store.log.remove_oldest(taken_before=None, max_entries=10**6, max_bytes=10**9)
    *_, last = [response async for response in responses]
    assert list(last.gaps) == [_gap(gap_pb2.Gap.CAUSE_NOT_KEPT, START - number * SECOND, START - SECOND + 1)]


def _gap(cause: gap_pb2.Gap.Cause.ValueType, start: int, end: int, gateway: str = "") -> gap_pb2.Gap:
    return gap_pb2.Gap(
        customer=NORTH,
        cause=cause,
        data_classes=[data_class_pb2.DATA_CLASS_TELEMETRY],
        start_time=to_timestamp(Instant(start)),
        end_time=to_timestamp(Instant(end)),
        gateway=gateway,
    )


async def test_of_many_losses_the_rest_is_one(service: RunningDevices, gate: RuleGate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consentry_devices.rpc.telemetry.history_gaps._MOST_LOSSES", 2)
    for number in range(5):
        await _lost(service, -100 + 10 * number, -95 + 10 * number, "gw")
    first = await history(service, asked(-200, -10)).read()
    spans = [(gap.start_time.seconds - START // SECOND, gap.end_time.seconds - START // SECOND) for gap in first.gaps]
    assert spans == [(-100, -95), (-90, -85), (-80, -10)]


async def test_history_of_a_device_that_is_no_longer_there_is_read_by_name(service: RunningDevices, gate: RuleGate) -> None:
    await publish(service.channel, gate.gateway("north"), readings(1, START - 20 * SECOND, *range(20)))
    await service.devices.store.database.write(lambda connection: connection.execute(sa.delete(tables.devices)))
    assert await steps(service, -100, None, 10) == []
    assert len(await steps(service, -100, None, 10, devices=[UPS])) == 2
    assert [len(response.telemetry) async for response in history(service, asked(-100, devices=[UPS]))] == [1]


# The newest readings


async def test_the_newest_readings_come_in_pages_ordered_by_name(service: RunningDevices, gate: RuleGate) -> None:
    devices = [f"d{number}" for number in range(7)] + ["d1.x", "d1-x"]
    await publish(
        service.channel,
        gate.gateway("north"),
        *(readings(number, START, float(number), device=device) for number, device in enumerate(devices, 1)),
    )
    stub = telemetry_pb2_grpc.TelemetryServiceStub(service.channel)
    found: list[str] = []
    request = telemetry_pb2.QueryLatestRequest(parent=NORTH, page_size=2)
    while True:
        page = await stub.QueryLatest(request, metadata=KEY)
        assert len(page.readings) <= 2
        found += [reading.sensor for reading in page.readings]
        request.page_token = page.next_page_token
        if not page.next_page_token:
            break
    assert found == sorted(f"{NORTH}/devices/{device}/sensors/load" for device in devices)
    first = await stub.QueryLatest(telemetry_pb2.QueryLatestRequest(parent=NORTH, page_size=2), metadata=KEY)
    other = telemetry_pb2.QueryLatestRequest(parent=NORTH, page_token=first.next_page_token, devices=[UPS])
    refused = await refusal_of(stub.QueryLatest(other, metadata=KEY))
    assert refused.reason == "PAGE_TOKEN_INVALID"


# Made-up readings


def simulate(service: RunningDevices, rate: int = 0, sensors: int = 0, secret: Any = KEY) -> Any:
    """The call."""
    request = telemetry_pb2.SimulateTelemetryRequest(measurements_per_second=rate, sensor_count=sensors)
    return telemetry_pb2_grpc.TelemetryServiceStub(service.channel).SimulateTelemetry(request, metadata=secret)


async def test_made_up_readings_come_at_the_pace_of_the_clock_to_any_key(service: RunningDevices, gate: RuleGate) -> None:
    gate.credentials["demo"] = MarkedKey(KeyKind.DEMO, PartnerId("nobody-consented-to"))
    call = simulate(service, 1_000, 250, secret=bearer("demo"))
    waiting = asyncio.create_task(call.read())
    found: list[telemetry_pb2.DeviceTelemetry] = []
    while sum(each.reading_count for each in found) < 1_000:
        await asyncio.sleep(0)
        if waiting.done():
            found += (await waiting).telemetry
            waiting = asyncio.create_task(call.read())
        elif sum(each.reading_count for each in found) < 1_000:
            _let_pass(gate, 0.001)
    waiting.cancel()
    call.cancel()
    passed = gate.clock.boot() - 1_000 * SECOND
    told = sum(each.reading_count for each in found)
    assert told <= passed * 1_000 // SECOND
    assert {each.device for each in found} == {f"customers/simulated/devices/device-{number:04}" for number in range(3)}
    assert all(len(each.block.values) == each.reading_count for each in found)


def _let_pass(gate: RuleGate, seconds: float) -> None:
    assert isinstance(gate.clock, FakeClock)
    gate.clock.advance(seconds)


@pytest.mark.parametrize(("rate", "sensors"), [(-1, 0), (1_000_001, 0), (0, -1), (0, 100_001)])
async def test_more_than_can_be_made_up_is_refused(service: RunningDevices, rate: int, sensors: int) -> None:
    refused = await refusal_of(simulate(service, rate, sensors).read())
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.fields == ("measurements_per_second" if rate else "sensor_count",)


async def _lost(service: RunningDevices, start: int, end: int, gateway: str) -> gap_pb2.Gap:
    """A gateway's loss in the log."""
    store = service.devices.store
    gap = _gap(gap_pb2.Gap.CAUSE_GATEWAY_LOST, START + start * SECOND, START + end * SECOND, gateway)
    span = (START + start * SECOND, START + end * SECOND - 1)
    row = {
        "seq": 0, "customer": "north", "data_class": "telemetry", "kind": "gap", "device": None, "min_time": span[0],
        "max_time": span[1], "span_class": 0, "take_time": START, "historical": False, "payload": gap.SerializeToString(),
    }  # fmt: skip

    def insert(connection: sa.Connection) -> None:
        # Below what the appender writes, so that it is none the wiser.
        row["seq"] = connection.scalar(sa.select(sa.func.coalesce(sa.func.min(tables.log.c.seq), 1) - 1))
        connection.execute(sa.insert(tables.log), row)

    await store.database.write(insert)
    return gap
