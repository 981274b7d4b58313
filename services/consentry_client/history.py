"""Answers about the past: tables of readings or of steps, and gaps."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from google.protobuf.timestamp_pb2 import Timestamp

from consentry.devices.v1 import gap_pb2, telemetry_pb2
from consentry_client.readings import DeviceReadings, datetime_of

_NANOS = 10**9


class Aggregate(Enum):
    """What can be computed of the readings in a step."""

    MIN = telemetry_pb2.QueryHistoryRequest.AGGREGATE_MIN
    MAX = telemetry_pb2.QueryHistoryRequest.AGGREGATE_MAX
    MEAN = telemetry_pb2.QueryHistoryRequest.AGGREGATE_MEAN
    LAST = telemetry_pb2.QueryHistoryRequest.AGGREGATE_LAST
    COUNT = telemetry_pb2.QueryHistoryRequest.AGGREGATE_COUNT


@dataclass(frozen=True, slots=True)
class HistoryGap:
    """Part of the range is missing. Comes before everything else.

    `cause`: `NOT_KEPT` (older than what the service keeps), `GATEWAY_LOST` (by the gateway of that id), ... From
    `start_unix_nano` on, up to and without `end_unix_nano`; None where that is not known.
    """

    customer: str
    cause: str
    start_unix_nano: int | None
    end_unix_nano: int | None
    gateway: str


@dataclass(frozen=True, slots=True)
class Step:
    """What one sensor's readings within one step come to; None: not asked for. `time_unix_nano`: when the step begins."""

    device: str
    sensor: str
    time_unix_nano: int
    min: float | None
    max: float | None
    mean: float | None
    last: float | None
    count: int | None

    @property
    def time(self) -> datetime:
        """When the step begins, to the microsecond, in UTC."""
        return datetime_of(self.time_unix_nano)


@dataclass(frozen=True, slots=True)
class StepColumns:
    """Steps of one device as they came: row i is (sensors[sensor_indexes[i]], times_unix_nano[i], ...).

    `sensors` are ids, the last part of a sensor's name. What was not asked for is empty.
    """

    sensors: Sequence[str]
    sensor_indexes: Sequence[int]
    times_unix_nano: Sequence[int]
    mins: Sequence[float]
    maxs: Sequence[float]
    means: Sequence[float]
    lasts: Sequence[float]
    counts: Sequence[int]


@dataclass(frozen=True, slots=True, repr=False)
class DeviceSteps:
    """Steps of one device, by time, then by sensor. Nothing is unpacked before it is asked for."""

    message: telemetry_pb2.DeviceSteps

    def __repr__(self) -> str:
        return f"DeviceSteps({self.device!r}, {len(self)} steps)"

    def __len__(self) -> int:
        return len(self.message.times_unix_nano)

    @property
    def device(self) -> str:
        """`customers/{customer}/devices/{device}`."""
        return self.message.device

    def columns(self) -> StepColumns:
        """The steps as columns, without a copy of the numbers."""
        of = self.message
        return StepColumns(
            of.sensors, of.sensor_indexes, of.times_unix_nano, of.mins, of.maxs, of.means, of.lasts, of.counts
        )  # fmt: skip

    def steps(self) -> Iterator[Step]:
        """The steps as rows."""
        of = self.message
        sensors = [f"{self.device}/sensors/{sensor}" for sensor in of.sensors]
        nothing = [None] * len(self)
        columns = (of.mins or nothing, of.maxs or nothing, of.means or nothing, of.lasts or nothing, of.counts or nothing)
        for index, time, *values in zip(of.sensor_indexes, of.times_unix_nano, *columns, strict=True):
            yield Step(self.device, sensors[index], time, *values)


def readings_of(message: telemetry_pb2.QueryHistoryResponse) -> Iterator[DeviceReadings | HistoryGap]:
    """What one piece of an answer without steps holds."""
    yield from map(_gap_of, message.gaps)
    yield from map(DeviceReadings, message.telemetry)


def steps_of(message: telemetry_pb2.QueryHistoryResponse) -> Iterator[DeviceSteps | HistoryGap]:
    """What one piece of an answer in steps holds."""
    yield from map(_gap_of, message.gaps)
    yield from map(DeviceSteps, message.steps)


def _gap_of(gap: gap_pb2.Gap) -> HistoryGap:
    known = gap_pb2.Gap.Cause.DESCRIPTOR.values_by_number.get(gap.cause)
    cause = "UNSPECIFIED" if known is None else known.name.removeprefix("CAUSE_")  # a newer service's
    start, end = (_nanos(getattr(gap, field)) if gap.HasField(field) else None for field in ("start_time", "end_time"))
    return HistoryGap(gap.customer, cause, start, end, gap.gateway)


def _nanos(time: Timestamp) -> int:
    return time.seconds * _NANOS + time.nanos
