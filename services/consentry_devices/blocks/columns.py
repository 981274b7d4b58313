"""Blocks of readings as columns, without a loop over the readings.

On the wire a packed field of fixed-width numbers is a `bytes` field of the same number. So a block is read and written through
a *twin* of the public message whose columns are `bytes` (see `twins.py`), and numpy takes the bytes as they are.

A twin is blind to what a sender can do with the real type: of a column that comes in two pieces it sees the last, of elements
that come unpacked none, and unknown fields would travel on unseen. So blocks from outside go through `canonical` first, and
only its bytes are ever read through a twin. For 1,000 readings it takes some microseconds, so it is simply always done.
"""

import struct
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from google.protobuf.message import Message
from numpy.typing import NDArray

from consentry_core.values.errors import InvalidArgument
from consentry_core.values.names import resource_id
from consentry_core.values.reasons import ErrorReason
from consentry_devices.blocks import wire
from consentry_devices.blocks.twins import BLOCK_FIELD, TWIN_BLOCK, TWIN_TELEMETRY
from consentry_devices.blocks.wire import delimited
from consentry_devices.domain.limits import (
    READINGS_PER_BLOCK,
    SENSORS_PER_BLOCK,
    TEXT_CHARACTERS,
    check_count,
    check_text,
    check_time,
)
from consentry_rule import Instant

INDEX, TIME, VALUE = np.dtype("<u4"), np.dtype("<i8"), np.dtype("<f8")


class Text(NamedTuple):
    """One reading that is not a number."""

    sensor: int
    time: int
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """A block's content. Row i of the numbers is (sensors[indexes[i]], times[i], values[i]); columns have the same length."""

    sensors: tuple[str, ...]
    indexes: NDArray[np.uint32]
    times: NDArray[np.int64]
    values: NDArray[np.float64]
    texts: tuple[Text, ...] = ()

    def __len__(self) -> int:
        return len(self.values) + len(self.texts)

    def span(self) -> tuple[Instant, Instant]:
        """The earliest and the latest time. Of a table that is not empty."""
        times = [text.time for text in self.texts]
        if len(self.times):
            times += [int(self.times.min()), int(self.times.max())]
        return Instant(min(times)), Instant(max(times))


def canonical(block: Message) -> bytes:
    """The only bytes that a `TelemetryBlock` with this content is kept as: unknown fields gone, each column in one piece."""
    block.DiscardUnknownFields()
    return block.SerializeToString(deterministic=True)


def read(block: bytes, field: str = "block") -> Table:
    """The content of a canonical block. InvalidArgument when the columns are of unequal length."""
    return _table(TWIN_BLOCK.FromString(block), field)


def read_telemetry(payload: bytes) -> tuple[str, Table]:
    """The device's name, and the content, of a stored `DeviceTelemetry`."""
    telemetry = TWIN_TELEMETRY.FromString(payload)
    return telemetry.device, _table(telemetry.block)


def check(table: Table, now: Instant, field: str = "block") -> None:
    """Refuse what must not be stored, naming `field`. Whether the sensors are known is for those who know the inventory."""
    if len(table) == 0:
        raise InvalidArgument(field, "holds no reading; leave the block out", reason=ErrorReason.BLOCK_EMPTY)
    check_count(len(table), field, READINGS_PER_BLOCK)
    check_sensors(table.sensors, f"{field}.sensors")
    if len(table.indexes) and int(table.indexes.max()) >= len(table.sensors):
        raise _out_of_range(f"{field}.sensor_indexes")
    if not np.isfinite(table.values).all():
        raise InvalidArgument(
            f"{field}.values", "must be finite; leave absent readings out", reason=ErrorReason.VALUE_NOT_FINITE
        )
    for index, text in enumerate(table.texts):
        if text.sensor >= len(table.sensors):
            raise _out_of_range(f"{field}.texts[{index}].sensor_index")
        check_text(text.text, f"{field}.texts[{index}].text", TEXT_CHARACTERS)
    for time in table.span():
        check_time(time, f"{field}.times_unix_nano", now)


def check_sensors(sensors: Sequence[str], field: str = "block.sensors") -> None:
    """Refuse what are no ids, or too many, or not each only once."""
    check_count(len(sensors), field, SENSORS_PER_BLOCK)
    for index, sensor in enumerate(sensors):
        resource_id(sensor, f"{field}[{index}]")
    if len(set(sensors)) < len(sensors):
        raise InvalidArgument(field, "must name each sensor once", reason=ErrorReason.SENSOR_TWICE)


def write(table: Table) -> bytes:
    """The canonical block with this content."""
    return _block(table).SerializeToString(deterministic=True)  # type: ignore[no-any-return]


def encode(device: str, table: Table, *, historical: bool) -> bytes:
    """A serialised `DeviceTelemetry`. `device` is its name; the table must not be empty."""
    return enclose(device, write(table), len(table), table.span(), historical=historical)


def enclose(device: str, block: bytes, count: int, span: tuple[Instant, Instant], *, historical: bool) -> bytes:
    """A serialised `DeviceTelemetry`: a canonical block as it is, and all around it written here."""
    earliest, latest = span
    if not (earliest and latest and count):  # zeros are left out
        around = TWIN_TELEMETRY(
            device=device,
            reading_count=count,
            min_time_unix_nano=earliest,
            max_time_unix_nano=latest,
            historical=historical,
        )
        return around.SerializeToString() + delimited(BLOCK_FIELD, block)  # type: ignore[no-any-return]
    # The same by hand: of small blocks there are many, and making a message of each took longer than all else about it.
    head = (_named(device), wire.number(2, count), _TIMES.pack(3 << 3 | 1, earliest, 4 << 3 | 1, latest))
    return b"".join((*head, wire.number(5, 1) if historical else b"", delimited(BLOCK_FIELD, block)))


_TIMES = struct.Struct("<BqBq")


@lru_cache(maxsize=20_000)
def _named(device: str) -> bytes:
    return delimited(1, device.encode())


def since(payload: bytes, instant: Instant) -> bytes | None:
    """A serialised `DeviceTelemetry` from `instant` on: None when nothing is left, the same object when nothing is dropped."""
    return trim(payload, start=instant)


def trim(
    payload: bytes, *, start: Instant | None = None, end: Instant | None = None, sensors: Set[str] | None = None
) -> bytes | None:
    """A serialised `DeviceTelemetry` cut down to [start, end) and to these sensors; None when no reading is left.

    The same object when nothing is dropped. Sensors that no reading is left of are dropped as well.
    """
    telemetry = TWIN_TELEMETRY.FromString(payload)
    low = -(2**63) if start is None else max(start, -(2**63))
    high = 2**63 - 1 if end is None else end - 1
    names = telemetry.block.sensors
    within = low <= telemetry.min_time_unix_nano and telemetry.max_time_unix_nano <= high
    if within and (sensors is None or sensors >= set(names)):
        return payload
    if telemetry.max_time_unix_nano < low or telemetry.min_time_unix_nano > high:
        return None
    asked = np.fromiter((sensors is None or name in sensors for name in names), np.bool_, len(names))
    table = _only(_table(telemetry.block), asked, low, high)
    return encode(telemetry.device, table, historical=telemetry.historical) if len(table) else None


def newest(table: Table) -> dict[str, tuple[Instant, float | str]]:
    """Each sensor's newest reading; of those with the same time, the last."""
    indexes, rows = last_rows(table.indexes, table.times, len(table.sensors))
    found: dict[str, tuple[Instant, float | str]] = {
        table.sensors[index]: (Instant(time), value)
        for index, time, value in zip(indexes.tolist(), table.times[rows].tolist(), table.values[rows].tolist(), strict=True)
    }
    for index, time, text in table.texts:
        known = found.get(table.sensors[index])
        if known is None or time >= known[0]:
            found[table.sensors[index]] = (Instant(time), text)
    return found


def last_rows(
    indexes: NDArray[Any], times: NDArray[np.int64], sensors: int, starts: NDArray[np.int64] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The sensors that there are rows of, ascending, and each one's newest row; of those with the same time, the last.

    `starts`: where the rows of a table begin, of several with different sensors.
    """
    in_order = times[1:] >= times[:-1]
    if starts is not None:
        in_order[starts[1:] - 1] = True
    if bool(in_order.all()):  # as gateways send them
        last = np.full(sensors, -1)
        last[indexes] = np.arange(len(times))  # of a sensor's rows, the last one stays
        found = np.flatnonzero(last >= 0)
        return found, last[found]
    order = np.lexsort((times, indexes))
    ranked = indexes[order]
    is_last = np.append(ranked[1:] != ranked[:-1], True)
    return ranked[is_last].astype(np.int64), order[is_last]


def of_rows(rows: Iterable[tuple[str, Instant, float | str]]) -> Table:
    """A table of rows: sensor id, time, number or text."""
    indexes: dict[str, int] = {}
    numbers: list[tuple[int, int, float]] = []
    texts: list[Text] = []
    for sensor, time, value in rows:
        index = indexes.setdefault(sensor, len(indexes))
        if isinstance(value, str):
            texts.append(Text(index, time, value))
        else:
            numbers.append((index, time, value))
    columns = list(zip(*numbers, strict=True)) or [(), (), ()]
    return Table(
        tuple(indexes), np.array(columns[0], INDEX), np.array(columns[1], TIME), np.array(columns[2], VALUE), tuple(texts)
    )


def _only(table: Table, asked: NDArray[np.bool_], low: int, high: int) -> Table:
    keep = (table.times >= low) & (table.times <= high) & asked[table.indexes]
    texts = [text for text in table.texts if low <= text.time <= high and asked[text.sensor]]
    indexes = table.indexes[keep]
    used = np.zeros(len(table.sensors), np.bool_)
    used[indexes] = True
    used[[text.sensor for text in texts]] = True
    renumbered = (np.cumsum(used) - 1).astype(INDEX)
    return Table(
        tuple(name for name, is_used in zip(table.sensors, used.tolist(), strict=True) if is_used),
        renumbered[indexes],
        table.times[keep],
        table.values[keep],
        tuple(text._replace(sensor=int(renumbered[text.sensor])) for text in texts),
    )


def _table(block: Any, field: str = "block") -> Table:
    # A canonical block's columns are whole numbers of elements: the public type was parsed from them or wrote them.
    indexes = np.frombuffer(block.sensor_indexes, INDEX)
    times = np.frombuffer(block.times_unix_nano, TIME)
    values = np.frombuffer(block.values, VALUE)
    if not len(indexes) == len(times) == len(values):
        raise InvalidArgument(
            field,
            f"sensor_indexes, times_unix_nano and values must have the same length; they have {len(indexes)}, {len(times)}, "
            f"{len(values)}",
            reason=ErrorReason.COLUMNS_UNEQUAL,
        )
    texts = tuple(Text(text.sensor_index, text.time_unix_nano, text.text) for text in block.texts)
    return Table(tuple(block.sensors), indexes, times, values, texts)


def _block(table: Table) -> Any:
    block = TWIN_BLOCK(
        sensors=table.sensors,
        sensor_indexes=table.indexes.astype(INDEX, copy=False).tobytes(),
        times_unix_nano=table.times.astype(TIME, copy=False).tobytes(),
        values=table.values.astype(VALUE, copy=False).tobytes(),
    )
    for text in table.texts:
        block.texts.add(sensor_index=text.sensor, time_unix_nano=text.time, text=text.text)
    return block


def _out_of_range(field: str) -> InvalidArgument:
    return InvalidArgument(field, "must be below the number of sensors", reason=ErrorReason.SENSOR_INDEX_OUT_OF_RANGE)
