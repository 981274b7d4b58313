"""One group of frames, in one transaction: log, current state and the gateways' numberings change together or not at all."""

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from consentry_devices.alarms import AlarmEvent
from consentry_devices.feed.log import Entry, Kind
from consentry_devices.frames import Encoder, Frame, Happened, StreamKey, check_number, check_same, take_in
from consentry_devices.inventory import Inventory, InventoryChange, sensor_path
from consentry_devices.state import Reading
from consentry_devices.storage import rows, tables
from consentry_devices.storage.state import read_active_alarms, read_alarm, read_devices, read_locations, read_sensors
from consentry_rule import CustomerId, DataClass, Instant

REMEMBERED_FRAMES = 1_000
"""Of how many of its last frames a numbering keeps the digest."""

_LARGEST_MEMORY = 1_000


@dataclass(slots=True)
class Memory:
    """What the one appender need not read again, because nobody else changes it. To be forgotten when a transaction fails."""

    inventories: dict[CustomerId, Inventory] = field(default_factory=dict)
    last_numbers: dict[StreamKey, int] = field(default_factory=dict)

    def forget(self) -> None:
        """Know nothing, so that everything is read again."""
        self.inventories.clear()
        self.last_numbers.clear()

    def shrink(self) -> None:
        """Keep it bounded, between transactions. All at once is good enough: reading again is cheap, and rare."""
        if len(self.inventories) > _LARGEST_MEMORY or len(self.last_numbers) > _LARGEST_MEMORY:
            self.forget()


class Fenced(Exception):
    """Another run has opened the store; this one's appender writes nothing more."""


class Group:
    """The transaction while it is being put together. `add` what there is, then `write`."""

    def __init__(
        self, connection: sa.Connection, memory: Memory, encoder: Encoder, *, run: str, tail: int, take_time: Instant
    ) -> None:
        self._connection = connection
        self._memory = memory
        self._encoder = encoder
        self._run = run
        self._tail = tail
        self._take_time = take_time
        self._entries: list[Entry] = []
        self._digests: dict[tuple[StreamKey, int], bytes] = {}
        self._changes: list[tuple[CustomerId, InventoryChange]] = []
        self._events: list[tuple[CustomerId, AlarmEvent]] = []
        self._alarms: dict[tuple[CustomerId, str], AlarmEvent] = {}
        self._latest: dict[tuple[CustomerId, str, str], Reading] = {}

    def last_number(self, stream: StreamKey) -> int:
        """The number of the last frame of the stream's epoch that was taken in; 0 when there is none."""
        known = self._memory.last_numbers.get(stream)
        if known is None:
            table = tables.gateway_streams
            known = self._connection.scalar(sa.select(table.c.last_number).where(*_of(table, stream))) or 0
            self._memory.last_numbers[stream] = known
        return known

    def add(self, stream: StreamKey, frame: Frame) -> None:
        """Take a frame in. A ConsentryError refuses it, and nothing of it is in the group."""
        if not check_number(frame.number, self.last_number(stream)):
            check_same(frame.digest, self._stored_digest(stream, frame.number))
            return
        known = _KnownAlarms(self._connection, stream.customer, self._alarms)
        self._log(stream, frame, take_in(frame, stream.gateway, self._inventory(stream.customer), known))
        self._digests[stream, frame.number] = frame.digest
        self._memory.last_numbers[stream] = frame.number

    def write(self) -> tuple[Entry, ...]:
        """Write everything, and return the new entries. Fenced when another run has opened the store since."""
        if self._digests:
            self._assert_run()
            self._write_numberings()
        if self._entries:
            self._connection.execute(sa.insert(tables.log), [rows.entry_row(entry) for entry in self._entries])
        for customer, change in self._changes:
            self._write_inventory(customer, change)
        alarms = [rows.event_row(customer, event) for (customer, _), event in self._alarms.items()]
        tables.upsert(self._connection, tables.alarms, alarms)
        if self._events:
            events = [rows.event_row(customer, event) for customer, event in self._events]
            self._connection.execute(sa.insert(tables.alarm_events), events)
        latest = [rows.reading_row(customer, reading) for (customer, _, _), reading in self._latest.items()]
        tables.upsert(self._connection, tables.latest, latest, unless_older="time")
        return tuple(self._entries)

    def _assert_run(self) -> None:
        ours = sa.update(tables.store).where(tables.store.c.run == self._run)
        if self._connection.execute(ours.values(tail=self._tail, take_time=self._take_time)).rowcount != 1:
            raise Fenced

    def _inventory(self, customer: CustomerId) -> Inventory:
        known = self._memory.inventories.get(customer)
        if known is None:
            known = self._memory.inventories[customer] = Inventory(
                {location.id: location for location in read_locations(self._connection, customer)},
                {device.id: device for device in read_devices(self._connection, customer)},
                {(sensor.device, sensor.id): sensor for sensor in read_sensors(self._connection, customer)},
            )
        return known

    def _stored_digest(self, stream: StreamKey, number: int) -> bytes | None:
        table = tables.gateway_frames
        return self._digests.get((stream, number)) or self._connection.scalar(
            sa.select(table.c.digest).where(*_of(table, stream), table.c.number == number)
        )

    def _log(self, stream: StreamKey, frame: Frame, happened: Happened) -> None:
        customer = stream.customer
        self._take_time = max(self._take_time, frame.time)
        self._log_alarms(customer, happened.ended, late=False)
        if happened.inventory:
            payload = self._encoder.inventory_change(customer, happened.inventory)
            self._append(customer, Kind.INVENTORY, None, (frame.time, frame.time), payload)
            self._changes.append((customer, happened.inventory))
            self._forget_latest(customer, happened.inventory)
        self._log_alarms(customer, happened.alarms, late=frame.historical)
        if frame.loss is not None:
            payload = self._encoder.loss(customer, stream.gateway, frame.loss)
            self._append(customer, Kind.GAP, None, (frame.loss.start, frame.loss.end), payload, late=frame.historical)
        for block in frame.telemetry:
            span = (block.min_time, block.max_time)
            self._append(customer, Kind.TELEMETRY, block.device, span, block.payload, late=frame.historical)
            for reading in block.newest:
                place = (customer, reading.device, reading.sensor)
                before = self._latest.get(place)
                if before is None or reading.time >= before.time:
                    self._latest[place] = reading

    def _log_alarms(self, customer: CustomerId, events: Iterable[AlarmEvent], *, late: bool) -> None:
        for event in events:
            payload = self._encoder.alarm_event(customer, event)
            self._append(customer, Kind.ALARM, event.alarm.device, (event.time, event.time), payload, late=late)
            self._events.append((customer, event))
            self._alarms[customer, event.alarm.id] = event

    def _forget_latest(self, customer: CustomerId, change: InventoryChange) -> None:
        for device, sensor in change.deleted_sensors:
            self._latest.pop((customer, device, sensor), None)

    def _append(
        self,
        customer: CustomerId,
        kind: Kind,
        device: str | None,
        span: tuple[Instant, Instant],
        payload: bytes,
        *,
        late: bool = False,
    ) -> None:
        self._tail += 1
        self._entries.append(Entry(self._tail, customer, _CLASS_OF[kind], kind, device, *span, self._take_time, late, payload))

    def _write_numberings(self) -> None:
        frames = [{**_key(stream), "number": number, "digest": digest} for (stream, number), digest in self._digests.items()]
        self._connection.execute(sa.insert(tables.gateway_frames), frames)
        last = {stream: self._memory.last_numbers[stream] for stream, _ in self._digests}
        streams = [{**_key(stream), "last_number": number} for stream, number in last.items()]
        tables.upsert(self._connection, tables.gateway_streams, streams)
        table = tables.gateway_frames
        for stream, number in last.items():
            if number > REMEMBERED_FRAMES:
                too_old = table.c.number <= number - REMEMBERED_FRAMES
                self._connection.execute(sa.delete(table).where(*_of(table, stream), too_old))

    def _write_inventory(self, customer: CustomerId, change: InventoryChange) -> None:
        connection = self._connection
        tables.upsert(connection, tables.locations, [rows.location_row(customer, told) for told in change.locations])
        tables.upsert(connection, tables.devices, [rows.device_row(customer, told) for told in change.devices])
        told_or_gone = (*(device.id for device in change.devices), *change.deleted_devices)
        tables.delete(connection, tables.device_gateways, [{"customer": customer, "device": id_} for id_ in told_or_gone])
        gateways = [
            {"customer": customer, "device": device.id, "gateway": gateway}
            for device in change.devices
            for gateway in device.gateways
        ]
        tables.add_new(connection, tables.device_gateways, gateways)
        tables.upsert(connection, tables.sensors, [rows.sensor_row(customer, told) for told in change.sensors])
        tables.delete(connection, tables.locations, [{"customer": customer, "id": id_} for id_ in change.deleted_locations])
        tables.delete(connection, tables.devices, [{"customer": customer, "id": id_} for id_ in change.deleted_devices])
        gone = [(sensor_path(device, sensor), device, sensor) for device, sensor in change.deleted_sensors]
        tables.delete(connection, tables.sensors, [{"customer": customer, "path": path} for path, _, _ in gone])
        of_gone = [{"customer": customer, "device": device, "sensor": sensor} for _, device, sensor in gone]
        tables.delete(connection, tables.latest, of_gone)


class _KnownAlarms:
    """See `KnownAlarms`: what is stored, and over it what the group has made of it so far."""

    def __init__(
        self, connection: sa.Connection, customer: CustomerId, told: Mapping[tuple[CustomerId, str], AlarmEvent]
    ) -> None:
        self._connection = connection
        self._customer = customer
        self._told = told

    def newest(self, alarm: str) -> AlarmEvent | None:
        return self._told.get((self._customer, alarm)) or read_alarm(self._connection, self._customer, alarm)

    def active_of(self, devices: Set[str]) -> Iterable[AlarmEvent]:
        newest = {event.alarm.id: event for event in read_active_alarms(self._connection, self._customer)}
        newest |= {alarm: event for (customer, alarm), event in self._told.items() if customer == self._customer}
        known = (newest[alarm] for alarm in sorted(newest))
        return [event for event in known if event.alarm.clear_time is None and event.alarm.device in devices]


_CLASS_OF = {
    Kind.INVENTORY: DataClass.INVENTORY,
    Kind.ALARM: DataClass.ALARMS,
    Kind.TELEMETRY: DataClass.TELEMETRY,
    Kind.GAP: DataClass.TELEMETRY,
}


def _key(stream: StreamKey) -> dict[str, str]:
    return {"customer": stream.customer, "gateway": stream.gateway, "epoch": stream.epoch}


def _of(table: sa.Table, stream: StreamKey) -> list[sa.ColumnElement[bool]]:
    values: Mapping[str, Any] = _key(stream)
    return [table.c[column] == value for column, value in values.items()]
