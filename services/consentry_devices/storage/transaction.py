"""The appender's transaction in SQL: log, current state and the gateways' numberings change together or not at all."""

from collections.abc import Iterable, Mapping, Set
from itertools import chain
from typing import Any

import sqlalchemy as sa

from consentry_core.sql.inserting import add_new, delete, insert, upsert, upsert_values
from consentry_devices.domain.alarms import AlarmEvent
from consentry_devices.domain.frames import StreamKey
from consentry_devices.domain.inventory import Inventory, InventoryChange, sensor_path
from consentry_devices.log.engine import Fenced
from consentry_devices.log.group import REMEMBERED_FRAMES, Group
from consentry_devices.storage import rows, tables
from consentry_devices.storage.state import read_active_alarms, read_alarm, read_devices, read_locations, read_sensors
from consentry_rule import CustomerId


class SqlTransaction:
    """See `Transaction`."""

    def __init__(self, connection: sa.Connection, run: str) -> None:
        self._connection = connection
        self._run = run
        self.tail: int | None = None
        """Where the log ends, once something was written."""

    def last_number(self, stream: StreamKey) -> int:
        """See `Known.last_number`."""
        table = tables.gateway_streams
        return self._connection.scalar(sa.select(table.c.last_number).where(*_of(table, stream))) or 0

    def digest(self, stream: StreamKey, number: int) -> bytes | None:
        """See `Known.digest`."""
        table = tables.gateway_frames
        return self._connection.scalar(sa.select(table.c.digest).where(*_of(table, stream), table.c.number == number))

    def inventory(self, customer: CustomerId) -> Inventory:
        """See `Known.inventory`."""
        return Inventory(
            {location.id: location for location in read_locations(self._connection, customer)},
            {device.id: device for device in read_devices(self._connection, customer)},
            {(sensor.device, sensor.id): sensor for sensor in read_sensors(self._connection, customer)},
        )

    def alarm(self, customer: CustomerId, alarm: str) -> AlarmEvent | None:
        """See `Known.alarm`."""
        return read_alarm(self._connection, customer, alarm)

    def active_alarms(self, customer: CustomerId) -> Iterable[AlarmEvent]:
        """See `Known.active_alarms`."""
        return read_active_alarms(self._connection, customer)

    def count_alarms(self, customer: CustomerId) -> tuple[int, int]:
        """See `Known.count_alarms`."""
        table = tables.alarms
        active = sa.func.count().filter(table.c.clear_time.is_(None))
        row = self._connection.execute(sa.select(active, sa.func.count()).where(table.c.customer == customer)).one()
        return row[0], row[1]

    def gateways(self, customer: CustomerId) -> Set[str]:
        """See `Known.gateways`."""
        table = tables.gateway_streams
        return set(self._connection.scalars(sa.select(table.c.gateway).where(table.c.customer == customer).distinct()))

    def write(self, group: Group) -> None:
        """See `Transaction.write`."""
        assert_run(self._connection, self._run, tail=group.tail, take_time=group.take_time)
        self.tail = group.tail
        self._write_numberings(group)
        insert(self._connection, tables.log, [rows.entry_row(entry) for entry in group.entries])
        for customer, change in group.changes:
            self._write_inventory(customer, change)
        alarms = [rows.event_row(customer, event) for (customer, _), event in group.alarms.items()]
        upsert(self._connection, tables.alarms, alarms)
        events = [rows.event_row(customer, event) for customer, event in group.events]
        upsert(self._connection, tables.alarm_events, events)  # in the place of ones that cannot be read any more
        latest = chain.from_iterable(rows.newest_rows(*place, newest.values()) for place, newest in group.latest.items())
        upsert_values(self._connection, tables.latest, list(latest), unless_older="time")

    def _write_numberings(self, group: Group) -> None:
        frames = [{**_key(stream), "number": number, "digest": digest} for (stream, number), digest in group.digests.items()]
        insert(self._connection, tables.gateway_frames, frames)
        streams = [{**_key(stream), "last_number": number} for stream, number in group.last_numbers.items()]
        upsert(self._connection, tables.gateway_streams, streams)
        table = tables.gateway_frames
        for stream, number in group.last_numbers.items():
            if number > REMEMBERED_FRAMES:
                too_old = table.c.number <= number - REMEMBERED_FRAMES
                self._connection.execute(sa.delete(table).where(*_of(table, stream), too_old))

    def _write_inventory(self, customer: CustomerId, change: InventoryChange) -> None:
        connection = self._connection
        upsert(connection, tables.locations, [rows.location_row(customer, told) for told in change.locations])
        upsert(connection, tables.devices, [rows.device_row(customer, told) for told in change.devices])
        told_or_gone = (*(device.id for device in change.devices), *change.deleted_devices)
        delete(connection, tables.device_gateways, [{"customer": customer, "device": id_} for id_ in told_or_gone])
        gateways = [
            {"customer": customer, "device": device.id, "gateway": gateway}
            for device in change.devices
            for gateway in device.gateways
        ]
        add_new(connection, tables.device_gateways, gateways)
        upsert(connection, tables.sensors, [rows.sensor_row(customer, told) for told in change.sensors])
        delete(connection, tables.locations, [{"customer": customer, "id": id_} for id_ in change.deleted_locations])
        delete(connection, tables.devices, [{"customer": customer, "id": id_} for id_ in change.deleted_devices])
        paths = [sensor_path(device, sensor) for device, sensor in change.deleted_sensors]
        delete(connection, tables.sensors, [{"customer": customer, "path": path} for path in paths])
        gone = [{"customer": customer, "device": device, "sensor": sensor} for device, sensor in change.deleted_sensors]
        delete(connection, tables.latest, gone)


def assert_run(connection: sa.Connection, run: str, **values: int) -> None:
    """Write something into the store's own row, or Fenced when another run has opened the store since."""
    ours = sa.update(tables.store).where(tables.store.c.run == run)
    if connection.execute(ours.values(run=run, **values)).rowcount != 1:
        raise Fenced


def _key(stream: StreamKey) -> dict[str, str]:
    return {"customer": stream.customer, "gateway": stream.gateway, "epoch": stream.epoch}


def _of(table: sa.Table, stream: StreamKey) -> list[sa.ColumnElement[bool]]:
    values: Mapping[str, Any] = _key(stream)
    return [table.c[column] == value for column, value in values.items()]
