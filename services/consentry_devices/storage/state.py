"""How things stand, read from SQL. The engine of `consentry_devices.domain.state`."""

import logging
from collections import defaultdict
from collections.abc import Callable, Sequence, Set
from typing import Any, TypeVar, assert_never

import sqlalchemy as sa

from consentry_core.sql.database import Database, Lane, one_lane
from consentry_core.values.errors import Unavailable
from consentry_core.values.reasons import ErrorReason
from consentry_devices.domain.alarms import AlarmEvent
from consentry_devices.domain.inventory import Device, Location, Sensor, parents_first
from consentry_devices.domain.limits import NESTING
from consentry_devices.domain.state import Blocks, Damaged, Position, Reading, Take, Thing
from consentry_devices.log.entries import Kind
from consentry_devices.storage import rows, tables
from consentry_devices.storage.blocks import read_blocks
from consentry_devices.storage.checksums import intact, intact_entries, say
from consentry_devices.storage.reading import is_passing, read_checked_from
from consentry_rule import CustomerId, DataClass, Instant

_T = TypeVar("_T")
_log = logging.getLogger(__name__)
_RUN = 100  # things of a snapshot that are told at a time


class SqlState:
    """See `State`."""

    def __init__(self, database: Database, lane: Lane = one_lane) -> None:
        self._database = database
        self._lane = lane

    async def _read(self, question: Callable[[sa.Connection], _T]) -> _T:
        try:
            return await self._database.read(question, lane=self._lane())
        except sa.exc.DatabaseError as error:
            if is_passing(error):
                raise
            _log.error("a part of the database cannot be read: %s", error.orig)
            raise Unavailable(
                "a part of what is stored is damaged and cannot be read; its operator runs `consentry devices verify`",
                retry_after=60.0,
                reason=ErrorReason.STORE_DAMAGED,
            ) from error

    async def snapshot(self, customer: CustomerId, classes: Set[DataClass], devices: Set[str] | None, take: Take) -> int:
        """See `State.snapshot`."""
        return await self._read(lambda connection: _tell(connection, customer, classes, devices, take))

    async def locations(self, customer: CustomerId, *, after: str, limit: int) -> Sequence[Location]:
        """See `State.locations`."""
        return await self._read(lambda connection: read_locations(connection, customer, after, limit))

    async def devices(self, customer: CustomerId, *, after: str, limit: int) -> Sequence[Device]:
        """See `State.devices`."""
        return await self._read(lambda connection: read_devices(connection, customer, after, limit))

    async def device(self, customer: CustomerId, device: str) -> Sequence[Device]:
        """See `State.device`."""

        def question(connection: sa.Connection) -> Sequence[Device]:
            found: list[Device] = []
            wanted = device
            while wanted and len(found) <= NESTING + 1:
                here = _devices(connection, customer, tables.devices.c.id == wanted)
                if not here:
                    break
                found += here
                wanted = here[0].parent
            return found

        return await self._read(question)

    async def sensors(self, customer: CustomerId, device: str | None, *, after: str, limit: int) -> Sequence[Sensor]:
        """See `State.sensors`."""
        return await self._read(lambda connection: read_sensors(connection, customer, device, after, limit))

    async def alarms(self, customer: CustomerId, *, active_only: bool, after: str, limit: int) -> Sequence[AlarmEvent]:
        """See `State.alarms`."""
        table = tables.alarms
        query = sa.select(table).where(table.c.customer == customer, table.c.id > after).order_by(table.c.id).limit(limit)
        if active_only:
            query = query.where(table.c.clear_time.is_(None))
        return await self._read(lambda connection: _events(connection, query))

    async def alarm(self, customer: CustomerId, alarm: str) -> AlarmEvent | None:
        """See `State.alarm`."""
        return await self._read(lambda connection: read_alarm(connection, customer, alarm))

    async def alarm_events(self, customer: CustomerId, alarm: str, *, after: int, limit: int) -> Sequence[AlarmEvent]:
        """See `State.alarm_events`."""
        table = tables.alarm_events
        of_alarm = (table.c.customer == customer, table.c.id == alarm, table.c.number > after)
        query = sa.select(table).where(*of_alarm).order_by(table.c.number).limit(limit)
        return await self._read(lambda connection: _events(connection, query))

    async def latest(
        self, customer: CustomerId, devices: Set[str], sensors: Set[str], *, after: str, limit: int
    ) -> Sequence[Reading]:
        """See `State.latest`."""
        latest, named = tables.latest.c, tables.sensors.c
        of_sensor = (latest.customer == named.customer) & (latest.device == named.device) & (latest.sensor == named.id)
        query = sa.select(tables.latest).join(tables.sensors, of_sensor)
        query = query.where(named.customer == customer, named.path > after).order_by(named.path).limit(limit)
        if devices:
            query = query.where(named.device.in_(devices))
        if sensors:
            query = query.where(named.path.in_(sensors))
        return await self._read(
            lambda connection: [rows.reading_of(row) for row in intact(tables.latest, connection.execute(query))]
        )

    async def telemetry_devices(self, customer: CustomerId, *, after: str, limit: int) -> Sequence[str]:
        """See `State.telemetry_devices`. Those of the inventory: a device without readings costs one look into an index."""
        table = tables.devices
        query = sa.select(table.c.id).where(table.c.customer == customer, table.c.id > after).order_by(table.c.id).limit(limit)
        return await self._read(lambda connection: connection.scalars(query).all())

    async def history(
        self, customer: CustomerId, device: str, start: Instant, end: Instant, *, after: Position, up_to: int, max_bytes: int
    ) -> Blocks:
        """See `State.history`."""
        return await self._read(
            lambda connection: read_blocks(
                connection, customer, device, start, end, after=after, up_to=up_to, max_bytes=max_bytes
            )
        )

    async def losses(self, customer: CustomerId, start: Instant, end: Instant, *, up_to: int, limit: int) -> Sequence[bytes]:
        """See `State.losses`."""
        log = tables.log.c
        of_gateways = (log.customer == customer, log.kind == Kind.GAP.value, log.device.is_(None))
        query = sa.select(log.customer, log.kind, log.device, log.seq, log.min_time, log.max_time, log.payload, log.checksum)
        query = query.where(*of_gateways, log.min_time < end, log.max_time >= start, log.seq <= up_to)
        query = query.order_by(log.min_time, log.seq).limit(limit)

        def question(connection: sa.Connection) -> Sequence[bytes]:
            checked_from = read_checked_from(connection)
            return [row.payload for row in intact_entries(connection.execute(query), checked_from)]

        return await self._read(question)


def read_locations(
    connection: sa.Connection, customer: CustomerId, after: str = "", limit: int | None = None
) -> Sequence[Location]:
    """The customer's locations, by id."""
    table = tables.locations
    query = sa.select(table).where(table.c.customer == customer, table.c.id > after).order_by(table.c.id).limit(limit)
    return [rows.location_of(row) for row in intact(table, connection.execute(query))]


def read_devices(
    connection: sa.Connection, customer: CustomerId, after: str = "", limit: int | None = None
) -> Sequence[Device]:
    """The customer's devices, by id."""
    return _devices(connection, customer, tables.devices.c.id > after, limit)


def read_sensors(
    connection: sa.Connection, customer: CustomerId, device: str | None = None, after: str = "", limit: int | None = None
) -> Sequence[Sensor]:
    """The customer's sensors, by name."""
    table = tables.sensors
    query = sa.select(table).where(table.c.customer == customer, table.c.path > after).order_by(table.c.path).limit(limit)
    if device is not None:
        query = query.where(table.c.device == device)
    return [rows.sensor_of(row) for row in intact(table, connection.execute(query))]


def read_alarm(connection: sa.Connection, customer: CustomerId, alarm: str) -> AlarmEvent | None:
    """The newest event of an alarm; when that is damaged, from among all its events."""
    for table in (tables.alarms, tables.alarm_events):
        query = sa.select(table).where(table.c.customer == customer, table.c.id == alarm).order_by(table.c.number.desc())
        found = _events(connection, query.limit(10))
        if found:
            return found[0]
    return None


def read_active_alarms(connection: sa.Connection, customer: CustomerId) -> Sequence[AlarmEvent]:
    """The newest event of each alarm that is active."""
    table = tables.alarms
    return _events(connection, sa.select(table).where(table.c.customer == customer, table.c.clear_time.is_(None)))


def _events(connection: sa.Connection, query: sa.Select[Any]) -> Sequence[AlarmEvent]:
    return [rows.event_of(row) for row in intact(tables.alarms, connection.execute(query))]


def _devices(
    connection: sa.Connection, customer: CustomerId, which: sa.ColumnElement[bool], limit: int | None = None
) -> Sequence[Device]:
    table = tables.devices
    query = sa.select(table).where(table.c.customer == customer, which).order_by(table.c.id).limit(limit)
    found = list(intact(table, connection.execute(query)))
    if not found:
        return []
    gateways: defaultdict[str, list[str]] = defaultdict(list)
    links = tables.device_gateways
    between = (links.c.customer == customer, links.c.device >= found[0].id, links.c.device <= found[-1].id)
    for link in connection.execute(sa.select(links).where(*between).order_by(links.c.device, links.c.gateway)):
        gateways[link.device].append(link.gateway)
    return [rows.device_of(row, tuple(gateways[row.id])) for row in found]


def _tell(
    connection: sa.Connection, customer: CustomerId, classes: Set[DataClass], devices: Set[str] | None, take: Take
) -> int:
    """See `State.snapshot`. Only what nests is held whole: of the rest there is a hundred times more."""

    def tell(data_class: DataClass, table: sa.Table, order: Sequence[str], made: Callable[[Any], Thing]) -> None:
        query = sa.select(table).where(table.c.customer == customer).order_by(*(table.c[column] for column in order))
        if devices is not None:
            query = query.where(table.c.device.in_(devices))
        damaged = False
        try:
            for run in connection.execute(query).partitions(_RUN):
                things = [made(row) for row in intact(table, run)]
                damaged |= len(things) < len(run)
                if things:
                    take(things)
        except sa.exc.DatabaseError as error:
            if is_passing(error):
                raise
            say(table.name, customer)
            damaged = True
        if damaged:
            take([Damaged(data_class)])

    def tell_all(table: sa.Table, read: Callable[[], Sequence[Location] | Sequence[Device]]) -> None:
        things: Sequence[Location] | Sequence[Device] = ()
        try:
            known = connection.scalar(sa.select(sa.func.count()).select_from(table).where(table.c.customer == customer))
            things = read()
        except sa.exc.DatabaseError as error:
            if is_passing(error):
                raise
            say(table.name, customer)
            known = -1
        chosen = [thing for thing in things if devices is None or thing.id in devices]
        for start in range(0, len(chosen), _RUN):
            take(chosen[start : start + _RUN])
        if len(things) != known:
            take([Damaged(DataClass.INVENTORY)])

    for data_class in (each for each in DataClass if each in classes):
        match data_class:
            case DataClass.INVENTORY:
                if devices is None:
                    tell_all(tables.locations, lambda: parents_first(read_locations(connection, customer)))
                tell_all(tables.devices, lambda: parents_first(read_devices(connection, customer)))
                tell(data_class, tables.sensors, ("path",), rows.sensor_of)
            case DataClass.ALARMS:
                tell(data_class, tables.alarms, ("id",), rows.event_of)
            case DataClass.TELEMETRY:
                tell(data_class, tables.latest, ("device", "sensor"), rows.reading_of)
            case _:
                assert_never(data_class)
    return connection.scalar(sa.select(tables.store.c.tail)) or 0
