"""Polls made by hand."""

from collections.abc import Mapping
from types import MappingProxyType

from consentry_gateway.reading.model import Device, DeviceId, DeviceType, Limit, Poll, Reading, Sensor, SensorId, Value, slug
from consentry_rule import Instant

UPS = Device(DeviceId("ups"), "UPS", DeviceType.UPS, "Model", "Serial")
START = 1_760_000_000 * 10**9


def at(seconds: float) -> Instant:
    """A moment, in seconds after an arbitrary one."""
    return Instant(START + round(seconds * 10**9))


def reading(metric: str, value: Value, seconds: float = 0, *, limit: Limit | None = None, device: Device = UPS) -> Reading:
    """A reading of the sensor that is called after its metric."""
    return Reading(Sensor(device.id, SensorId(slug(metric)), metric, metric, "", limit), at(seconds), value)


def poll(
    seconds: float,
    values: Mapping[str, Value] = MappingProxyType({}),
    *,
    limit: Limit | None = None,
    device: Device = UPS,
    reachable: bool = True,
) -> Poll:
    """A poll of one device: values by metric."""
    readings = [reading(metric, value, seconds, limit=limit, device=device) for metric, value in values.items()]
    return Poll(at(seconds), device, reachable, (device,), tuple(readings))
