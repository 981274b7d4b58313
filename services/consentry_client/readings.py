"""Readings, as rows and as columns."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from consentry.devices.v1 import telemetry_pb2

_NANOS = 10**9


@dataclass(frozen=True, slots=True)
class Reading:
    """One reading. `device` and `sensor` are names; `time_unix_nano` is when it was measured, in ns since the Unix epoch, UTC.

    `value` is a number in the sensor's unit, or a text.
    """

    device: str
    sensor: str
    time_unix_nano: int
    value: float | str

    @property
    def time(self) -> datetime:
        """When it was measured, to the microsecond, in UTC."""
        return datetime_of(self.time_unix_nano)


@dataclass(frozen=True, slots=True)
class Columns:
    """Readings of one device as they came: row i is (sensors[sensor_indexes[i]], times_unix_nano[i], values[i]).

    `sensors` are ids, the last part of a sensor's name. Readings that are not numbers are not among them: see `texts`, whose
    rows are (sensor id, time, text).
    """

    sensors: Sequence[str]
    sensor_indexes: Sequence[int]
    times_unix_nano: Sequence[int]
    values: Sequence[float]
    texts: Sequence[tuple[str, int, str]]


@dataclass(frozen=True, slots=True, repr=False)
class DeviceReadings:
    """Readings of one device. Nothing is unpacked before it is asked for."""

    message: telemetry_pb2.DeviceTelemetry

    def __repr__(self) -> str:
        return f"DeviceReadings({self.device!r}, {len(self)} readings)"

    def __len__(self) -> int:
        return self.message.reading_count

    @property
    def device(self) -> str:
        """`customers/{customer}/devices/{device}`."""
        return self.message.device

    @property
    def customer(self) -> str:
        """`customers/{customer}`."""
        return "/".join(self.message.device.split("/")[:2])

    @property
    def historical(self) -> bool:
        """Whether the gateway sent them late, to fill in what was missed."""
        return self.message.historical

    def columns(self) -> Columns:
        """The readings as columns, without a copy of the numbers."""
        block = self.message.block
        texts = tuple((block.sensors[text.sensor_index], text.time_unix_nano, text.text) for text in block.texts)
        return Columns(block.sensors, block.sensor_indexes, block.times_unix_nano, block.values, texts)

    def readings(self) -> Iterator[Reading]:
        """The readings as rows: the numbers, then the texts."""
        block = self.message.block
        sensors = [f"{self.device}/sensors/{sensor}" for sensor in block.sensors]
        for index, time, value in zip(block.sensor_indexes, block.times_unix_nano, block.values, strict=True):
            yield Reading(self.device, sensors[index], time, value)
        for text in block.texts:
            yield Reading(self.device, sensors[text.sensor_index], text.time_unix_nano, text.text)


def reading_of(message: telemetry_pb2.Reading) -> Reading:
    """A row of `QueryLatest`."""
    time = message.time.seconds * _NANOS + message.time.nanos
    return Reading(message.device, message.sensor, time, message.text if message.HasField("text") else message.value)


def datetime_of(unix_nano: int) -> datetime:
    """An instant as Python has them."""
    return datetime.fromtimestamp(unix_nano // _NANOS, UTC).replace(microsecond=unix_nano % _NANOS // 1000)
