"""What a gateway knows: locations, devices, sensors, readings, and polls. Plain values, ids only.

Names with the customer in them are made on the wire.

A poll is what one look at one agent gave. Everything behind it (alarms, frames) works on polls, whether they come from a real
agent or from the simulator.
"""

import re
from dataclasses import dataclass
from enum import Enum
from typing import NewType

from consentry_rule import Instant

LocationId = NewType("LocationId", str)
DeviceId = NewType("DeviceId", str)
SensorId = NewType("SensorId", str)

Value = float | str
"""A reading's value: a number in the sensor's unit, or a text."""


class LocationKind(Enum):
    """What sort of place it is."""

    SITE = "site"
    BUILDING = "building"
    ROOM = "room"
    RACK = "rack"


class DeviceType(Enum):
    """What sort of equipment it is. UNSPECIFIED until the agent has answered."""

    UNSPECIFIED = "unspecified"
    UPS = "ups"
    RACK_PDU = "rack_pdu"
    PDU = "pdu"
    BATTERY_FRAME = "battery_frame"
    OUTLET_GROUP = "outlet_group"
    COOLING_UNIT = "cooling_unit"
    ENVIRONMENTAL_SENSOR = "environmental_sensor"


@dataclass(frozen=True, slots=True)
class Location:
    """A place that devices stand in. `parent` is None at the top."""

    id: LocationId
    display_name: str
    kind: LocationKind
    parent: LocationId | None = None


@dataclass(frozen=True, slots=True)
class Device:
    """A piece of equipment, or a part of one."""

    id: DeviceId
    display_name: str
    type: DeviceType = DeviceType.UNSPECIFIED
    model_name: str = ""
    serial_number: str = ""
    parent: DeviceId | None = None
    location: LocationId | None = None


@dataclass(frozen=True, slots=True)
class Limit:
    """A sensor's upper limit: an alarm is raised above `high` and cleared below `clear`, in the sensor's unit."""

    high: float
    clear: float


@dataclass(frozen=True, slots=True)
class Sensor:
    """One quantity of one device. `unit` in UCUM, empty for texts."""

    device: DeviceId
    id: SensorId
    display_name: str
    metric: str
    unit: str = ""
    limit: Limit | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read, and when."""

    sensor: Sensor
    time: Instant
    value: Value


@dataclass(frozen=True, slots=True)
class Poll:
    """One look at one agent. `device` is the device that the agent speaks for, `devices` it and its parts, parents first.

    When it was not `reachable` there are no readings, and the device is as it was last known.
    """

    time: Instant
    device: Device
    reachable: bool
    devices: tuple[Device, ...]
    readings: tuple[Reading, ...] = ()


_NOT_IN_AN_ID = re.compile(r"[^a-z0-9._-]+")
_LONGEST_ID = 63


def slug(text: str) -> str:
    """The text as a resource id; empty when nothing of it can stand in one."""
    return _NOT_IN_AN_ID.sub("-", text.lower())[:_LONGEST_ID].strip("._-")
