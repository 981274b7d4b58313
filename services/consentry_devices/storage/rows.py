"""Rows and what they mean, in pairs."""

from collections.abc import Iterable, Iterator
from typing import Any

import sqlalchemy as sa

from consentry_devices.domain.alarms import Alarm, AlarmEvent, EventKind
from consentry_devices.domain.frames import Newest
from consentry_devices.domain.inventory import Device, Location, Sensor
from consentry_devices.domain.state import Reading
from consentry_devices.log.entries import CLASS_OF, Entry, Kind
from consentry_devices.storage.checksums import CHECKSUM, begin_row, checked, end_row, is_intact, of_entry, of_place
from consentry_devices.storage.spans import span_class
from consentry_rule import CustomerId, Instant

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
        CHECKSUM: of_entry(
            of_place(entry.customer, entry.kind.value, entry.device), entry.seq, entry.min_time, entry.max_time, entry.payload
        ),
    }


def entry_of(row: Row, checked_from: int) -> Entry | None:
    """Of the table `log`; None for one that is not as it was written. Entries from `checked_from` on have checksums."""
    if not is_intact(of_place(row.customer, row.kind, row.device), row, checked_from):
        return None
    kind = Kind(row.kind)
    return Entry(
        row.seq,
        CustomerId(row.customer),
        CLASS_OF[kind],
        kind,
        row.device,
        Instant(row.min_time),
        Instant(row.max_time),
        Instant(row.take_time) if isinstance(row.take_time, int) else Instant(0),
        bool(row.historical),
        row.payload,
    )


def location_row(customer: CustomerId, location: Location) -> dict[str, object]:
    """For the table `locations`."""
    return checked(
        {
            "customer": customer,
            "id": location.id,
            "display_name": location.display_name,
            "kind": location.kind,
            "parent": location.parent,
        }
    )


def location_of(row: Row) -> Location:
    """Of the table `locations`."""
    return Location(row.id, row.display_name, row.kind, row.parent)


def device_row(customer: CustomerId, device: Device) -> dict[str, object]:
    """For the table `devices`; its gateways are rows of `device_gateways`."""
    return checked(
        {
            "customer": customer,
            "id": device.id,
            "display_name": device.display_name,
            "type": device.type,
            "model_name": device.model_name,
            "serial_number": device.serial_number,
            "parent": device.parent,
            "location": device.location,
        }
    )


def device_of(row: Row, gateways: tuple[str, ...]) -> Device:
    """Of the tables `devices` and `device_gateways`."""
    return Device(
        row.id, row.display_name, row.type, row.model_name, row.serial_number, row.parent, row.location, gateways
    )  # fmt: skip


def sensor_row(customer: CustomerId, sensor: Sensor) -> dict[str, object]:
    """For the table `sensors`."""
    return checked(
        {
            "customer": customer,
            "path": sensor.path,
            "device": sensor.device,
            "id": sensor.id,
            "display_name": sensor.display_name,
            "metric": sensor.metric,
            "unit": sensor.unit,
        }
    )


def sensor_of(row: Row) -> Sensor:
    """Of the table `sensors`."""
    return Sensor(row.device, row.id, row.display_name, row.metric, row.unit)


def event_row(customer: CustomerId, event: AlarmEvent) -> dict[str, object]:
    """For the tables `alarms` and `alarm_events`."""
    alarm = event.alarm
    return checked(
        {
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
    )


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


def newest_rows(customer: CustomerId, device: str, newest: Iterable[Newest]) -> Iterator[tuple[object, ...]]:
    """For the table `latest`, in the order of its columns. By hand, because there may be one for each reading taken in."""
    begun = begin_row(customer, device)
    for sensor, time, value in newest:
        number, text = (None, value) if isinstance(value, str) else (value, None)
        yield customer, device, sensor, time, number, text, end_row(begun, sensor, time, number, text)


def reading_of(row: Row) -> Reading:
    """Of the table `latest`."""
    return Reading(row.device, row.sensor, Instant(row.time), row.value if row.text is None else row.text)
