"""A frame that the service refused, mended: what the service named is left out, and all else goes out.

| what the refusal names | what is left out |
| --- | --- |
| an alarm | the alarm |
| where a device or a location stands (its parent, its location) | that it stands there |
| a device | it, its sensors, its parts, and their readings and alarms |
| a sensor | it and its readings |
| a location | it, and that anything stands in it |
| one name among those that are gone | the name |
| readings: their times, or that the service does not know what they are of | all readings of the frame |
| a sensor among readings, once the customer's inventory is known to be full | that sensor's readings |
| the inventory or the alarms as such: there are too many | the inventory, or the alarms |
| what is said to be lost | that: it is told later |

None of these: the whole frame, which the caller empties.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from consentry.devices.v1 import gateway_pb2

Frame = gateway_pb2.PublishRequest.Frame

_FIELD = re.compile(r"frame\.(inventory\.)?([a-z_]+)\[(\d+)\](?:\.(.+))?")
_SENSOR = re.compile(r"block\.(sensors|texts)\[(\d+)\].*")
FULL, UNKNOWN, BAD_TIME = "CUSTOMER_FULL", "UNKNOWN_REFERENCE", "TIME_INVALID"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What was left out. `names`: of what must not be told like this again; `field`: only this of it.

    `readings`: whether any were left out. `forgotten`: the service may not know what it was told.
    """

    what: str
    names: tuple[str, ...] = ()
    field: str = ""
    readings: bool = False
    forgotten: bool = False


def leave_out(frame: Frame, field: str, reason: str, *, full: bool) -> LeftOut | None:
    """Take out of a frame what a refusal names; None when that is nothing in particular.

    `full`: the service has said before that the inventory of this frame is too much.
    """
    if reason == FULL or field in {"frame.alarms", "frame.inventory"}:
        what = "alarms" if field == "frame.alarms" else "inventory"
        if not frame.HasField("inventory") if what == "inventory" else not frame.alarms:
            return None
        names = () if what == "inventory" else tuple(alarm.name for alarm in frame.alarms)
        frame.ClearField(what)  # type: ignore[arg-type] # one of the two
        return LeftOut(what, names)
    found = _FIELD.fullmatch(field)
    if found is None:
        return None
    of_inventory, kind, place, rest = found[1], found[2], int(found[3]), found[4] or ""
    things: Any = getattr(frame.inventory if of_inventory else frame, kind, ())
    if place >= len(things):
        return None
    if kind == "telemetry":
        return _of_telemetry(frame, place, rest, reason, full=full)
    if kind == "alarms":
        name = things[place].name
        del things[place]
        return LeftOut(name, (name,), forgotten=reason == UNKNOWN)
    if kind.startswith("deleted_"):
        name = things[place]
        del things[place]
        return LeftOut(f"the deletion of {name}")
    name = things[place].name
    if rest in {"parent", "location"}:
        things[place].ClearField(rest)
        return LeftOut(f"{rest} of {name}", (name,), rest, forgotten=reason == UNKNOWN)
    if kind == "locations":
        _without_location(frame, name)
        return LeftOut(name, (name,))
    of = _without_device if kind == "devices" else _without_sensor
    return LeftOut(name, (name,), readings=of(frame, name), forgotten=reason == UNKNOWN)


def _of_telemetry(frame: Frame, place: int, rest: str, reason: str, *, full: bool) -> LeftOut:
    device, block = frame.telemetry[place].device, frame.telemetry[place].block
    named = _SENSOR.fullmatch(rest)
    forgotten = reason == UNKNOWN and not full
    if reason == BAD_TIME or forgotten:
        frame.ClearField("telemetry")
        return LeftOut("the readings", readings=True, forgotten=forgotten)
    if named is not None:
        index = int(named[2])
        index = block.texts[index].sensor_index if named[1] == "texts" and index < len(block.texts) else index
        if index < len(block.sensors):
            name = f"{device}/sensors/{block.sensors[index]}"
            _without_sensor(frame, name)
            return LeftOut(name, (name,), readings=True)
    del frame.telemetry[place]
    return LeftOut(f"the readings of {device}", (device,), readings=True)


def _without_location(frame: Frame, name: str) -> None:
    _keep(frame.inventory.locations, lambda location: location.name != name)
    for location in frame.inventory.locations:
        if location.parent == name:
            location.ClearField("parent")
    for device in frame.inventory.devices:
        if device.location == name:
            device.ClearField("location")


def _without_device(frame: Frame, name: str) -> bool:
    gone = {name}
    for device in frame.inventory.devices:  # parents come first
        if device.parent in gone:
            gone.add(device.name)
    before = len(frame.telemetry)
    _keep(frame.inventory.devices, lambda device: device.name not in gone)
    _keep(frame.inventory.sensors, lambda sensor: sensor.name.rpartition("/sensors/")[0] not in gone)
    _keep(frame.alarms, lambda alarm: alarm.device not in gone)
    _keep(frame.telemetry, lambda block: block.device not in gone)
    return len(frame.telemetry) < before


def _without_sensor(frame: Frame, name: str) -> bool:
    _keep(frame.inventory.sensors, lambda sensor: sensor.name != name)
    device, _, sensor = name.rpartition("/sensors/")
    left = False
    for told in frame.telemetry:
        if told.device == device and sensor in told.block.sensors:
            left = True
            _without_row(told.block, sensor)
    _keep(frame.telemetry, lambda told: bool(told.block.sensors))
    return left


def _without_row(block: Any, sensor: str) -> None:
    names = list(block.sensors)
    kept = [name for name in names if name != sensor]
    places = {names.index(name): place for place, name in enumerate(kept)}
    rows = [row for row in zip(block.sensor_indexes, block.times_unix_nano, block.values, strict=True) if row[0] in places]
    texts = [text for text in block.texts if text.sensor_index in places]
    for text in texts:
        text.sensor_index = places[text.sensor_index]
    block.sensors[:] = kept
    block.sensor_indexes[:] = [places[row[0]] for row in rows]
    block.times_unix_nano[:] = [row[1] for row in rows]
    block.values[:] = [row[2] for row in rows]
    _replace(block.texts, texts)


def _keep(things: Any, wanted: Callable[[Any], bool]) -> None:
    _replace(things, [thing for thing in things if wanted(thing)])


def _replace(things: Any, kept: Iterable[Any]) -> None:
    kept = [type(thing).FromString(thing.SerializeToString()) for thing in kept]
    del things[:]
    things.extend(kept)
