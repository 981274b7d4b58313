"""TelemetryService: what was measured. Nothing from before the consent opens."""

from collections.abc import AsyncIterator, Iterable, Set
from typing import Any

from consentry.devices.v1 import telemetry_pb2 as pb
from consentry_core import names
from consentry_core.clock import Clock
from consentry_core.errors import InvalidArgument
from consentry_core.names import NamePattern
from consentry_core.rpc.times import from_timestamp
from consentry_devices.held import of_blocks
from consentry_devices.history import History, SensorsByDevice
from consentry_devices.rpc.converters import to_reading
from consentry_devices.rpc.messages import join
from consentry_devices.rpc.reading import hands_out, let_in
from consentry_devices.state import State
from consentry_rule import CustomerId, DataClass, Instant

_MOST_NAMES = 1_000


class TelemetryServicer:
    """See the proto. Registered by `messages.add_servicer`: history is answered with stored bytes."""

    def __init__(self, state: State, history: History, clock: Clock) -> None:
        self._state = state
        self._history = history
        self._clock = clock

    async def QueryLatest(self, request: pb.QueryLatestRequest, context: Any) -> pb.QueryLatestResponse:  # noqa: N802 - the proto's name
        """See the proto."""
        customer = CustomerId(names.CUSTOMER.parse(request.parent, "parent")[0])
        devices = {device for (device,) in _within(customer, names.DEVICE, request.devices, "devices")}
        sensors = {(device, sensor) for device, sensor in _within(customer, names.SENSOR, request.sensors, "sensors")}
        call = await let_in(customer, DataClass.TELEMETRY)
        found = await self._state.latest(customer, devices, sensors)
        opened = call.opened_from(customer)
        readings = [reading for reading in found if reading.time >= opened]
        hands_out(call, (customer, DataClass.TELEMETRY), (reading.device for reading in readings), readings=len(readings))
        return pb.QueryLatestResponse(readings=[to_reading(customer, reading) for reading in readings])

    async def QueryHistory(self, request: pb.QueryHistoryRequest, context: Any) -> AsyncIterator[bytes]:  # noqa: N802 - the proto's name
        """See the proto."""
        customer = CustomerId(names.CUSTOMER.parse(request.parent, "parent")[0])
        wanted = _wanted(customer, request)
        call = await let_in(customer, DataClass.TELEMETRY)
        start, end = self._range(request)
        async for chunk in self._history.read(customer, wanted, max(start, call.opened_from(customer)), end):
            # After the last `await`: what the consent opens now.
            telemetry = chunk.trimmed(call.opened_from(customer))
            if telemetry:
                call.next_write(frozenset({(customer, DataClass.TELEMETRY)}))
                call.hands_out(of_blocks(telemetry))
                yield join(pb.QueryHistoryResponse.TELEMETRY_FIELD_NUMBER, telemetry)

    def _range(self, request: pb.QueryHistoryRequest) -> tuple[Instant, Instant]:
        if not request.HasField("start_time"):
            raise InvalidArgument("start_time", "is required", reason="TIME_MISSING")
        start = from_timestamp(request.start_time, "start_time")
        end = from_timestamp(request.end_time, "end_time") if request.HasField("end_time") else self._clock.now()
        if end < start:
            raise InvalidArgument("end_time", "must not be before start_time", reason="TIME_INVALID")
        return start, end


def _within(customer: CustomerId, pattern: NamePattern, found: Iterable[str], field: str) -> list[tuple[str, ...]]:
    """The ids in names that must all be of this customer, the customer's left out."""
    parsed = [pattern.parse(name, f"{field}[{index}]") for index, name in enumerate(found)]
    if len(parsed) > _MOST_NAMES:
        raise InvalidArgument(field, f"must hold at most {_MOST_NAMES} names; ask several times", reason="TOO_MANY")
    for index, (owner, *_) in enumerate(parsed):
        if owner != customer:
            raise InvalidArgument(f"{field}[{index}]", f"must be of customers/{customer}, the parent", reason="NAME_INVALID")
    return [ids for _, *ids in parsed]  # type: ignore[misc]


def _wanted(customer: CustomerId, request: pb.QueryHistoryRequest) -> SensorsByDevice | None:
    devices: Set[str] = {device for (device,) in _within(customer, names.DEVICE, request.devices, "devices")}
    sensors: dict[str, set[str]] = {}
    for device, sensor in _within(customer, names.SENSOR, request.sensors, "sensors"):
        sensors.setdefault(device, set()).add(sensor)
    if sensors:
        return {device: asked for device, asked in sensors.items() if not devices or device in devices}
    return dict.fromkeys(devices) if devices else None
