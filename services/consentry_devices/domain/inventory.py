"""What a customer has: locations, devices, sensors. The draft of what a gateway's frame makes of it is `inventory_draft`.

Ids are the last part of a name; parents, locations and devices are referred to by id. "" means none.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar, assert_never

from consentry_devices.domain.limits import NESTING
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


SensorKey = tuple[str, str]
"""Device and sensor, by id."""


@dataclass(frozen=True, slots=True)
class InventoryChange:
    """Things as they are from `time` on; told by a gateway, they are those that may have changed.

    What is `deleted` is gone after everything else. Told by a gateway, the sensors of a deleted device need not be among it.
    """

    time: Instant
    locations: tuple[Location, ...] = ()
    devices: tuple[Device, ...] = ()
    sensors: tuple[Sensor, ...] = ()
    deleted_locations: tuple[str, ...] = ()
    deleted_devices: tuple[str, ...] = ()
    deleted_sensors: tuple[SensorKey, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.locations or self.devices or self.sensors or self.deletes)

    @property
    def deletes(self) -> bool:
        """Whether anything goes."""
        return bool(self.deleted_locations or self.deleted_devices or self.deleted_sensors)


@dataclass(slots=True)
class Inventory:
    """Everything that one customer has, by id. Changed only by `InventoryDraft.adopt`. `size`: of its ids and texts."""

    locations: dict[str, Location] = field(default_factory=dict)
    devices: dict[str, Device] = field(default_factory=dict)
    sensors: dict[SensorKey, Sensor] = field(default_factory=dict)
    size: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        for things in (self.locations, self.devices, self.sensors):
            self.size += sum(map(size_of, things.values()))


def size_of(thing: Location | Device | Sensor) -> int:
    """The characters of ids and texts."""
    match thing:
        case Location():
            return len(thing.id) + len(thing.display_name) + len(thing.parent)
        case Sensor():
            return len(thing.device) + len(thing.id) + len(thing.display_name) + len(thing.metric) + len(thing.unit)
        case Device():
            texts = (thing.id, thing.display_name, thing.model_name, thing.serial_number, thing.parent, thing.location)
            return sum(map(len, texts)) + sum(map(len, thing.gateways))
        case _:
            assert_never(thing)


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
