"""What the requests of TelemetryService ask, checked."""

from collections.abc import Iterable, Set
from dataclasses import dataclass

from google.protobuf.duration_pb2 import Duration

from consentry.devices.v1 import telemetry_pb2 as pb
from consentry_core.protocol.times import from_duration, from_timestamp
from consentry_core.values import names
from consentry_core.values.errors import InvalidArgument
from consentry_core.values.names import NamePattern
from consentry_devices.domain.inventory import sensor_path
from consentry_devices.history.ranges import SensorsByDevice
from consentry_devices.history.steps import Aggregate
from consentry_rule import CustomerId, Instant

_MOST_NAMES = 1_000
_SHORTEST_STEP = 1_000_000
_LONGEST_STEP = 2**63 - 1  # what times are kept in; longer is no other than that
_NANOS = 10**9
_MOST_PER_SECOND = 1_000_000
_MOST_SENSORS = 100_000

_AGGREGATES = {
    pb.QueryHistoryRequest.AGGREGATE_MIN: Aggregate.MIN,
    pb.QueryHistoryRequest.AGGREGATE_MAX: Aggregate.MAX,
    pb.QueryHistoryRequest.AGGREGATE_MEAN: Aggregate.MEAN,
    pb.QueryHistoryRequest.AGGREGATE_LAST: Aggregate.LAST,
    pb.QueryHistoryRequest.AGGREGATE_COUNT: Aggregate.COUNT,
}


@dataclass(frozen=True, slots=True)
class Steps:
    """In steps of so many nanoseconds, with what is to be said of each."""

    step: int
    aggregates: Set[Aggregate]


def customer_of(parent: str) -> CustomerId:
    """The customer that is asked about."""
    return CustomerId(names.CUSTOMER.parse(parent, "parent")[0])


def devices_and_sensors(
    customer: CustomerId, request: pb.QueryLatestRequest | pb.QueryHistoryRequest
) -> tuple[Set[str], Set[tuple[str, str]]]:
    """The devices, and the sensors with their devices, that are named; by id."""
    devices = {device for (device,) in _within(customer, names.DEVICE, request.devices, "devices")}
    sensors = {(device, sensor) for device, sensor in _within(customer, names.SENSOR, request.sensors, "sensors")}
    return devices, sensors


def paths(sensors: Iterable[tuple[str, str]]) -> Set[str]:
    """Sensors as `State.latest` takes them."""
    return {sensor_path(device, sensor) for device, sensor in sensors}


def by_device(devices: Set[str], sensors: Iterable[tuple[str, str]]) -> SensorsByDevice | None:
    """What is wanted of which device: the sensors named, of the devices named if there are any. None: nothing is named."""
    wanted: dict[str, set[str]] = {}
    for device, sensor in sensors:
        wanted.setdefault(device, set()).add(sensor)
    if wanted:
        return {device: asked for device, asked in wanted.items() if not devices or device in devices}
    return dict.fromkeys(devices) if devices else None


def time_range(request: pb.QueryHistoryRequest, now: Instant) -> tuple[Instant, Instant]:
    """From when on, and up to when."""
    if not request.HasField("start_time"):
        raise InvalidArgument("start_time", "is required", reason="TIME_MISSING")
    start = from_timestamp(request.start_time, "start_time")
    end = from_timestamp(request.end_time, "end_time") if request.HasField("end_time") else now
    if end < start:
        raise InvalidArgument("end_time", "must not be before start_time", reason="TIME_INVALID")
    return start, end


def steps_of(request: pb.QueryHistoryRequest) -> Steps | None:
    """The steps; None when every reading is asked for."""
    for index, aggregate in enumerate(request.aggregates):
        if aggregate not in _AGGREGATES:
            raise InvalidArgument(f"aggregates[{index}]", "must be MIN, MAX, MEAN, LAST or COUNT", reason="AGGREGATE_INVALID")
    if not request.HasField("step"):
        if request.aggregates:
            raise InvalidArgument("aggregates", "go with a step; say step as well, or leave them out", reason="STEP_MISSING")
        return None
    aggregates = {_AGGREGATES[aggregate] for aggregate in request.aggregates}
    return Steps(_step(request.step), aggregates or frozenset(Aggregate))


def simulation_of(request: pb.SimulateTelemetryRequest) -> tuple[int, int]:
    """Readings per second, and from how many sensors."""
    rate, sensor_count = request.measurements_per_second or 1_000, request.sensor_count or 100
    if not 1 <= rate <= _MOST_PER_SECOND:
        raise InvalidArgument(
            "measurements_per_second", f"must be 1 to {_MOST_PER_SECOND}, or 0 for 1000", reason="RATE_INVALID"
        )
    if not 1 <= sensor_count <= _MOST_SENSORS:
        raise InvalidArgument("sensor_count", f"must be 1 to {_MOST_SENSORS}, or 0 for 100", reason="SENSOR_COUNT_INVALID")
    return rate, sensor_count


def _step(duration: Duration) -> int:
    step = from_duration(duration)
    if step < _SHORTEST_STEP or not 0 <= duration.nanos < _NANOS:
        raise InvalidArgument("step", "must be at least 1 ms; leave it out for every reading", reason="STEP_INVALID")
    return min(step, _LONGEST_STEP)


def _within(customer: CustomerId, pattern: NamePattern, found: Iterable[str], field: str) -> list[tuple[str, ...]]:
    """The ids in names that must all be of this customer, the customer's left out."""
    parsed = [pattern.parse(name, f"{field}[{index}]") for index, name in enumerate(found)]
    if len(parsed) > _MOST_NAMES:
        raise InvalidArgument(field, f"must hold at most {_MOST_NAMES} names; ask several times", reason="TOO_MANY")
    for index, (owner, *_) in enumerate(parsed):
        if owner != customer:
            raise InvalidArgument(f"{field}[{index}]", f"must be of customers/{customer}, the parent", reason="NAME_INVALID")
    return [tuple(ids) for _, *ids in parsed]
