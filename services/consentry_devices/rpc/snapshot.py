"""How one customer's things stand, as events of the feed."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import TypeVar

from consentry.devices.v1 import feed_pb2, telemetry_pb2
from consentry_core import names
from consentry_devices.inventory import Device, Location, Sensor
from consentry_devices.rpc.converters import to_alarm_event, to_device, to_location, to_sensor
from consentry_devices.state import Reading, Snapshot
from consentry_rule import CustomerId, DataClass, Instant

_T = TypeVar("_T")
_THINGS = 500  # in one message: some tens of kilobytes
_READINGS = 2_000


def pieces(
    customer: CustomerId, snapshot: Snapshot, classes: frozenset[DataClass], opened_from: Instant
) -> Iterator[tuple[DataClass, bytes]]:
    """The events that tell these classes of a snapshot, encoded, with the class of each; nothing older than `opened_from`.

    Inventory first, parents before children, so that whatever an alarm or a reading names is known when it comes.
    """
    if DataClass.INVENTORY in classes:
        everything: list[Location | Device | Sensor] = [*snapshot.locations, *snapshot.devices, *snapshot.sensors]
        for things in _runs(everything, _THINGS):
            yield DataClass.INVENTORY, _inventory(customer, things).SerializeToString()
    if DataClass.ALARMS in classes:
        for event in snapshot.alarms:
            if event.time >= opened_from:
                message = feed_pb2.WatchResponse(alarm_change=to_alarm_event(customer, event))
                yield DataClass.ALARMS, message.SerializeToString()
    if DataClass.TELEMETRY in classes:
        latest = [reading for reading in snapshot.latest if reading.time >= opened_from]
        for readings in _runs(latest, _READINGS):
            yield DataClass.TELEMETRY, _telemetry(customer, readings).SerializeToString()


def _runs(items: Sequence[_T], length: int) -> Iterator[Sequence[_T]]:
    return (items[start : start + length] for start in range(0, len(items), length))


def _inventory(customer: CustomerId, things: Iterable[Location | Device | Sensor]) -> feed_pb2.WatchResponse:
    response = feed_pb2.WatchResponse()
    change = response.inventory_change
    for thing in things:
        match thing:
            case Location():
                change.locations.append(to_location(customer, thing))
            case Device():
                change.devices.append(to_device(customer, thing))
            case Sensor():
                change.sensors.append(to_sensor(customer, thing))
    return response


def _telemetry(customer: CustomerId, readings: Iterable[Reading]) -> feed_pb2.WatchResponse:
    response = feed_pb2.WatchResponse()
    for device, rows in groupby(readings, key=lambda reading: reading.device):
        _fill(response.telemetry.devices.add(), names.DEVICE.format(customer, device), list(rows))
    return response


def _fill(telemetry: telemetry_pb2.DeviceTelemetry, device: str, rows: Sequence[Reading]) -> None:
    telemetry.device = device
    telemetry.reading_count = len(rows)
    telemetry.min_time_unix_nano = min(row.time for row in rows)
    telemetry.max_time_unix_nano = max(row.time for row in rows)
    block = telemetry.block
    for index, row in enumerate(rows):  # the newest of each sensor: every sensor stands there once
        block.sensors.append(row.sensor)
        if isinstance(row.value, str):
            block.texts.add(sensor_index=index, time_unix_nano=row.time, text=row.value)
        else:
            block.sensor_indexes.append(index)
            block.times_unix_nano.append(row.time)
            block.values.append(row.value)
