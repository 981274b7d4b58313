"""How one customer's things stand, as events of the feed."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import TypeVar

from consentry.devices.v1 import feed_pb2
from consentry_core import names
from consentry_devices import columns
from consentry_devices.inventory import Device, Location, Sensor
from consentry_devices.rpc.converters import to_alarm_event, to_device, to_location, to_sensor
from consentry_devices.rpc.messages import join
from consentry_devices.state import Reading, Snapshot
from consentry_rule import CustomerId, DataClass, Instant

_T = TypeVar("_T")
ORDER = (DataClass.INVENTORY, DataClass.ALARMS, DataClass.TELEMETRY)
"""Inventory first, so that whatever an alarm or a reading names is known when it comes."""

_THINGS = 500  # in one message: some tens of kilobytes
_READINGS = 2_000


def pieces(
    customer: CustomerId, snapshot: Snapshot, data_class: DataClass, opened_from: Callable[[], Instant]
) -> Iterator[bytes]:
    """The events that tell one class of a snapshot, encoded; nothing older than `opened_from`, asked anew for each.

    In the inventory parents come before children.
    """
    match data_class:
        case DataClass.INVENTORY:
            everything: list[Location | Device | Sensor] = [*snapshot.locations, *snapshot.devices, *snapshot.sensors]
            for things in _runs(everything, _THINGS):
                yield _inventory(customer, things).SerializeToString()
        case DataClass.ALARMS:
            for event in snapshot.alarms:
                if event.time >= opened_from():
                    yield feed_pb2.WatchResponse(alarm_change=to_alarm_event(customer, event)).SerializeToString()
        case DataClass.TELEMETRY:
            for readings in _runs(snapshot.latest, _READINGS):
                start = opened_from()
                opened = [reading for reading in readings if reading.time >= start]
                if opened:
                    yield _telemetry(customer, opened)


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


def _telemetry(customer: CustomerId, readings: Iterable[Reading]) -> bytes:
    blocks = (
        columns.encode(
            names.DEVICE.format(customer, device),
            columns.of_rows((row.sensor, row.time, row.value) for row in rows),
            historical=False,
        )
        for device, rows in groupby(readings, key=lambda reading: reading.device)
    )
    telemetry = join(feed_pb2.WatchResponse.Telemetry.DEVICES_FIELD_NUMBER, blocks)
    return join(feed_pb2.WatchResponse.TELEMETRY_FIELD_NUMBER, [telemetry])
