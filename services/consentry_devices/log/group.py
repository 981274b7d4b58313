"""One group of frames, put together: what is appended to the log, and what changes with it, all of it or nothing.

No I/O: what is known is asked of the transaction (`Known`), and what happened is there to be written by the engine.
"""

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from typing import Protocol

from consentry_devices.domain.alarms import AlarmEvent, EventKind
from consentry_devices.domain.frames import Encoder, Frame, Happened, Newest, StreamKey, check_number, check_same, take_in
from consentry_devices.domain.inventory import Inventory, InventoryChange
from consentry_devices.domain.limits import GATEWAYS_OF_CUSTOMER, check_growth
from consentry_devices.log.entries import CLASS_OF, Entry, Kind
from consentry_rule import CustomerId, Instant

REMEMBERED_FRAMES = 1_000
"""Of how many of its last frames a numbering keeps the digest."""

_LARGEST_MEMORY = 1_000
_LARGEST_INVENTORIES = 64 * 1024 * 1024  # characters; in memory they take several times as much


class Known(Protocol):
    """What is stored, as the transaction finds it."""

    def last_number(self, stream: StreamKey) -> int:
        """The number of the numbering's last frame; 0 when there is none."""
        ...

    def digest(self, stream: StreamKey, number: int) -> bytes | None:
        """The digest of a frame that was taken in; None when it is no longer kept."""
        ...

    def inventory(self, customer: CustomerId) -> Inventory:
        """Everything that the customer has; the caller may change it."""
        ...

    def alarm(self, customer: CustomerId, alarm: str) -> AlarmEvent | None:
        """The newest event of an alarm."""
        ...

    def active_alarms(self, customer: CustomerId) -> Iterable[AlarmEvent]:
        """The newest event of each of the customer's alarms that is active."""
        ...

    def count_alarms(self, customer: CustomerId) -> tuple[int, int]:
        """How many alarms of the customer are active, and how many there are."""
        ...

    def gateways(self, customer: CustomerId) -> Set[str]:
        """The ids that the customer's gateways have published under."""
        ...


@dataclass(slots=True)
class Memory:
    """What the one appender need not read again, because nobody else changes it. To be forgotten when a transaction fails."""

    inventories: dict[CustomerId, Inventory] = field(default_factory=dict)
    last_numbers: dict[StreamKey, int] = field(default_factory=dict)
    alarms: dict[CustomerId, tuple[int, int]] = field(default_factory=dict)
    """How many are active, and how many there are."""

    def forget(self) -> None:
        """Know nothing, so that everything is read again."""
        self.inventories.clear()
        self.last_numbers.clear()
        self.alarms.clear()

    def shrink(self) -> None:
        """Keep it bounded, between transactions. All at once is good enough: reading again is cheap, and rare."""
        if (
            len(self.inventories) > _LARGEST_MEMORY
            or len(self.last_numbers) > _LARGEST_MEMORY
            or len(self.alarms) > _LARGEST_MEMORY
            or sum(inventory.size for inventory in self.inventories.values()) > _LARGEST_INVENTORIES
        ):
            self.forget()


class Group:
    """What a transaction is going to write. `add` frames, then let the engine write the rest of the attributes."""

    def __init__(self, known: Known, memory: Memory, encoder: Encoder, *, tail: int, take_time: Instant) -> None:
        self._known = known
        self._memory = memory
        self._encoder = encoder
        self.tail = tail
        """Number of the last entry, with those of the group."""
        self.take_time = take_time
        """When the last entry was taken in."""
        self.entries: list[Entry] = []
        self.digests: dict[tuple[StreamKey, int], bytes] = {}
        self.last_numbers: dict[StreamKey, int] = {}
        self.changes: list[tuple[CustomerId, InventoryChange]] = []
        self.events: list[tuple[CustomerId, AlarmEvent]] = []
        self.alarms: dict[tuple[CustomerId, str], AlarmEvent] = {}
        """Of the alarms that something happened to, the newest event."""
        self.latest: dict[tuple[CustomerId, str], dict[str, Newest]] = {}
        """By customer and device, of the sensors that there are readings of, the newest; the one that is stored may be newer.

        What is stored of sensors that `changes` delete goes before these are written: a sensor may be made anew.
        """

    def last_number(self, stream: StreamKey) -> int:
        """The number of the last frame of the stream's epoch that was taken in; 0 when there is none."""
        known = self._memory.last_numbers.get(stream)
        if known is None:
            known = self._memory.last_numbers[stream] = self._known.last_number(stream)
        return known

    def add(self, stream: StreamKey, frame: Frame) -> None:
        """Take a frame in. A ConsentryError refuses it, and nothing of it is in the group."""
        if not check_number(frame.number, self.last_number(stream)):
            stored = self.digests.get((stream, frame.number)) or self._known.digest(stream, frame.number)
            check_same(frame.digest, stored)
            return
        self._check_gateway(stream)
        alarms = _Alarms(self._known, stream.customer, self.alarms, self._memory)
        self._log(stream, frame, take_in(frame, stream.gateway, self._inventory(stream.customer), alarms))
        self.digests[stream, frame.number] = frame.digest
        self.last_numbers[stream] = self._memory.last_numbers[stream] = frame.number

    def _check_gateway(self, stream: StreamKey) -> None:
        if self.last_number(stream):
            return
        known = {*self._known.gateways(stream.customer)}
        known |= {other.gateway for other in self.last_numbers if other.customer == stream.customer}
        if stream.gateway not in known:
            check_growth(
                len(known) + 1, len(known), "hello.gateway", most=GATEWAYS_OF_CUSTOMER, what="ids that gateways publish under"
            )

    def _inventory(self, customer: CustomerId) -> Inventory:
        known = self._memory.inventories.get(customer)
        if known is None:
            known = self._memory.inventories[customer] = self._known.inventory(customer)
        return known

    def _log(self, stream: StreamKey, frame: Frame, happened: Happened) -> None:
        customer = stream.customer
        self.take_time = max(self.take_time, frame.time)
        self._log_alarms(customer, happened.ended, late=False)
        if happened.inventory:
            for payload in self._encoder.inventory_changes(customer, happened.inventory):
                self._append(customer, Kind.INVENTORY, None, (frame.time, frame.time), payload)
            self.changes.append((customer, happened.inventory))
            for device, sensor in happened.inventory.deleted_sensors:
                self.latest.get((customer, device), {}).pop(sensor, None)
        self._log_alarms(customer, happened.alarms, late=frame.historical)
        if frame.loss is not None:
            payload = self._encoder.loss(customer, stream.gateway, frame.loss)
            self._append(customer, Kind.GAP, None, (frame.loss.start, frame.loss.end), payload, late=frame.historical)
        for block in frame.telemetry:
            span = (block.min_time, block.max_time)
            self._append(customer, Kind.TELEMETRY, block.device, span, block.payload, late=frame.historical)
            latest = self.latest.setdefault((customer, block.device), {})
            for reading in block.newest:
                sensor, time, _ = reading
                before = latest.get(sensor)
                if before is None or time >= before[1]:
                    latest[sensor] = reading

    def _log_alarms(self, customer: CustomerId, events: Iterable[AlarmEvent], *, late: bool) -> None:
        for event in events:
            payload = self._encoder.alarm_event(customer, event)
            self._append(customer, Kind.ALARM, event.alarm.device, (event.time, event.time), payload, late=late)
            self.events.append((customer, event))
            self.alarms[customer, event.alarm.id] = event
            if customer in self._memory.alarms:
                active, there = self._memory.alarms[customer]
                active += {EventKind.CLEARED: -1, EventKind.CHANGED: 0}.get(event.kind, 1)
                self._memory.alarms[customer] = active, there + (event.kind is EventKind.ACTIVATED)

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
        self.tail += 1
        self.entries.append(Entry(self.tail, customer, CLASS_OF[kind], kind, device, *span, self.take_time, late, payload))


class _Alarms:
    """See `KnownAlarms`: what is stored of one customer's, and over it what the group has made of it so far."""

    def __init__(
        self, known: Known, customer: CustomerId, told: Mapping[tuple[CustomerId, str], AlarmEvent], memory: Memory
    ) -> None:
        self._memory = memory
        self._known = known
        self._customer = customer
        self._told = told

    def counts(self) -> tuple[int, int]:
        """See `KnownAlarms.counts`."""
        found = self._memory.alarms.get(self._customer)
        if found is None:
            active, there = self._known.count_alarms(self._customer)
            for event in (event for (customer, _), event in self._told.items() if customer == self._customer):
                before = self._known.alarm(self._customer, event.alarm.id)
                was_active = before is not None and before.alarm.clear_time is None
                active += (event.alarm.clear_time is None) - was_active
                there += before is None
            found = self._memory.alarms[self._customer] = active, there
        return found

    def newest(self, alarm: str) -> AlarmEvent | None:
        """See `KnownAlarms.newest`."""
        return self._told.get((self._customer, alarm)) or self._known.alarm(self._customer, alarm)

    def active_of(self, devices: Set[str]) -> Iterable[AlarmEvent]:
        """See `KnownAlarms.active_of`."""
        newest = {event.alarm.id: event for event in self._known.active_alarms(self._customer)}
        newest |= {alarm: event for (customer, alarm), event in self._told.items() if customer == self._customer}
        known = (newest[alarm] for alarm in sorted(newest))
        return [event for event in known if event.alarm.clear_time is None and event.alarm.device in devices]
