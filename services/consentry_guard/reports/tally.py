"""What each key read, counted message by message, for the customers' access log. Without I/O.

    tally.count(key, instant, bytes, {access: Handed(...)})     in the step that begins a write: about a microsecond
    tally.take(now)                                              what was counted since the last time

Counted is what was handed to the transport. Counts are by hour of the authority's clock, key, customer and data class. They are
bounded: at most so many different ones an hour, and at most so many devices told apart; what is beyond is not counted, and
`left_out` says how many messages that were.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from consentry_guard.calls.access import Access, Handed
from consentry_rule import CustomerId, DataClass, Instant

HOUR = 3_600_000_000_000
_MOST_COUNTS = 100_000
_MOST_DEVICES = 1_000_000


@dataclass(frozen=True, slots=True)
class Count:
    """What a key read in one hour of one class of one customer, since the count before.

    `data_class` None is that of refusals that name none. `devices` is how many different ones since the hour began.
    """

    hour: Instant
    key: str
    customer: CustomerId
    data_class: DataClass | None
    messages: int = 0
    readings: int = 0
    bytes: int = 0
    devices: int = 0
    refusals: int = 0


@dataclass(slots=True)
class _Sum:
    messages: int = 0
    readings: int = 0
    bytes: int = 0
    refusals: int = 0
    devices: set[str] = field(default_factory=set)
    changed: bool = False


_Subject = tuple[str, CustomerId, DataClass | None]


class Tally:
    """Counts of one incarnation."""

    def __init__(self, *, most_counts: int = _MOST_COUNTS, most_devices: int = _MOST_DEVICES) -> None:
        self._most_counts = most_counts
        self._most_devices = most_devices
        self._hour = Instant(0)
        self._sums: dict[_Subject, _Sum] = {}
        self._changed: list[tuple[_Subject, _Sum]] = []
        self._devices = 0
        self._done: list[Count] = []
        self.left_out = 0

    def count(self, key: str, instant: Instant, size: int, handed: Mapping[Access, Handed]) -> None:
        """A message of so many bytes is handed over, which holds this. The bytes are shared out as `Handed.bytes` says."""
        if not self._hour <= instant < self._hour + HOUR:
            self._begin_hour(instant)
        for (customer, data_class), held in handed.items():
            total = self._sum((key, customer, data_class))
            if total is None:
                self.left_out += 1
                continue
            total.messages += 1
            total.readings += held.readings
            total.bytes += held.bytes or size
            if held.devices and not held.devices <= total.devices and self._devices < self._most_devices:
                before = len(total.devices)
                total.devices |= held.devices
                self._devices += len(total.devices) - before

    def refuse(self, key: str, instant: Instant, customer: CustomerId, data_class: DataClass | None) -> None:
        """Somebody asked with this key for what is not allowed."""
        if not self._hour <= instant < self._hour + HOUR:
            self._begin_hour(instant)
        total = self._sum((key, customer, data_class))
        if total is None:
            self.left_out += 1
        else:
            total.refusals += 1

    def take(self) -> list[Count]:
        """What was counted since the last time."""
        counts, self._done = self._done, []
        for (key, customer, data_class), total in self._changed:
            count = Count(
                self._hour, key, customer, data_class,
                total.messages, total.readings, total.bytes, len(total.devices), total.refusals,
            )  # fmt: skip
            counts.append(count)
            total.messages = total.readings = total.bytes = total.refusals = 0
            total.changed = False
        self._changed.clear()
        return counts

    def _sum(self, subject: _Subject) -> _Sum | None:
        total = self._sums.get(subject)
        if total is None:
            if len(self._sums) >= self._most_counts:
                return None
            total = self._sums[subject] = _Sum()
        if not total.changed:
            total.changed = True
            self._changed.append((subject, total))
        return total

    def _begin_hour(self, instant: Instant) -> None:
        self._done = self.take()
        self._hour = Instant(instant - instant % HOUR)
        self._sums.clear()
        self._devices = 0
