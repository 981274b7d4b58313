"""What of a stored inventory change concerns some devices only."""

from collections.abc import Set

from consentry.devices.v1 import inventory_pb2


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


def _device_of(sensor: str) -> str:
    return sensor.rpartition("/sensors/")[0]
