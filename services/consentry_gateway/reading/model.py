"""What a gateway knows: locations, devices, sensors, readings, and polls. Plain values, ids only.

Names with the customer in them are made on the wire.

A poll is what one look at one agent gave. Everything behind it (alarms, frames) works on polls, whether they come from a real
agent or from the simulator.
"""

import hashlib
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
    """A sensor's limits, in its unit: an alarm is raised above `high` and cleared below `clear`, and likewise at the low end.

    None: there is no such limit.
    """

    high: float | None = None
    clear: float | None = None
    low: float | None = None
    low_clear: float | None = None


class Severity(Enum):
    """How bad it is; the names are those of the API's `Alarm.Severity`."""

    OK = "ok"
    INFO = "info"
    WARNING = "warning"
    UNKNOWN = "unknown"
    INITIALIZE = "initialize"
    FAIL = "fail"
    CRITICAL = "critical"
    ERROR = "error"


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
class Trouble:
    """An entry of a device's own list of what is wrong with it. `condition` tells it from the others of the device."""

    device: DeviceId
    list: str
    condition: str
    label: str
    message: str
    severity: Severity = Severity.WARNING


@dataclass(frozen=True, slots=True)
class Poll:
    """One look at one agent. `device` is the device that the agent speaks for, `devices` it and its parts, parents first.

    * When it was not `reachable` there are no readings, and the device is as it was last known.
    * `complete` False: something that it has could not be read, so that a part that is not seen may well be there.
    * `unlisted`: states that it gave a number for which nobody here knows; they are no reading, and hold no alarm either.
    * `troubles`: what its own lists name; `lists` are the (device, list) that were read to their end, so that what one of them
      does not name any more is over.
    """

    time: Instant
    device: Device
    reachable: bool
    devices: tuple[Device, ...]
    readings: tuple[Reading, ...] = ()
    complete: bool = True
    unlisted: tuple[Sensor, ...] = ()
    troubles: tuple[Trouble, ...] = ()
    lists: tuple[tuple[DeviceId, str], ...] = ()


_NOT_IN_AN_ID = re.compile(r"[^a-z0-9._-]+")
_LONGEST_ID = 63


def slug(text: str) -> str:
    """The text as a resource id; empty when nothing of it can stand in one."""
    return _NOT_IN_AN_ID.sub("-", text.lower())[:_LONGEST_ID].strip("._-")


def bounded_id(text: str) -> str:
    """The text itself where it can be an id; else one made of it that is always the same and that no other text has."""
    if text == slug(text):
        return text
    mark = hashlib.sha256(text.encode()).hexdigest()[:12]
    return f"{slug(text)[:50].rstrip('._-')}-{mark}".lstrip("-")
