"""An inventory as one frame of a gateway would make it: what is told is checked against what is there.

Deletions, which come after everything else that the frame tells of the inventory:

* What is not there is gone already: nothing happens. So a gateway that cannot know may say so again.
* What still holds something that stays is not deleted: a device with parts, a location with locations or devices in it.
* What a frame tells of, it does not delete: one of the two is a mistake.
* A device that other gateways collect from too stays, with its sensors: it is only this gateway's no more.
"""

from collections.abc import Hashable, Iterator
from dataclasses import replace
from typing import Generic, TypeVar

from consentry_core.values.errors import InvalidArgument
from consentry_devices.domain.inventory import Device, Inventory, InventoryChange, Location, Sensor, SensorKey, size_of
from consentry_devices.domain.limits import (
    DEVICES_OF_CUSTOMER,
    INVENTORY_OF_CUSTOMER_BYTES,
    LOCATIONS_OF_CUSTOMER,
    NESTING,
    SENSORS_OF_CUSTOMER,
    check_growth,
)
from consentry_rule import Instant

_AT = "frame.inventory"

_K = TypeVar("_K", bound=Hashable)
_V = TypeVar("_V", Location, Device, Sensor)
_Nested = TypeVar("_Nested", Location, Device)


class InventoryDraft:
    """Nothing reaches the inventory itself before `adopt`."""

    def __init__(self, inventory: Inventory, gateway: str) -> None:
        self._gateway = gateway
        self._inventory = inventory
        self._locations = _Things[str, Location](inventory.locations)
        self._devices = _Things[str, Device](inventory.devices)
        self._sensors = _Things[SensorKey, Sensor](inventory.sensors)

    def tell(self, told: InventoryChange) -> None:
        """What the gateway tells. InvalidArgument when a parent is neither known nor told before, or a deletion is refused."""
        for index, location in enumerate(told.locations):
            _check_parents(location, self._locations, f"{_AT}.locations[{index}].parent")
            self._locations.put(location.id, location)
        for index, device in enumerate(told.devices):
            at = f"{_AT}.devices[{index}]"
            if device.location and self._locations.get(device.location) is None:
                raise _unknown(f"{at}.location", "location")
            _check_parents(device, self._devices, f"{at}.parent")
            known = self._devices.get(device.id)
            self._devices.put(device.id, replace(device, gateways=known.gateways if known else ()))
            self.collected(device.id, f"{at}.name")
        for index, sensor in enumerate(told.sensors):
            self.collected(sensor.device, f"{_AT}.sensors[{index}].name")
            self._sensors.put((sensor.device, sensor.id), sensor)
        if told.deletes:
            _check_not_told(told)
            self._delete(told)

    def collected(self, device: str, at: str) -> None:
        """The gateway collects from this device. InvalidArgument when it is not known."""
        known = self._devices.get(device)
        if known is None:
            raise _unknown(at, "device")
        if self._gateway not in known.gateways:
            self._devices.put(device, replace(known, gateways=tuple(sorted((*known.gateways, self._gateway)))))

    def check_sensors(self, device: str, sensors: tuple[str, ...], at: str) -> None:
        """InvalidArgument when one of the device's sensors is not known."""
        for index, sensor in enumerate(sensors):
            if self._sensors.get((device, sensor)) is None:
                raise _unknown(f"{at}[{index}]", "sensor")

    def change(self, time: Instant) -> InventoryChange:
        """What is really new or changed, and all that is gone."""
        return InventoryChange(
            time,
            tuple(self._locations.new.values()),
            tuple(self._devices.new.values()),
            tuple(self._sensors.new.values()),
            tuple(sorted(self._locations.gone)),
            tuple(sorted(self._devices.gone)),
            tuple(sorted(self._sensors.gone)),
        )

    def check_size(self) -> None:
        """InvalidArgument when the customer's things become too many, or their texts too long."""
        for things, most, what in (
            (self._locations, LOCATIONS_OF_CUSTOMER, "locations"),
            (self._devices, DEVICES_OF_CUSTOMER, "devices"),
            (self._sensors, SENSORS_OF_CUSTOMER, "sensors"),
        ):
            check_growth(len(things), things.before, f"{_AT}.{what}", most=most, what=what)
        before = self._inventory.size
        size = before + self._grows()
        check_growth(size, before, _AT, most=INVENTORY_OF_CUSTOMER_BYTES, what="characters of inventory")

    def _grows(self) -> int:
        return self._locations.grows() + self._devices.grows() + self._sensors.grows()

    def adopt(self) -> None:
        """Make the inventory what the draft is."""
        self._inventory.size += self._grows()
        self._locations.adopt()
        self._devices.adopt()
        self._sensors.adopt()

    def _delete(self, told: InventoryChange) -> None:
        for key in told.deleted_sensors:
            if self._is_only_ours(key[0]):
                self._sensors.remove(key)
        for id_ in told.deleted_devices:
            if self._is_only_ours(id_):
                self._devices.remove(id_)
            elif known := self._devices.get(id_):
                others = tuple(gateway for gateway in known.gateways if gateway != self._gateway)
                self._devices.put(id_, replace(known, gateways=others))
        for id_ in told.deleted_locations:
            self._locations.remove(id_)
        if self._devices.gone:
            for key in [key for key in self._sensors if key[0] in self._devices.gone]:
                self._sensors.remove(key)
        self._check_nothing_is_left_behind(told)

    def _is_only_ours(self, device: str) -> bool:
        known = self._devices.get(device)
        return known is not None and set(known.gateways) <= {self._gateway}

    def _check_nothing_is_left_behind(self, told: InventoryChange) -> None:
        for device in self._devices.values() if self._devices.gone or self._locations.gone else ():
            if device.parent in self._devices.gone:
                raise _not_empty(f"{_AT}.deleted_devices[{told.deleted_devices.index(device.parent)}]", f"device {device.id}")
            if device.location in self._locations.gone:
                at = f"{_AT}.deleted_locations[{told.deleted_locations.index(device.location)}]"
                raise _not_empty(at, f"device {device.id}")
        for location in self._locations.values() if self._locations.gone else ():
            if location.parent in self._locations.gone:
                at = f"{_AT}.deleted_locations[{told.deleted_locations.index(location.parent)}]"
                raise _not_empty(at, f"location {location.id}")


class _Things(Generic[_K, _V]):
    """Things by key: what is `new` or changed and what is `gone`, over what was there before."""

    def __init__(self, before: dict[_K, _V]) -> None:
        self._before: dict[_K, _V] = before
        self.new: dict[_K, _V] = {}
        self.gone: set[_K] = set()

    @property
    def before(self) -> int:
        """How many there were."""
        return len(self._before)

    def __len__(self) -> int:
        return len(self._before) - len(self.gone) + sum(key not in self._before for key in self.new)

    def grows(self) -> int:
        """By how much their texts become longer."""
        new = sum(map(size_of, self.new.values()))
        changed = (self._before[key] for key in self.new if key in self._before)
        return new - sum(map(size_of, changed)) - sum(size_of(self._before[key]) for key in self.gone)

    def get(self, key: _K) -> _V | None:
        if key in self.gone:
            return None
        return self.new.get(key) or self._before.get(key)

    def put(self, key: _K, thing: _V) -> None:
        if self.get(key) != thing:
            self.new[key] = thing

    def remove(self, key: _K) -> None:
        self.new.pop(key, None)
        if key in self._before:
            self.gone.add(key)

    def __iter__(self) -> Iterator[_K]:
        yield from (key for key in self._before if key not in self.gone)
        yield from (key for key in self.new if key not in self._before)

    def values(self) -> Iterator[_V]:
        for key in self:
            yield self.new.get(key) or self._before[key]

    def adopt(self) -> None:
        self._before.update(self.new)
        for key in self.gone:
            del self._before[key]
        self.new, self.gone = {}, set()


def _check_parents(thing: _Nested, things: _Things[str, _Nested], at: str) -> None:
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


def _check_not_told(told: InventoryChange) -> None:
    told_devices = {device.id for device in told.devices} | {sensor.device for sensor in told.sensors}
    told_sensors = {(sensor.device, sensor.id) for sensor in told.sensors}
    told_locations = {location.id for location in told.locations}
    told_of: list[tuple[str, int]] = [
        *(("deleted_locations", index) for index, id_ in enumerate(told.deleted_locations) if id_ in told_locations),
        *(("deleted_devices", index) for index, id_ in enumerate(told.deleted_devices) if id_ in told_devices),
        *(("deleted_sensors", index) for index, key in enumerate(told.deleted_sensors) if key in told_sensors),
    ]
    for field, index in told_of:
        raise InvalidArgument(
            f"{_AT}.{field}[{index}]",
            "must not be told of in the same frame; to make it anew, tell of it in the next one",
            reason="TOLD_AND_DELETED",
        )


def _unknown(at: str, what: str) -> InvalidArgument:
    return InvalidArgument(
        at, f"the {what} is not known; tell of it in the inventory of this frame or one before", reason="UNKNOWN_REFERENCE"
    )


def _not_empty(at: str, holds: str) -> InvalidArgument:
    return InvalidArgument(
        at, f"still holds the {holds}; delete or move that in the same frame or one before", reason="NOT_EMPTY"
    )
