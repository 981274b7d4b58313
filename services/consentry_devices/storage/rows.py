"""Rows and what they mean, in pairs."""

from typing import Any

import sqlalchemy as sa

from consentry_devices.alarms import Alarm, AlarmEvent, EventKind
from consentry_devices.feed.log import Entry, Kind
from consentry_devices.inventory import Device, Location, Sensor
from consentry_devices.state import Reading
from consentry_devices.storage.spans import span_class
from consentry_rule import CustomerId, DataClass, Instant

Row = sa.Row[Any]


def entry_row(entry: Entry) -> dict[str, object]:
    """For the table `log`."""
    return {
        "seq": entry.seq,
        "customer": entry.customer,
        "data_class": entry.data_class.value,
        "kind": entry.kind.value,
        "device": entry.device,
        "min_time": entry.min_time,
        "max_time": entry.max_time,
        "span_class": span_class(entry.min_time, entry.max_time),
        "take_time": entry.take_time,
        "historical": entry.historical,
        "payload": entry.payload,
    }


def entry_of(row: Row) -> Entry:
    """Of the table `log`."""
    return Entry(
        row.seq,
        CustomerId(row.customer),
        DataClass(row.data_class),
        Kind(row.kind),
        row.device,
        Instant(row.min_time),
        Instant(row.max_time),
        Instant(row.take_time),
        row.historical,
        row.payload,
    )


def location_row(customer: CustomerId, location: Location) -> dict[str, object]:
    """For the table `locations`."""
    return {
        "customer": customer,
        "id": location.id,
        "display_name": location.display_name,
        "kind": location.kind,
        "parent": location.parent,
    }


def location_of(row: Row) -> Location:
    """Of the table `locations`."""
    return Location(row.id, row.display_name, row.kind, row.parent)


def device_row(customer: CustomerId, device: Device) -> dict[str, object]:
    """For the table `devices`; its gateways are rows of `device_gateways`."""
    return {
        "customer": customer,
        "id": device.id,
        "display_name": device.display_name,
        "type": device.type,
        "model_name": device.model_name,
        "serial_number": device.serial_number,
        "parent": device.parent,
        "location": device.location,
    }


def device_of(row: Row, gateways: tuple[str, ...]) -> Device:
    """Of the tables `devices` and `device_gateways`."""
    return Device(
        row.id, row.display_name, row.type, row.model_name, row.serial_number, row.parent, row.location, gateways
    )  # fmt: skip


def sensor_row(customer: CustomerId, sensor: Sensor) -> dict[str, object]:
    """For the table `sensors`."""
    return {
        "customer": customer,
        "path": sensor.path,
        "device": sensor.device,
        "id": sensor.id,
        "display_name": sensor.display_name,
        "metric": sensor.metric,
        "unit": sensor.unit,
    }


def sensor_of(row: Row) -> Sensor:
    """Of the table `sensors`."""
    return Sensor(row.device, row.id, row.display_name, row.metric, row.unit)


def event_row(customer: CustomerId, event: AlarmEvent) -> dict[str, object]:
    """For the tables `alarms` and `alarm_events`."""
    alarm = event.alarm
    return {
        "customer": customer,
        "id": alarm.id,
        "number": event.number,
        "kind": event.kind.value,
        "time": event.time,
        "device": alarm.device,
        "label": alarm.label,
        "message": alarm.message,
        "severity": alarm.severity,
        "activate_time": alarm.activate_time,
        "clear_time": alarm.clear_time,
        "reactivation_count": alarm.reactivation_count,
    }


def event_of(row: Row) -> AlarmEvent:
    """Of the tables `alarms` and `alarm_events`."""
    alarm = Alarm(
        row.id,
        row.device,
        row.label,
        row.message,
        row.severity,
        Instant(row.activate_time),
        None if row.clear_time is None else Instant(row.clear_time),
        row.reactivation_count,
    )
    return AlarmEvent(row.number, EventKind(row.kind), Instant(row.time), alarm)


def reading_row(customer: CustomerId, reading: Reading) -> dict[str, object]:
    """For the table `latest`."""
    is_text = isinstance(reading.value, str)
    return {
        "customer": customer,
        "device": reading.device,
        "sensor": reading.sensor,
        "time": reading.time,
        "value": None if is_text else reading.value,
        "text": reading.value if is_text else None,
    }


def reading_of(row: Row) -> Reading:
    """Of the table `latest`."""
    return Reading(row.device, row.sensor, Instant(row.time), row.value if row.text is None else row.text)
