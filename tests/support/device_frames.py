"""Frames as the appender takes them, for tests that need no gateway."""

from collections.abc import Iterable

from consentry_devices.blocks import columns
from consentry_devices.domain.alarms import Alarm, AlarmEvent
from consentry_devices.domain.frames import Frame, Loss, StreamKey, TelemetryBlock
from consentry_devices.domain.inventory import Device, InventoryChange, Sensor
from consentry_rule import CustomerId, Instant

NORTH = CustomerId("north")
SOUTH = CustomerId("south")
NOW = Instant(1_780_000_000_000_000_000)
SECOND = 1_000_000_000


def stream(customer: CustomerId = NORTH, gateway: str = "gw", epoch: str = "epoch-0123456789") -> StreamKey:
    """A gateway's numbering."""
    return StreamKey(customer, gateway, epoch)


def device(id: str = "ups", parent: str = "", name: str = "") -> Device:  # noqa: A002 - the field's name
    return Device(id, name or id.upper(), 1, "Smart-UPS", "S1", parent, "")


def sensor(of: str = "ups", id: str = "load") -> Sensor:  # noqa: A002 - the field's name
    return Sensor(of, id, id, "ups.load", "%")


KNOWN = InventoryChange(NOW, (), (device(),), (sensor(),))
"""What `frame`s readings are of."""


def telemetry(
    *values: float | str,
    of: str = "ups",
    id: str = "load",  # noqa: A002 - the field's name
    customer: CustomerId = NORTH,
    start: int = NOW,
) -> TelemetryBlock:
    """Readings of one sensor, a second apart."""
    rows = [(id, Instant(start + index * SECOND), value) for index, value in enumerate(values)]
    table = columns.of_rows(rows)
    newest = tuple((name, time, value) for name, (time, value) in columns.newest(table).items())
    payload = columns.encode(f"customers/{customer}/devices/{of}", table, historical=False)
    return TelemetryBlock(of, table.sensors, payload, *table.span(), newest, len(table))


def frame(
    number: int,
    *blocks: TelemetryBlock,
    inventory: InventoryChange = KNOWN,
    alarms: tuple[Alarm, ...] = (),
    digest: bytes = b"",
) -> Frame:
    """A frame; by default it tells of the things it is about."""
    size = sum(len(block.payload) for block in blocks)
    return Frame(number, digest or b"%d" % number, size, NOW, inventory, alarms, blocks)


class PlainEncoder:
    """An encoder for tests that only look at what is logged, not at its form."""

    def inventory_changes(self, customer: CustomerId, change: InventoryChange) -> Iterable[bytes]:
        things = [thing.id for things in (change.locations, change.devices, change.sensors) for thing in things]
        gone = [*change.deleted_locations, *change.deleted_devices, *change.deleted_sensors]
        return [f"{customer} {things} {gone or ''}".encode()]

    def alarm_event(self, customer: CustomerId, event: AlarmEvent) -> bytes:
        return f"{customer} {event.alarm.id} {event.number} {event.kind.name}".encode()

    def loss(self, customer: CustomerId, gateway: str, loss: Loss) -> bytes:
        return f"{customer} {gateway} lost {loss.start} {loss.end}".encode()
