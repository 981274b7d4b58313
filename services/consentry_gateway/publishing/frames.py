"""Polls and alarms as frames of the API, and what the service has been told already.

One frame is about one agent, so that one that the service refuses takes nothing of another agent with it. Inventory goes in the
same frame as the first readings that need it, locations in a frame of their own before all others, and only what is new or
changed. What is gone goes in a frame of its own.

What the service could only refuse (times that nobody believes, names that are none, values that are no numbers) is not written.
What it refused all the same is left out for an hour, or until it changes, and with a device all that is its.
"""

import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from consentry.devices.v1 import gateway_pb2, inventory_pb2
from consentry_core.values import names
from consentry_core.values.clock import SECOND
from consentry_core.values.taken_in import believed
from consentry_gateway.outbox.pending import Draft
from consentry_gateway.outbox.spans import Span, joined
from consentry_gateway.publishing import messages
from consentry_gateway.publishing.messages import Thing, name_of, well_named
from consentry_gateway.reading.alarms import Alarm, AlarmId, dated
from consentry_gateway.reading.model import Device, DeviceId, Location, LocationId, Poll, Reading, Sensor
from consentry_rule import CustomerId, Instant

LOCATIONS = ""
"""What the frame with the locations is about."""
LOCATIONS_GONE = "/"
"""What the frame with the locations that are gone is about; no device has this id."""

_READINGS_PER_FRAME = 20_000  # below a megabyte; the service takes four
_HOUR = 3_600 * SECOND
_MOST_NAMED = 1_000
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _LeftOut:
    """A thing that was refused, or a field of it, since when that counts (None: since the next poll)."""

    thing: Thing
    field: str
    since: Instant | None = None


class FrameWriter:
    """Writes frames for one customer. What was written counts as told only once `told` is called."""

    def __init__(self, customer: CustomerId, locations: Sequence[Location]) -> None:
        self._customer = customer
        self._locations = tuple(locations)
        self._told: dict[str, dict[str, Thing]] = {}
        self._alarms: dict[str, dict[str, Alarm]] = {}
        self._owed: dict[str, dict[str, Alarm]] = {}
        self._left_out: dict[str, _LeftOut] = {}
        self._impossible: set[str] = set()

    def write_locations(self) -> list[Draft]:
        """The frame with the locations, unless they were told."""
        if not self._new(LOCATIONS, self._locations):
            return []
        change = inventory_pb2.InventoryChange(
            locations=[messages.location(self._customer, place) for place in self._locations]
        )
        return [Draft(LOCATIONS, gateway_pb2.PublishRequest.Frame(inventory=change).SerializeToString())]

    def write(self, poll: Poll, alarms: Iterable[Alarm], lost: Span | None = None) -> list[Draft]:
        """The frames for a poll and the alarms that it changed; those that were written before and never told come too.

        `lost` is what is to be told as lost before.
        """
        about = poll.device.id
        self.owe(about, alarms)
        drafts = [] if lost is None else [Draft(about, span=lost)]
        things, found = self._wanted(poll)
        told = gateway_pb2.PublishRequest.Frame(
            alarms=[messages.alarm(self._customer, alarm) for alarm in self._tellable(poll)]
        )
        self._add_inventory(told.inventory, self._new(about, things))
        if not told.inventory.ByteSize():
            told.ClearField("inventory")
        for start in range(0, len(found), _READINGS_PER_FRAME):
            readings = found[start : start + _READINGS_PER_FRAME]
            telemetry = gateway_pb2.PublishRequest.Frame(telemetry=messages.blocks(self._customer, readings))
            drafts.append(Draft(about, told.SerializeToString(), telemetry.SerializeToString(), span_of(readings)))
            told.Clear()
        if told.ByteSize():
            drafts.append(Draft(about, told.SerializeToString()))
        return drafts

    def write_gone(self, about: str, devices: Iterable[DeviceId]) -> list[Draft]:
        """The frame that tells that devices are gone, which takes their sensors along."""
        gone = [names.DEVICE.format(self._customer, device) for device in devices]
        change = inventory_pb2.InventoryChange(deleted_devices=gone)
        return [Draft(about, gateway_pb2.PublishRequest.Frame(inventory=change).SerializeToString())]

    def write_locations_gone(self, locations: Sequence[LocationId]) -> list[Draft]:
        """The frame that tells that locations are gone, if any are."""
        if not locations:
            return []
        gone = [names.LOCATION.format(self._customer, location) for location in locations]
        change = inventory_pb2.InventoryChange(deleted_locations=gone)
        return [Draft(LOCATIONS_GONE, gateway_pb2.PublishRequest.Frame(inventory=change).SerializeToString())]

    def drop(self, about: DeviceId, devices: Iterable[DeviceId]) -> list[AlarmId]:
        """Devices are gone: tell no more of them and of their alarms, which are returned."""
        gone = set(devices)
        told = self._told.get(about, {})
        self._told[about] = {
            name: thing
            for name, thing in told.items()
            if not ((isinstance(thing, Device) and thing.id in gone) or (isinstance(thing, Sensor) and thing.device in gone))
        }
        dropped = []
        for alarms in (self._alarms.get(about, {}), self._owed.get(about, {})):
            for alarm in [alarm for alarm in alarms.values() if alarm.device in gone]:
                del alarms[alarm.id]
                dropped.append(alarm.id)
        return dropped

    def owe(self, about: str, alarms: Iterable[Alarm]) -> None:
        """Alarms that are to be told with the next frame about an agent."""
        self._owed.setdefault(about, {}).update((alarm.id, alarm) for alarm in alarms)

    def redate(self, now: Instant) -> None:
        """Let what began at a time that nobody believes begin now."""
        for alarms in self._owed.values():
            alarms |= {id_: dated(alarm, now) for id_, alarm in alarms.items()}

    def owed(self, about: DeviceId) -> tuple[Alarm, ...]:
        """The alarms that are still to be told of an agent."""
        return tuple(self._owed.get(about, {}).values())

    def told_locations(self) -> None:
        """The locations are safely on their way."""
        self._remember(LOCATIONS, self._locations)

    def told(self, poll: Poll) -> None:
        """What was written for this poll is safely on its way."""
        about = poll.device.id
        told: dict[str, Alarm] = {alarm.id: alarm for alarm in self._tellable(poll)}
        self._remember(about, self._wanted(poll)[0])
        owed = self._owed.pop(about, {})
        self._owed[about] = {id_: alarm for id_, alarm in owed.items() if id_ not in told}
        self._alarms.setdefault(about, {}).update(told)

    def refused(self, about: str) -> None:
        """The service refused a frame about an agent: tell everything about it again with the next one, and the locations."""
        self._told.pop(about, None)
        self._told.pop(LOCATIONS, None)
        self._owed[about] = self._alarms.pop(about, {}) | self._owed.get(about, {})

    def leave_out(self, about: str, refused: Iterable[str], field: str = "") -> None:
        """The service refused things of an agent, by name, or a field of each: that is not told for an hour, as it is."""
        for name in refused:
            alarm = self._alarms.get(about, {}).pop(name.rpartition("/")[2], None) if "/alarms/" in name else None
            if alarm is not None:
                self._owed.setdefault(about, {}).setdefault(alarm.id, alarm)
            thing = alarm or self._told.get(about, {}).pop(name, None)
            if thing is not None and about != LOCATIONS:
                self._left_out[name] = _LeftOut(thing, field)

    def forget(self) -> None:
        """The service may know nothing: tell everything again."""
        self._left_out.clear()
        for about in {*self._told, *self._alarms}:
            self.refused(about)

    def _wanted(self, poll: Poll) -> tuple[list[Thing], list[Reading]]:
        """What of a poll the service can be told: devices and sensors, and readings."""
        things: list[Thing] = []
        out: set[DeviceId] = set()
        for device in poll.devices:
            kept = self._kept(device, poll.time)
            if kept is None or device.parent in out:
                out.add(device.id)
            else:
                things.append(kept)
        good: set[Sensor] = set()
        for sensor in dict.fromkeys(reading.sensor for reading in poll.readings):
            if sensor.device not in out and self._kept(sensor, poll.time) is not None:
                good.add(sensor)
                things.append(sensor)
        return things, [reading for reading in poll.readings if reading.sensor in good and self._possible(reading, poll.time)]

    def _possible(self, reading: Reading, now: Instant) -> bool:
        if not isinstance(reading.value, str) and not math.isfinite(reading.value):
            self._name(name_of(self._customer, reading.sensor), f"{reading.value} is no number")
            return False
        return believed(reading.time, now)

    def _kept(self, thing: Thing, now: Instant) -> Thing | None:
        """The thing, or as much of it as can be told."""
        name = name_of(self._customer, thing)
        out = self._left_out.get(name)
        if out is not None:
            out.since = now if out.since is None else out.since
            if out.thing == thing and out.since <= now < out.since + _HOUR:
                if not out.field or not isinstance(thing, Device):
                    return None
                return replace(thing, parent=None) if out.field == "parent" else replace(thing, location=None)
            del self._left_out[name]
        if not well_named(self._customer, thing):
            self._name(name, "its name is none that the service takes")
            return None
        return thing

    def _name(self, name: str, why: str) -> None:
        """Say once what cannot be told."""
        if name not in self._impossible and len(self._impossible) < _MOST_NAMED:
            self._impossible.add(name)
            _log.error("%s is left out: %s", name, why)

    def _tellable(self, poll: Poll) -> list[Alarm]:
        """The owed alarms whose device is told of before them: of a part that is not seen at the moment nobody knows."""
        about = poll.device.id
        known = {thing.id for thing in self._wanted(poll)[0] if isinstance(thing, Device)}
        known |= {thing.id for thing in self._told.get(about, {}).values() if isinstance(thing, Device)}
        return [
            alarm
            for alarm in self._owed.get(about, {}).values()
            if alarm.device in known and believed(alarm.activate_time, poll.time) and self._kept(alarm, poll.time) is not None
        ]

    def _new(self, about: str, things: Iterable[Thing]) -> list[Thing]:
        known = self._told.get(about, {})
        return list(dict.fromkeys(thing for thing in things if known.get(name_of(self._customer, thing)) != thing))

    def _remember(self, about: str, things: Iterable[Thing]) -> None:
        self._told.setdefault(about, {}).update((name_of(self._customer, thing), thing) for thing in things)

    def _add_inventory(self, change: inventory_pb2.InventoryChange, things: Iterable[Thing]) -> None:
        for thing in things:
            if isinstance(thing, Device):
                change.devices.append(messages.device(self._customer, thing))
            elif isinstance(thing, Sensor):
                change.sensors.append(messages.sensor(self._customer, thing))


def span_of(readings: Sequence[Reading]) -> Span | None:
    """When they were measured."""
    return joined(Span(reading.time, reading.time) for reading in readings)
