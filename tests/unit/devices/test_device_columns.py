"""Blocks as columns: what comes back is what went in, and nothing else comes in."""

import math
import re
import time

import numpy as np
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from hypothesis import example, given, settings
from hypothesis import strategies as st

from consentry.devices.v1 import telemetry_pb2
from consentry_core.values.errors import InvalidArgument
from consentry_devices.blocks import columns
from consentry_devices.blocks.intake import take
from consentry_devices.blocks.twins import BLOCK_FIELD, TWIN_BLOCK, TWIN_STEPS, TWIN_TELEMETRY
from consentry_devices.blocks.wire import delimited, varint
from consentry_rule import Instant
from support.clocks import START
from support.texts import is_plain

DEVICE = "customers/north/devices/ups"

ids = st.text("abcdefghij0123456789", min_size=1, max_size=5)
times = st.integers(-(2**63), 2**63 - 1)
values = st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(codec="utf-8").filter(is_plain), max_size=10)


@st.composite
def blocks(draw: st.DrawFn, *, time: st.SearchStrategy[int] = times) -> telemetry_pb2.TelemetryBlock:
    """Blocks with readings, of the right form."""
    sensors = draw(st.lists(ids, min_size=1, max_size=5, unique=True))
    index = st.integers(0, len(sensors) - 1)
    numbers = draw(st.lists(st.tuples(index, time, values), max_size=20))
    told = draw(st.lists(st.tuples(index, time, texts), min_size=0 if numbers else 1, max_size=3))
    return telemetry_pb2.TelemetryBlock(
        sensors=sensors,
        sensor_indexes=[row[0] for row in numbers],
        times_unix_nano=[row[1] for row in numbers],
        values=[row[2] for row in numbers],
        texts=[telemetry_pb2.TelemetryBlock.Text(sensor_index=i, time_unix_nano=t, text=text) for i, t, text in told],
    )


Row = tuple[str, int, float | str]


def rows(block: telemetry_pb2.TelemetryBlock) -> list[Row]:
    """The readings, numbers first, read with the public type."""
    numbers = zip(block.sensor_indexes, block.times_unix_nano, block.values, strict=True)
    return [
        *((block.sensors[index], time, value) for index, time, value in numbers),
        *((block.sensors[text.sensor_index], text.time_unix_nano, text.text) for text in block.texts),
    ]


def encoded(block: telemetry_pb2.TelemetryBlock, *, historical: bool = False) -> bytes:
    """The block as it is stored."""
    kept = columns.canonical(block)
    table = columns.read(kept)
    return columns.enclose(DEVICE, kept, len(table), table.span(), historical=historical)


def _fields(message: Descriptor) -> list[tuple[str, int, object, bool]]:
    return [
        (field.name, field.number, _fields(field.message_type) if field.message_type else field.type, field.is_repeated)
        for field in message.fields
    ]


def _as_twin(fields: list[tuple[str, int, object, bool]]) -> list[tuple[str, int, object, bool]]:
    kinds = FieldDescriptor
    fixed = {kinds.TYPE_FIXED32, kinds.TYPE_FIXED64, kinds.TYPE_SFIXED64, kinds.TYPE_DOUBLE}
    return [
        (name, number, FieldDescriptor.TYPE_BYTES, False)
        if repeated and not isinstance(kind, list) and kind in fixed
        else (name, number, _as_twin(kind) if isinstance(kind, list) else kind, repeated)
        for name, number, kind, repeated in fields
    ]


def test_the_twins_are_the_public_messages_with_columns_as_bytes() -> None:
    assert _fields(TWIN_BLOCK.DESCRIPTOR) == _as_twin(_fields(telemetry_pb2.TelemetryBlock.DESCRIPTOR))
    assert _fields(TWIN_TELEMETRY.DESCRIPTOR) == _as_twin(_fields(telemetry_pb2.DeviceTelemetry.DESCRIPTOR))
    assert _fields(TWIN_STEPS.DESCRIPTOR) == _as_twin(_fields(telemetry_pb2.DeviceSteps.DESCRIPTOR))
    assert telemetry_pb2.DeviceTelemetry.BLOCK_FIELD_NUMBER == BLOCK_FIELD


@given(blocks())
def test_an_honest_block_is_kept_as_it_came(block: telemetry_pb2.TelemetryBlock) -> None:
    came = block.SerializeToString()
    kept = columns.canonical(block)
    assert kept == came
    assert columns.write(columns.read(kept)) == came


@given(blocks(), st.booleans())
def test_what_is_stored_is_what_the_public_type_would_write(block: telemetry_pb2.TelemetryBlock, historical: bool) -> None:
    seen = [time for _, time, _ in rows(block)]
    assert encoded(block, historical=historical) == telemetry_pb2.DeviceTelemetry(
        device=DEVICE,
        reading_count=len(seen),
        min_time_unix_nano=min(seen),
        max_time_unix_nano=max(seen),
        historical=historical,
        block=block,
    ).SerializeToString(deterministic=True)


def _smuggled() -> dict[str, bytes]:
    honest = telemetry_pb2.TelemetryBlock(sensors=["a", "b"], sensor_indexes=[0, 1], times_unix_nano=[1, 2], values=[1.0, 2.0])
    sensors = telemetry_pb2.TelemetryBlock(sensors=["a", "b"]).SerializeToString()
    first = telemetry_pb2.TelemetryBlock(sensor_indexes=[0], times_unix_nano=[1], values=[1.0]).SerializeToString()
    second = telemetry_pb2.TelemetryBlock(sensor_indexes=[1], times_unix_nano=[2], values=[2.0]).SerializeToString()
    unpacked = (
        sensors
        + b"".join(varint(2 << 3 | 5) + number.to_bytes(4, "little") for number in (0, 1))
        + b"".join(varint(3 << 3 | 1) + number.to_bytes(8, "little") for number in (1, 2))
        + b"".join(varint(4 << 3 | 1) + np.float64(number).tobytes() for number in (1.0, 2.0))
    )
    return {
        "split columns": sensors + first + second,
        "unpacked elements": unpacked,
        "other order of fields": first + sensors + second,
        "unknown field": honest.SerializeToString() + delimited(999, b"payload"),
        "unknown field in a text": honest.SerializeToString() + delimited(5, b"\x19" + bytes(8) + delimited(999, b"payload")),
        "length of more bytes than needed": b"\x0a\x81\x00a" + honest.SerializeToString()[3:],
    }


@pytest.mark.parametrize("case", _smuggled())
def test_smuggled_bytes_are_brought_into_the_one_form(case: str) -> None:
    raw = _smuggled()[case]
    block = telemetry_pb2.TelemetryBlock.FromString(raw)
    kept = columns.canonical(block)
    assert kept != raw
    assert b"payload" not in kept
    again = telemetry_pb2.TelemetryBlock.FromString(kept)
    assert rows(again) == rows(block)
    assert [(row[0], row[1], row[2]) for row in rows(again)][:2] == [("a", 1, 1.0), ("b", 2, 2.0)]
    table = columns.read(kept)
    assert (table.indexes.tolist(), table.times.tolist(), table.values.tolist()) == ([0, 1], [1, 2], [1.0, 2.0])


@given(blocks(time=st.integers(0, 20)), st.integers(-1, 21), st.integers(-1, 21), st.none() | st.sets(ids))
@example(telemetry_pb2.TelemetryBlock(sensors=["a"], sensor_indexes=[0], times_unix_nano=[5], values=[1.0]), 5, 5, None)
def test_trimming_leaves_exactly_what_is_asked_for(
    block: telemetry_pb2.TelemetryBlock, start: int, end: int, sensors: set[str] | None
) -> None:
    payload = encoded(block, historical=True)
    wanted = [row for row in rows(block) if start <= row[1] < end and (sensors is None or row[0] in sensors)]
    cut = columns.trim(payload, start=Instant(start), end=Instant(end), sensors=sensors)
    if not wanted:
        assert cut is None
        return
    assert cut is not None
    left = telemetry_pb2.DeviceTelemetry.FromString(cut)
    assert rows(left.block) == wanted
    assert (left.device, left.historical, left.reading_count) == (DEVICE, True, len(wanted))
    assert (left.min_time_unix_nano, left.max_time_unix_nano) == (min(r[1] for r in wanted), max(r[1] for r in wanted))
    if len(wanted) < len(rows(block)):
        assert {block.sensors[i] for i in range(len(block.sensors))} >= set(left.block.sensors) == {row[0] for row in wanted}
        assert cut == encoded(left.block, historical=True)


@given(blocks(time=st.integers(0, 20)), st.integers(-1, 21))
def test_since_drops_what_is_older_and_hands_on_what_has_nothing_older(
    block: telemetry_pb2.TelemetryBlock, instant: int
) -> None:
    payload = encoded(block)
    left = columns.since(payload, Instant(instant))
    wanted = [row for row in rows(block) if row[1] >= instant]
    assert (left is payload) == (len(wanted) == len(rows(block)))
    assert (left is None) == (not wanted)
    if left is not None:
        assert rows(telemetry_pb2.DeviceTelemetry.FromString(left).block) == wanted


@given(blocks(time=st.integers(0, 5)))
def test_newest_is_the_last_of_the_latest(block: telemetry_pb2.TelemetryBlock) -> None:
    expected: dict[str, tuple[int, float | str]] = {}
    for sensor, time_, value in rows(block):
        if sensor not in expected or time_ >= expected[sensor][0]:
            expected[sensor] = (time_, value)
    assert columns.newest(columns.read(columns.canonical(block))) == expected


def _spoil(block: telemetry_pb2.TelemetryBlock, how: str) -> None:
    match how:
        case "unequal":
            block.values.append(1.0)
        case "not finite":
            block.values[:] = [math.nan] * len(block.values)
        case "early" if block.times_unix_nano:
            block.times_unix_nano[0] = 1
        case "late" if block.times_unix_nano:
            block.times_unix_nano[-1] = START + 10**12
        case "index" if block.sensor_indexes:
            block.sensor_indexes[0] = len(block.sensors)
        case "twice" if block.sensors:
            block.sensors.append(block.sensors[0])
        case "no id" if block.sensors:
            block.sensors[0] = "No id"
        case "empty":
            block.Clear()


@given(
    st.lists(
        st.tuples(
            blocks(time=st.integers(START, START + 5)) | blocks(time=st.just(START)),
            st.sampled_from(["", "", "", "unequal", "not finite", "early", "late", "index", "twice", "no id", "empty"]),
        ),
        max_size=5,
    )
)
def test_blocks_together_hold_what_each_holds_and_are_refused_for_what_each_is(
    told: list[tuple[telemetry_pb2.TelemetryBlock, str]],
) -> None:
    for block, how in told:
        _spoil(block, how)
    kept = [columns.canonical(block) for block, _ in told]
    fields = [f"blocks[{place}]" for place in range(len(kept))]
    expected: list[object] = []
    refused = ""
    try:
        for one, field in zip(kept, fields, strict=True):
            table = columns.read(one, field)
            columns.check(table, START, field)
            expected.append((table.sensors, len(table), table.span(), columns.newest(table)))
    except InvalidArgument as error:
        refused = str(error)
    if refused:
        with pytest.raises(InvalidArgument, match=re.escape(refused)):
            take(kept, START, fields)
    else:
        taken = take(kept, START, fields)
        newest = [{sensor: (time_, value) for sensor, time_, value in of.newest} for of in taken]
        assert [(of.sensors, of.count, of.span, told) for of, told in zip(taken, newest, strict=True)] == expected


@given(st.lists(st.tuples(ids, times, values | texts), min_size=1))
def test_a_table_of_rows_holds_the_rows(told: list[tuple[str, Instant, float | str]]) -> None:
    block = telemetry_pb2.TelemetryBlock.FromString(columns.write(columns.of_rows(told)))
    assert sorted(rows(block), key=repr) == sorted(told, key=repr)


@given(blocks(), st.sampled_from(["sensor_indexes", "times_unix_nano", "values"]))
def test_columns_of_unequal_length_are_refused(block: telemetry_pb2.TelemetryBlock, column: str) -> None:
    getattr(block, column).append(0)
    with pytest.raises(InvalidArgument, match="same length"):
        columns.read(columns.canonical(block))


@given(blocks(time=st.integers(START, START + 10**9)))
def test_readings_of_now_are_believed(block: telemetry_pb2.TelemetryBlock) -> None:
    columns.check(columns.read(columns.canonical(block)), START)


def test_a_blocks_numbers_must_be_finite() -> None:
    for value in (math.nan, math.inf, -math.inf):
        with pytest.raises(InvalidArgument, match="finite"):
            columns.check(columns.of_rows([("a", START, 1.0), ("a", START, value)]), START)


@settings(max_examples=20)
@given(blocks())
def test_reading_changes_nothing(block: telemetry_pb2.TelemetryBlock) -> None:
    table = columns.read(columns.canonical(block))
    assert not table.values.flags.writeable


def test_a_thousand_readings_take_microseconds_not_milliseconds() -> None:
    block = telemetry_pb2.TelemetryBlock(
        sensors=[f"s{i}" for i in range(10)],
        sensor_indexes=[i % 10 for i in range(1000)],
        times_unix_nano=[START + i for i in range(1000)],
        values=[float(i) for i in range(1000)],
    )

    def once() -> float:
        begin = time.perf_counter()
        kept = columns.canonical(block)
        (taken,) = take([kept], START, ["block"])
        columns.enclose(DEVICE, kept, taken.count, taken.span, historical=False)
        return time.perf_counter() - begin

    # The best of many: what it costs, not what else the machine does. A loop over the readings would take 500 us and more.
    assert min(once() for _ in range(200)) < 300e-6


@pytest.mark.parametrize("historical", [False, True])
@pytest.mark.parametrize("span", [(0, 0), (-7, 0), (-7, -1), (1, 2**62)])
@pytest.mark.parametrize("count", [1, 127, 128, 10_000])
def test_what_is_written_around_a_block_is_what_protobuf_writes(count: int, span: tuple[int, int], historical: bool) -> None:
    block = columns.write(columns.of_rows([("a", Instant(5), 1.0)]))
    expected = telemetry_pb2.DeviceTelemetry(
        device="customers/n/devices/ü",
        reading_count=count,
        min_time_unix_nano=span[0],
        max_time_unix_nano=span[1],
        historical=historical,
        block=telemetry_pb2.TelemetryBlock.FromString(block),
    )
    instants = Instant(span[0]), Instant(span[1])
    written = columns.enclose("customers/n/devices/ü", block, count, instants, historical=historical)
    assert written == expected.SerializeToString(deterministic=True)
