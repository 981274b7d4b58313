"""Polls and alarms as frames of the API, and what the service has been told already.

Texts are made plain here (`consentry_core.values.text`), wherever they come from: the service refuses those that are not, and
one agent's odd name would stop all that the frame holds.

One frame is about one agent, so that one that the service refuses takes nothing of another agent with it. Inventory goes in the
same frame as the first readings that need it, locations in a frame of their own before all others, and only what is new or
changed. What is gone goes in a frame of its own.
"""

from collections.abc import Iterable, Iterator, Sequence

from consentry.devices.v1 import alarms_pb2, gateway_pb2, inventory_pb2, telemetry_pb2
from consentry_core.protocol.times import optional_timestamp, to_timestamp
from consentry_core.values import names
from consentry_core.values.text import cleaned
from consentry_gateway.outbox.pending import Draft, Span, joined
from consentry_gateway.reading.alarms import Alarm, AlarmId
from consentry_gateway.reading.model import Device, DeviceId, Location, LocationId, Poll, Reading, Sensor
from consentry_rule import CustomerId

LOCATIONS = ""
"""What the frame with the locations is about."""
LOCATIONS_GONE = "/"
"""What the frame with the locations that are gone is about; no device has this id."""

_READINGS_PER_FRAME = 20_000  # below a megabyte; the service takes four

_Thing = Location | Device | Sensor


class FrameWriter:
    """Writes frames for one customer. What was written counts as told only once `told` is called."""

    def __init__(self, customer: CustomerId, locations: Sequence[Location]) -> None:
        self._customer = customer
        self._locations = tuple(locations)
        self._told: dict[str, dict[str, _Thing]] = {}
        self._alarms: dict[str, dict[str, Alarm]] = {}
        self._owed: dict[str, dict[str, Alarm]] = {}

    def write_locations(self) -> list[Draft]:
        """The frame with the locations, unless they were told."""
        if not self._new(LOCATIONS, self._locations):
            return []
        change = inventory_pb2.InventoryChange(locations=[self._location(place) for place in self._locations])
        return [Draft(LOCATIONS, gateway_pb2.PublishRequest.Frame(inventory=change).SerializeToString())]

    def write(self, poll: Poll, alarms: Iterable[Alarm], lost: Span | None = None) -> list[Draft]:
        """The frames for a poll and the alarms that it changed; those that were written before and never told come too.

        `lost` is what is to be told as lost before.
        """
        about = poll.device.id
        self.owe(about, alarms)
        drafts = [] if lost is None else [Draft(about, span=lost)]
        told = gateway_pb2.PublishRequest.Frame(alarms=[self._alarm(alarm) for alarm in self._tellable(poll)])
        self._add_inventory(told.inventory, self._new(about, (*poll.devices, *(reading.sensor for reading in poll.readings))))
        if not told.inventory.ByteSize():
            told.ClearField("inventory")
        for start in range(0, len(poll.readings), _READINGS_PER_FRAME):
            readings = poll.readings[start : start + _READINGS_PER_FRAME]
            telemetry = gateway_pb2.PublishRequest.Frame(telemetry=self._blocks(readings))
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
        self._remember(about, (*poll.devices, *(reading.sensor for reading in poll.readings)))
        owed = self._owed.pop(about, {})
        self._owed[about] = {id_: alarm for id_, alarm in owed.items() if id_ not in told}
        self._alarms.setdefault(about, {}).update(told)

    def refused(self, about: str) -> None:
        """The service refused a frame about an agent: tell everything about it again with the next one, and the locations."""
        self._told.pop(about, None)
        self._told.pop(LOCATIONS, None)
        self._owed[about] = self._alarms.pop(about, {}) | self._owed.get(about, {})

    def forget(self) -> None:
        """The service may know nothing: tell everything again."""
        for about in {*self._told, *self._alarms}:
            self.refused(about)

    def _tellable(self, poll: Poll) -> list[Alarm]:
        """The owed alarms whose device is told of before them: of a part that is not seen at the moment nobody knows."""
        about = poll.device.id
        known = {device.id for device in poll.devices}
        known |= {thing.id for thing in self._told.get(about, {}).values() if isinstance(thing, Device)}
        return [alarm for alarm in self._owed.get(about, {}).values() if alarm.device in known]

    def _new(self, about: str, things: Iterable[_Thing]) -> list[_Thing]:
        known = self._told.get(about, {})
        return list(dict.fromkeys(thing for thing in things if known.get(self._name(thing)) != thing))

    def _remember(self, about: str, things: Iterable[_Thing]) -> None:
        self._told.setdefault(about, {}).update((self._name(thing), thing) for thing in things)

    def _name(self, thing: _Thing) -> str:
        match thing:
            case Location():
                return names.LOCATION.format(self._customer, thing.id)
            case Device():
                return names.DEVICE.format(self._customer, thing.id)
            case Sensor():
                return names.SENSOR.format(self._customer, thing.device, thing.id)

    def _add_inventory(self, change: inventory_pb2.InventoryChange, things: Iterable[_Thing]) -> None:
        for thing in things:
            if isinstance(thing, Device):
                change.devices.append(self._device(thing))
            elif isinstance(thing, Sensor):
                change.sensors.append(self._sensor(thing))

    def _location(self, place: Location) -> inventory_pb2.Location:
        return inventory_pb2.Location(
            name=self._name(place),
            display_name=cleaned(place.display_name),
            kind=inventory_pb2.Location.Kind.Value(f"KIND_{place.kind.name}"),
            parent="" if place.parent is None else names.LOCATION.format(self._customer, place.parent),
        )

    def _device(self, device: Device) -> inventory_pb2.Device:
        return inventory_pb2.Device(
            name=self._name(device),
            display_name=cleaned(device.display_name),
            type=inventory_pb2.Device.Type.Value(f"TYPE_{device.type.name}"),
            model_name=cleaned(device.model_name),
            serial_number=cleaned(device.serial_number),
            parent="" if device.parent is None else names.DEVICE.format(self._customer, device.parent),
            location="" if device.location is None else names.LOCATION.format(self._customer, device.location),
        )

    def _sensor(self, sensor: Sensor) -> inventory_pb2.Sensor:
        return inventory_pb2.Sensor(
            name=self._name(sensor),
            display_name=cleaned(sensor.display_name),
            metric=cleaned(sensor.metric),
            unit=cleaned(sensor.unit),
        )

    def _alarm(self, alarm: Alarm) -> alarms_pb2.Alarm:
        return alarms_pb2.Alarm(
            name=names.ALARM.format(self._customer, alarm.id),
            device=names.DEVICE.format(self._customer, alarm.device),
            label=cleaned(alarm.label),
            message=cleaned(alarm.message),
            severity=alarms_pb2.Alarm.Severity.Value(f"SEVERITY_{alarm.severity.name}"),
            activate_time=to_timestamp(alarm.activate_time),
            clear_time=optional_timestamp(alarm.clear_time),
        )

    def _blocks(self, readings: Sequence[Reading]) -> Iterator[gateway_pb2.PublishRequest.DeviceBlock]:
        of_device: dict[DeviceId, list[Reading]] = {}
        for reading in readings:
            of_device.setdefault(reading.sensor.device, []).append(reading)
        for device, its_readings in of_device.items():
            yield gateway_pb2.PublishRequest.DeviceBlock(
                device=names.DEVICE.format(self._customer, device), block=_block(its_readings)
            )


def span_of(readings: Sequence[Reading]) -> Span | None:
    """When they were measured."""
    return joined(Span(reading.time, reading.time) for reading in readings)


def _block(readings: Sequence[Reading]) -> telemetry_pb2.TelemetryBlock:
    places = {sensor: place for place, sensor in enumerate(dict.fromkeys(reading.sensor.id for reading in readings))}
    block = telemetry_pb2.TelemetryBlock(sensors=places)
    for reading in readings:
        place = places[reading.sensor.id]
        if isinstance(reading.value, str):
            block.texts.add(sensor_index=place, time_unix_nano=reading.time, text=cleaned(reading.value))
        else:
            block.sensor_indexes.append(place)
            block.times_unix_nano.append(reading.time)
            block.values.append(reading.value)
    return block
