"""How much of whose data is in encoded messages, for the customers' access logs. Reads the head of each block, and no more."""

from collections.abc import Iterable, Mapping

from consentry_devices.blocks.wire import read_varint
from consentry_guard import Access, Handed
from consentry_rule import CustomerId, DataClass

# The first two fields of a `DeviceTelemetry`, which the server writes around every block, in this order.
_DEVICE_TAG, _READING_COUNT_TAG = 1 << 3 | 2, 2 << 3


def of_blocks(blocks: Iterable[bytes]) -> Mapping[Access, Handed]:
    """By customer, what these blocks hold: each is a serialised `DeviceTelemetry`."""
    counted: dict[str, tuple[int, set[str], int]] = {}
    for block in blocks:
        device, readings = _head(block)
        _, customer, _, device_id = device.split("/")
        before, devices, size = counted.get(customer, (0, set(), 0))
        devices.add(device_id)
        counted[customer] = before + readings, devices, size + len(block)
    alone = len(counted) == 1
    return {
        (CustomerId(customer), DataClass.TELEMETRY): Handed(readings, frozenset(devices), 0 if alone else size)
        for customer, (readings, devices, size) in counted.items()
    }


def _head(block: bytes) -> tuple[str, int]:
    """The device's name, and how many readings there are."""
    assert block[0] == _DEVICE_TAG, "a block begins with its device"  # noqa: S101 - the server wrote it
    length, start = read_varint(block, 1)
    end = start + length
    readings = 0
    if len(block) > end and block[end] == _READING_COUNT_TAG:
        readings, _ = read_varint(block, end + 1)
    return block[start:end].decode(), readings
