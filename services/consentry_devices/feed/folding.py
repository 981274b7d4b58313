"""Of what came, only the newest: the readings that a reader of LATEST or SAMPLE has yet to be told. No I/O.

Each sensor has at most one value pending, so memory is bounded by the number of sensors. Readings that are folded are counted,
and every one that is looked at is told or counted once, also when the reader comes back with a cursor in between: a cursor
stands before the first value that is pending. When the values are too many for one message they go out device by device, in
order, and the cursor says how far that has got.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from consentry_core.values import names
from consentry_devices.blocks import columns
from consentry_devices.feed.cursor import BEFORE_SENSOR, Place, device_key
from consentry_devices.log.entries import Entry
from consentry_guard import Access
from consentry_rule import CustomerId, DataClass, Instant

_MESSAGE_BYTES = 64 * 1024
_READING_BYTES = 24  # without its sensor's id and its text
_LONG_AGO = Instant(-(2**63))

OpenedFrom = Callable[[CustomerId], Instant | None]
"""The earliest data of a customer's telemetry that is open now; None when none is."""


@dataclass(frozen=True, slots=True)
class Folded:
    """The newest readings, a serialised `DeviceTelemetry` a device, and how many were folded since the message before."""

    blocks: tuple[bytes, ...]
    folded_count: int
    accesses: frozenset[Access]


@dataclass(slots=True)
class _Pending:
    """What one device has to tell: by sensor, the newest reading; and how many came that will not be told."""

    customer: CustomerId
    device: str
    values: dict[str, tuple[Instant, float | str]] = field(default_factory=dict)
    folded: int = 0

    def first(self, size: int) -> Mapping[str, tuple[Instant, float | str]]:
        """All values if they make about so many bytes or fewer, else the first of them, by sensor."""
        if sum(map(_size, self.values, self.values.values())) <= size:
            return self.values
        some: dict[str, tuple[Instant, float | str]] = {}
        for sensor in sorted(self.values):
            size -= _size(sensor, self.values[sensor])
            if size < 0 and some:
                break
            some[sensor] = self.values[sensor]
        return some if len(some) < len(self.values) else self.values


def _size(sensor: str, value: tuple[Instant, float | str]) -> int:
    return len(sensor) + _READING_BYTES + (4 * len(value[1]) if isinstance(value[1], str) else 0)


class Folding:
    """See the module. `place` is where the reader stands; what comes first is what it has not dealt with of that."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._behind = place.seq  # up to here it has been dealt with in part
        self._devices: dict[str, _Pending] = {}
        self._values = 0
        self._uncounted = place.folded
        self._order: list[str] = []  # devices that remain to be told, the next one last
        self._newest: dict[str, dict[str, Instant]] = {}  # told, by device and sensor

    @property
    def place(self) -> Place:
        """What has been dealt with, as if nothing that is pending had been looked at."""
        return self._place

    def __bool__(self) -> bool:
        """Whether there is a value to tell."""
        return self._values > 0

    def add(self, entry: Entry, payload: bytes) -> None:
        """Look at a block: all of the entry's payload, or what is open of it. `moved_to` comes after each entry."""
        _, table = columns.read_telemetry(payload)
        key = device_key(entry)
        pending = self._devices.get(key)
        if pending is None:
            assert entry.device is not None  # noqa: S101 - a block is of a device
            pending = self._devices[key] = _Pending(entry.customer, entry.device)
        before = len(pending.values)
        if not entry.historical:  # what fills in what was missed is no news
            told = self._newest.get(key, {})
            for sensor, (time, value) in columns.newest(table).items():
                known = pending.values.get(sensor)
                if time >= told.get(sensor, _LONG_AGO) and (known is None or time >= known[0]):
                    pending.values[sensor] = (time, value)
        new = len(pending.values) - before
        self._values += new
        pending.folded += len(table) - new

    def moved_to(self, seq: int, take_time: Instant) -> None:
        """Everything up to this entry has been looked at."""
        if self._values or self._order or seq < self._behind:
            if seq > self._place.seq:
                self._place = replace(self._place, seq=seq, part=0)
            return
        self._uncounted += sum(pending.folded for pending in self._devices.values())
        self._devices.clear()
        self._place = replace(Place.at(seq, take_time), folded=self._uncounted)

    def told_part(self, part: int) -> None:
        """So many things of the entry after the last one that was looked at have been told."""
        self._place = replace(self._place, part=part)

    def told(self, customer: CustomerId, block: bytes) -> None:
        """A snapshot has told this block: what is older is no news."""
        device, table = columns.read_telemetry(block)
        key = f"{customer}/{names.DEVICE.parse(device, 'device')[1]}"
        newest = self._newest.setdefault(key, {})
        newest |= {sensor: time for sensor, (time, _) in columns.newest(table).items()}

    def drop(self, customer: CustomerId) -> None:
        """Nothing that is pending of this customer is to be told: it has left, or a snapshot says it anew."""
        for key in [key for key, pending in self._devices.items() if pending.customer == customer]:
            self._values -= len(self._devices.pop(key).values)
        if not self._values:
            self._order.clear()

    def take(self, opened_from: OpenedFrom, take_time: Instant) -> Folded | None:
        """The next message, made in the step that hands it over; None when all is told.

        Until then nothing is added. `take_time` is that of the entry up to which all have been looked at.
        """
        if not self._order:
            if not self._values:
                return None
            self._order = sorted(self._devices, reverse=True)
            self._leave_out_told()
        blocks: list[bytes] = []
        accesses: set[Access] = set()
        count, size = self._uncounted, 0
        self._uncounted = 0
        while self._order and (size < _MESSAGE_BYTES or not self._values):  # what is left then only counts
            key = self._order[-1]
            pending = self._devices.get(key)
            if pending is None:
                self._order.pop()
                continue  # dropped meanwhile
            some = pending.first(_MESSAGE_BYTES)
            last = some is pending.values
            self._values -= len(some)
            start = opened_from(pending.customer)
            block = self._block(key, pending, some, start)
            if last:
                del self._devices[self._order.pop()]
                count += 0 if start is None else pending.folded  # of what is closed, not even how many there were
            else:
                pending.values = {sensor: value for sensor, value in pending.values.items() if sensor not in some}
            if block is not None:
                blocks.append(block)
                size += len(block)
                accesses.add((pending.customer, DataClass.TELEMETRY))
            device = key if last else f"{key}{BEFORE_SENSOR}{max(some)}"
            # What is not counted yet waits for a message that is sent, and for the last one of a device.
            self._place = replace(self._place, device=device, folded=0)
        if not blocks:
            self._uncounted = count
        if not self._order:
            self._place = replace(Place.at(self._place.seq, take_time), folded=self._uncounted, part=self._place.part)
        return Folded(tuple(blocks), count, frozenset(accesses)) if blocks else None

    def _leave_out_told(self) -> None:
        """Of a device that had been told of in part, what was told."""
        key, _, last = self._place.device.partition(BEFORE_SENSOR)
        pending = self._devices.get(key)
        if last and pending is not None:
            left = {sensor: value for sensor, value in pending.values.items() if sensor > last}
            self._values -= len(pending.values) - len(left)
            pending.values = left

    def _block(
        self, key: str, pending: _Pending, values: Mapping[str, tuple[Instant, float | str]], start: Instant | None
    ) -> bytes | None:
        if start is None:
            return None
        rows = [(sensor, time, value) for sensor, (time, value) in values.items() if time >= start]
        if not rows:
            return None
        self._newest.setdefault(key, {}).update((sensor, time) for sensor, time, _ in rows)
        name = names.DEVICE.format(pending.customer, pending.device)
        return columns.encode(name, columns.of_rows(rows), historical=False)
