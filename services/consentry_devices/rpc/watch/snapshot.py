"""How one customer's things stand, as events of the feed.

Read in one transaction, so that it is exact at one number of the log, and told over as long as the reader takes. What lies
between is a file: a transaction that waits for a reader would keep the database from tidying up, and what waits in memory would
be as large as the largest customer, for each of the readers that start together after a restart.
"""

import struct
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import Self, assert_never

from consentry.devices.v1 import feed_pb2, inventory_pb2
from consentry_core.values import names
from consentry_core.values.errors import Unavailable
from consentry_core.values.reasons import ErrorReason
from consentry_devices.blocks import columns
from consentry_devices.domain.alarms import AlarmEvent
from consentry_devices.domain.inventory import Device, Location, Sensor
from consentry_devices.domain.state import Damaged, Reading, Thing
from consentry_devices.rpc.converters import to_alarm_event, to_device, to_location, to_sensor
from consentry_devices.rpc.messages import join
from consentry_rule import CustomerId, DataClass, Instant

ORDER = (DataClass.INVENTORY, DataClass.ALARMS, DataClass.TELEMETRY)
"""Inventory first, so that whatever an alarm or a reading names is known when it comes."""

_MESSAGE_BYTES = 64 * 1024
_IN_RECORD = 20  # things of an inventory, which may be of some kB each
_IN_MEMORY = 64 * 1024  # most customers' are smaller, and touch no disk
_INVENTORY = feed_pb2.WatchResponse.INVENTORY_CHANGE_FIELD_NUMBER
_ALARM = feed_pb2.WatchResponse.ALARM_CHANGE_FIELD_NUMBER
_TELEMETRY = feed_pb2.WatchResponse.TELEMETRY_FIELD_NUMBER
_DEVICES = feed_pb2.WatchResponse.Telemetry.DEVICES_FIELD_NUMBER
_RECORD = struct.Struct(">qI")  # time, length of what follows


@dataclass(frozen=True, slots=True)
class Piece:
    """One event, encoded. `blocks` are the tables of readings in it, each a serialised `DeviceTelemetry`."""

    event: bytes
    blocks: Sequence[bytes] = ()


class Snapshot:
    """A snapshot on its way from `State.snapshot`, which fills it through `take`, to the reader. Close it."""

    def __init__(self, customer: CustomerId, folder: Path) -> None:
        self._customer = customer
        # Without a name, so that nothing of it is left, however the process ends.
        self._file = tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=str(folder))  # noqa: SIM115 - closed by __exit__
        self._starts: dict[DataClass, int] = {}
        self.damaged: set[DataClass] = set()
        """Classes of which something is not here."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._file.close()

    def take(self, things: Sequence[Thing]) -> None:
        """Keep some more things of one kind. Unavailable when there is no room for them."""
        try:
            for data_class, instant, payload in self._records(things):
                self._starts.setdefault(data_class, self._file.tell())
                self._file.write(_RECORD.pack(instant, len(payload)))
                self._file.write(payload)
            time.sleep(0)  # else the event loop waits for the interpreter's lock, 5 ms each time that it wants it
        except OSError as error:
            raise Unavailable(
                "the service has no room for the current state at this moment; try again a little later",
                retry_after=2.0,
                reason=ErrorReason.STORE_UNAVAILABLE,
            ) from error

    def pieces(self, data_class: DataClass, opened_from: Callable[[], Instant]) -> Iterator[Piece]:
        """The events that tell one class; nothing older than `opened_from`, asked anew for each."""
        match data_class:
            case DataClass.INVENTORY:
                for payloads in self._runs(data_class):
                    # Lists are joined like any field that is repeated: one behind the other.
                    yield Piece(join(_INVENTORY, [b"".join(payloads)]))
            case DataClass.ALARMS:
                for instant, payload in self._kept(data_class):
                    if instant >= opened_from():
                        yield Piece(join(_ALARM, [payload]))
            case DataClass.TELEMETRY:
                for payloads in self._runs(data_class):
                    start = opened_from()
                    blocks = [block for payload in payloads if (block := columns.since(payload, start)) is not None]
                    if blocks:
                        yield Piece(join(_TELEMETRY, [join(_DEVICES, blocks)]), blocks)
            case _:
                assert_never(data_class)

    def _runs(self, data_class: DataClass) -> Iterator[Sequence[bytes]]:
        """What is kept, as much of it as makes one message."""
        run: list[bytes] = []
        size = 0
        for _, payload in self._kept(data_class):
            run.append(payload)
            size += len(payload)
            if size >= _MESSAGE_BYTES:
                yield run
                run, size = [], 0
        if run:
            yield run

    def _kept(self, data_class: DataClass) -> Iterator[tuple[int, bytes]]:
        start = self._starts.get(data_class)
        if start is None:
            return
        end = min((other for other in self._starts.values() if other > start), default=None)
        self._file.seek(start)
        while start != end and (head := self._file.read(_RECORD.size)):
            instant, length = _RECORD.unpack(head)
            start += len(head) + length
            yield instant, self._file.read(length)

    def _records(self, things: Sequence[Thing]) -> Iterator[tuple[DataClass, int, bytes]]:
        match things[0]:
            case Damaged(data_class):
                self.damaged.add(data_class)
            case AlarmEvent():
                for event in (thing for thing in things if isinstance(thing, AlarmEvent)):
                    yield DataClass.ALARMS, event.time, to_alarm_event(self._customer, event).SerializeToString()
            case Reading():
                readings = (thing for thing in things if isinstance(thing, Reading))
                for device, rows in groupby(readings, key=lambda reading: reading.device):
                    table = columns.of_rows((row.sensor, row.time, row.value) for row in rows)
                    name = names.DEVICE.format(self._customer, device)
                    yield DataClass.TELEMETRY, 0, columns.encode(name, table, historical=False)
            case Location() | Device() | Sensor():
                for start in range(0, len(things), _IN_RECORD):
                    some = things[start : start + _IN_RECORD]
                    yield DataClass.INVENTORY, 0, _inventory(self._customer, some).SerializeToString()
            case _:
                assert_never(things[0])


def _inventory(customer: CustomerId, things: Iterable[Thing]) -> inventory_pb2.InventoryChange:
    change = inventory_pb2.InventoryChange()
    for thing in things:
        match thing:
            case Location():
                change.locations.append(to_location(customer, thing))
            case Device():
                change.devices.append(to_device(customer, thing))
            case Sensor():
                change.sensors.append(to_sensor(customer, thing))
            case AlarmEvent() | Reading() | Damaged():
                pass  # lists are of one kind each
            case _:
                assert_never(thing)
    return change
