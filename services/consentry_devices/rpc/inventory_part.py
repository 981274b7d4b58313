"""What of a stored inventory change concerns some devices only, and a change that is too large for one message."""

from collections.abc import Iterator, Set

from consentry.devices.v1 import inventory_pb2
from consentry_devices.blocks.wire import delimited, fields
from consentry_devices.domain.limits import GATEWAYS_OF_CUSTOMER

PIECE_BYTES = 256 * 1024

_C = inventory_pb2.InventoryChange
_TOLD = (_C.LOCATIONS_FIELD_NUMBER, _C.DEVICES_FIELD_NUMBER, _C.SENSORS_FIELD_NUMBER)
_GONE = (_C.DELETED_SENSORS_FIELD_NUMBER, _C.DELETED_DEVICES_FIELD_NUMBER, _C.DELETED_LOCATIONS_FIELD_NUMBER)


def part(payload: bytes, devices: Set[str]) -> bytes | None:
    """A serialised `InventoryChange` cut down to these devices, by name, and their sensors; None when nothing is left.

    Locations are of no device, so they are left out.
    """
    change = inventory_pb2.InventoryChange.FromString(payload)
    kept = inventory_pb2.InventoryChange(
        devices=[device for device in change.devices if device.name in devices],
        sensors=[sensor for sensor in change.sensors if _device_of(sensor.name) in devices],
        deleted_devices=[name for name in change.deleted_devices if name in devices],
        deleted_sensors=[name for name in change.deleted_sensors if _device_of(name) in devices],
    )
    if not kept.ListFields():
        return None
    if change.HasField("time"):
        kept.time.CopyFrom(change.time)
    return kept.SerializeToString(deterministic=True)


def pieces(payload: bytes, after: int = 0) -> Iterator[tuple[bytes, int]]:
    """A serialised `InventoryChange` as one or several of some `PIECE_BYTES`, each with how many things are told by then.

    Without the first `after` things, which have been told. With the last piece comes 0: all of them are. First comes what is
    new or changed, then the sensors that go, and last what they were of, so that each piece is true when it is told.
    """
    if len(payload) <= PIECE_BYTES and not after:
        yield payload, 0
        return
    time = next((delimited(_C.TIME_FIELD_NUMBER, payload[span]) for number, span in fields(payload) if number == 1), b"")
    piece, size, told = [time], len(time), 0
    for told, thing in enumerate(_things(payload), 1):
        if told <= after:
            continue
        if size > len(time) and size + len(thing) > PIECE_BYTES:
            yield b"".join(piece), told - 1
            piece, size = [time], len(time)
        piece.append(thing)
        size += len(thing)
    yield b"".join(piece), 0


def _things(payload: bytes) -> Iterator[bytes]:
    gone: dict[int, list[slice]] = {number: [] for number in _GONE}
    for number, span in fields(payload):
        if number in gone:
            gone[number].append(span)
        elif number in _TOLD:
            yield delimited(number, _bounded(number, payload[span]))
    for number, spans in gone.items():
        for span in spans:
            yield delimited(number, payload[span])


def _bounded(number: int, thing: bytes) -> bytes:
    """A device that was stored before there was a limit can name more gateways than a message can hold."""
    if number != _C.DEVICES_FIELD_NUMBER or len(thing) <= PIECE_BYTES:
        return thing
    device = inventory_pb2.Device.FromString(thing)
    del device.gateways[GATEWAYS_OF_CUSTOMER:]
    return device.SerializeToString(deterministic=True)


def _device_of(sensor: str) -> str:
    return sensor.rpartition("/sensors/")[0]
