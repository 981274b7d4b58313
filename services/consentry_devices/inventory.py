"""What a customer has: locations, devices, sensors. And what changes when a gateway tells of some.

Ids are the last part of a name; parents, locations and devices are referred to by id. "" means none.
"""

from collections import ChainMap
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from consentry_core.errors import InvalidArgument
from consentry_devices.limits import NESTING
from consentry_rule import Instant


@dataclass(frozen=True, slots=True)
class Location:
    """A place. `kind` is the number of the API's `Location.Kind`."""

    id: str
    display_name: str
    kind: int
    parent: str


@dataclass(frozen=True, slots=True)
class Device:
    """A piece of equipment or a part of one. `type` is the number of the API's `Device.Type`; gateways are sorted."""

    id: str
    display_name: str
    type: int
    model_name: str
    serial_number: str
    parent: str
    location: str
    gateways: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sensor:
    """One quantity of one device."""

    device: str
    id: str
    display_name: str
    metric: str
    unit: str

    @property
    def path(self) -> str:
        """The part of its name behind `devices/`."""
        return sensor_path(self.device, self.id)


def sensor_path(device: str, sensor: str) -> str:
    """The part of a sensor's name behind `devices/`. What sensors are ordered by."""
    return f"{device}/sensors/{sensor}"


@dataclass(frozen=True, slots=True)
class InventoryChange:
    """Things as they are from `time` on; told by a gateway, they are those that may have changed."""

    time: Instant
    locations: tuple[Location, ...] = ()
    devices: tuple[Device, ...] = ()
    sensors: tuple[Sensor, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.locations or self.devices or self.sensors)


SensorKey = tuple[str, str]
"""Device and sensor, by id."""


@dataclass(frozen=True, slots=True)
class Inventory:
    """Everything that one customer has, by id. Changed only by `InventoryDraft.adopt`."""

    locations: dict[str, Location] = field(default_factory=dict)
    devices: dict[str, Device] = field(default_factory=dict)
    sensors: dict[SensorKey, Sensor] = field(default_factory=dict)


class InventoryDraft:
    """An inventory as one frame of a gateway would make it. Nothing reaches the inventory itself before `adopt`."""

    def __init__(self, inventory: Inventory, gateway: str) -> None:
        self._gateway = gateway
        self._locations = ChainMap[str, Location]({}, inventory.locations)
        self._devices = ChainMap[str, Device]({}, inventory.devices)
        self._sensors = ChainMap[SensorKey, Sensor]({}, inventory.sensors)

    def tell(self, told: InventoryChange) -> None:
        """What the gateway tells. InvalidArgument when a parent is neither known nor told before."""
        for index, location in enumerate(told.locations):
            at = f"frame.inventory.locations[{index}].parent"
            _check_parents(location, self._locations, at)
            _put(self._locations, location.id, location)
        for index, device in enumerate(told.devices):
            at = f"frame.inventory.devices[{index}]"
            if device.location and device.location not in self._locations:
                raise _unknown(f"{at}.location", "location")
            _check_parents(device, self._devices, f"{at}.parent")
            known = self._devices.get(device.id)
            _put(self._devices, device.id, replace(device, gateways=known.gateways if known else ()))
            self.collected(device.id, f"{at}.name")
        for index, sensor in enumerate(told.sensors):
            self.collected(sensor.device, f"frame.inventory.sensors[{index}].name")
            _put(self._sensors, (sensor.device, sensor.id), sensor)

    def collected(self, device: str, at: str) -> None:
        """The gateway collects from this device. InvalidArgument when it is not known."""
        known = self._devices.get(device)
        if known is None:
            raise _unknown(at, "device")
        if self._gateway not in known.gateways:
            self._devices[device] = replace(known, gateways=tuple(sorted((*known.gateways, self._gateway))))

    def check_sensors(self, device: str, sensors: tuple[str, ...], at: str) -> None:
        """InvalidArgument when one of the device's sensors is not known."""
        for index, sensor in enumerate(sensors):
            if (device, sensor) not in self._sensors:
                raise _unknown(f"{at}[{index}]", "sensor")

    def change(self, time: Instant) -> InventoryChange:
        """What is really new or changed."""
        return InventoryChange(
            time,
            tuple(self._locations.maps[0].values()),
            tuple(self._devices.maps[0].values()),
            tuple(self._sensors.maps[0].values()),
        )

    def adopt(self) -> None:
        """Make the inventory what the draft is."""
        for draft in (self._locations, self._devices, self._sensors):
            draft.maps[1].update(draft.maps[0])  # type: ignore[arg-type] # each of its own kind
            draft.maps[0].clear()


_K = TypeVar("_K")
_V = TypeVar("_V")
_Nested = TypeVar("_Nested", Location, Device)


def parents_first(things: Iterable[_Nested]) -> tuple[_Nested, ...]:
    """One customer's locations or devices, each after what it is part of, else in the order in which they come."""
    by_id = {thing.id: thing for thing in things}

    def depth(thing: _Nested) -> int:
        above, steps = by_id.get(thing.parent), 0
        while above is not None and steps <= NESTING:
            above, steps = by_id.get(above.parent), steps + 1
        return steps

    return tuple(sorted(by_id.values(), key=depth))


def _put(things: ChainMap[_K, _V], key: _K, thing: _V) -> None:
    if things.get(key) != thing:
        things[key] = thing


def _check_parents(thing: _Nested, things: ChainMap[str, _Nested], at: str) -> None:
    parent, depth = thing.parent, 0
    while parent:
        depth += 1
        above = things.get(parent)
        if above is None:
            raise _unknown(at, "parent")
        if parent == thing.id or depth > NESTING:
            raise InvalidArgument(
                at, f"must not lead back to the thing itself, nor nest deeper than {NESTING}", reason="PARENT_INVALID"
            )
        parent = above.parent


def _unknown(at: str, what: str) -> InvalidArgument:
    return InvalidArgument(
        at, f"the {what} is not known; tell of it in the inventory of this frame or one before", reason="UNKNOWN_REFERENCE"
    )
