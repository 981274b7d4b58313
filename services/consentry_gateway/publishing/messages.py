"""What a gateway knows, in the API's words, within what the service takes in of one thing.

Texts are made plain here (`consentry_core.values.text`) and cut to their longest, wherever they come from: the service refuses
others.
"""

from collections.abc import Iterator, Sequence

from consentry.devices.v1 import alarms_pb2, gateway_pb2, inventory_pb2, telemetry_pb2
from consentry_core.protocol.times import optional_timestamp, to_timestamp
from consentry_core.values import names
from consentry_core.values.taken_in import NAME_CHARACTERS, TEXT_CHARACTERS
from consentry_core.values.text import cleaned
from consentry_gateway.reading.alarms import Alarm
from consentry_gateway.reading.model import Device, DeviceId, Location, Reading, Sensor
from consentry_rule import CustomerId

Thing = Location | Device | Sensor | Alarm


def name_of(customer: CustomerId, thing: Thing) -> str:
    """Its name."""
    match thing:
        case Location():
            return names.LOCATION.format(customer, thing.id)
        case Device():
            return names.DEVICE.format(customer, thing.id)
        case Sensor():
            return names.SENSOR.format(customer, thing.device, thing.id)
        case Alarm():
            return names.ALARM.format(customer, thing.id)


def well_named(customer: CustomerId, thing: Thing) -> bool:
    """Whether the service takes it for a name."""
    pattern = {Location: names.LOCATION, Device: names.DEVICE, Sensor: names.SENSOR, Alarm: names.ALARM}[type(thing)]
    return pattern.matches(name_of(customer, thing))


def location(customer: CustomerId, place: Location) -> inventory_pb2.Location:
    """A location."""
    return inventory_pb2.Location(
        name=name_of(customer, place),
        display_name=_fitting(place.display_name),
        kind=inventory_pb2.Location.Kind.Value(f"KIND_{place.kind.name}"),
        parent="" if place.parent is None else names.LOCATION.format(customer, place.parent),
    )


def device(customer: CustomerId, device: Device) -> inventory_pb2.Device:
    """A device."""
    return inventory_pb2.Device(
        name=name_of(customer, device),
        display_name=_fitting(device.display_name),
        type=inventory_pb2.Device.Type.Value(f"TYPE_{device.type.name}"),
        model_name=_fitting(device.model_name),
        serial_number=_fitting(device.serial_number),
        parent="" if device.parent is None else names.DEVICE.format(customer, device.parent),
        location="" if device.location is None else names.LOCATION.format(customer, device.location),
    )


def sensor(customer: CustomerId, sensor: Sensor) -> inventory_pb2.Sensor:
    """A sensor."""
    return inventory_pb2.Sensor(
        name=name_of(customer, sensor),
        display_name=_fitting(sensor.display_name),
        metric=_fitting(sensor.metric),
        unit=_fitting(sensor.unit),
    )


def alarm(customer: CustomerId, alarm: Alarm) -> alarms_pb2.Alarm:
    """An alarm."""
    return alarms_pb2.Alarm(
        name=name_of(customer, alarm),
        device=names.DEVICE.format(customer, alarm.device),
        label=_fitting(alarm.label) or "Alarm",
        message=_fitting(alarm.message, TEXT_CHARACTERS),
        severity=alarms_pb2.Alarm.Severity.Value(f"SEVERITY_{alarm.severity.name}"),
        activate_time=to_timestamp(alarm.activate_time),
        clear_time=optional_timestamp(alarm.clear_time),
    )


def blocks(customer: CustomerId, readings: Sequence[Reading]) -> Iterator[gateway_pb2.PublishRequest.DeviceBlock]:
    """Readings, a table a device."""
    of_device: dict[DeviceId, list[Reading]] = {}
    for reading in readings:
        of_device.setdefault(reading.sensor.device, []).append(reading)
    for of, its_readings in of_device.items():
        yield gateway_pb2.PublishRequest.DeviceBlock(device=names.DEVICE.format(customer, of), block=_block(its_readings))


def _block(readings: Sequence[Reading]) -> telemetry_pb2.TelemetryBlock:
    places = {sensor: place for place, sensor in enumerate(dict.fromkeys(reading.sensor.id for reading in readings))}
    block = telemetry_pb2.TelemetryBlock(sensors=places)
    for reading in readings:
        place = places[reading.sensor.id]
        if isinstance(reading.value, str):
            block.texts.add(sensor_index=place, time_unix_nano=reading.time, text=_fitting(reading.value, TEXT_CHARACTERS))
        else:
            block.sensor_indexes.append(place)
            block.times_unix_nano.append(reading.time)
            block.values.append(reading.value)
    return block


def _fitting(text: str, longest: int = NAME_CHARACTERS) -> str:
    plain = cleaned(text)
    return plain if len(plain) <= longest else f"{plain[: longest - 1]}…"
