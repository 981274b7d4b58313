"""What was published, and what a reader was told of it: the reference that the feed is held against.

Everything that is told has a place in a line of its own: a sensor's readings, an alarm's events, a device's names. Of a line a
reader is told every item, in order, once, as long as it is covered; where it may begin and what it may skip is here.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol, TypeAlias

from consentry.authority.v1 import data_class_pb2
from consentry.devices.v1 import alarms_pb2, feed_pb2, gap_pb2, inventory_pb2, telemetry_pb2
from consentry_devices.log.entries import Entry, Kind
from consentry_rule import CustomerId, DataClass, Instant


class Line(NamedTuple):
    """What comes one after the other: `what` is a sensor, `alarm` or `name`."""

    customer: CustomerId
    data_class: DataClass
    what: str


@dataclass(frozen=True)
class Item:
    """One thing to tell, and the log's entry that it came with."""

    value: int
    time: Instant
    seq: int


class Wrong(AssertionError):
    """Something was lost, repeated, or told to who must not be told."""


Told: TypeAlias = tuple[Line, int]
Counts: TypeAlias = Mapping[Line, int]


@dataclass
class Published:
    """All that the store holds or has held, as the log has it: by line, in order."""

    kept: dict[Line, list[Item]] = field(default_factory=dict)
    first: int = 1
    """The oldest entry that retention has left."""
    tail: int = 0
    """The newest entry of all that was committed."""
    restores: int = 0
    """How often an older copy of the store was put in its place."""

    def add(self, entries: Iterable[Entry]) -> None:
        """These were committed."""
        for entry in entries:
            self.tail = entry.seq
            for line, value, time in _contents(entry):
                self.kept.setdefault(line, []).append(Item(value, time, entry.seq))

    def counts(self) -> Counts:
        """How many there are."""
        return {line: len(items) for line, items in self.kept.items()}

    def of(self, line: Line) -> list[Item]:
        """A line, from its beginning."""
        return self.kept.get(line, [])

    def index(self, line: Line, value: int) -> int:
        """The place in its line of something that was told."""
        for index, item in enumerate(self.of(line)):
            if item.value == value:
                return index
        raise Wrong(f"{line}: {value} was told, and is not there")


@dataclass(frozen=True)
class Made:
    """When a message was made: how many items of each line there were, at the earliest and at the latest, and what was open.

    `resumed`: on a stream that was opened after a cursor.
    """

    earliest: Counts
    latest: Counts
    resumed: bool
    opened_from: Mapping[CustomerId, Instant]
    broken: frozenset[CustomerId] = frozenset()
    """Those who were not covered at some time since the reader was told all, by one of the keys that it came with."""
    step: int = 0
    """How much had happened in the world."""


class Access(Protocol):
    """What the reader may have now."""

    def covered(self) -> Mapping[CustomerId, frozenset[DataClass]]:
        """The customers, with the classes that are open."""
        ...

    def opened_from(self, customer: CustomerId) -> Instant:
        """The earliest data that is open."""
        ...


@dataclass
class Ledger:
    """What one client knows. `folding`: of readings only the newest are due. `live`: it began with what happened next.

    A stream that is opened again tells how things stand of whoever enters, also when the first one did not.
    """

    folding: bool = False
    live: bool = False
    only: frozenset[CustomerId] = frozenset()
    cursor: str = ""
    members: dict[CustomerId, frozenset[DataClass]] = field(default_factory=dict)
    last: dict[Line, int] = field(default_factory=dict)
    """By line, the value that was told last since the customer, or its class, entered."""
    entered: dict[tuple[CustomerId, DataClass], Made] = field(default_factory=dict)
    """By class, when the customer, or its class, entered."""
    reopened: set[tuple[CustomerId, DataClass]] = field(default_factory=set)
    """Said to be open again: its lines may be told from where they stand now."""
    missing: dict[tuple[CustomerId, DataClass], int] = field(default_factory=dict)
    """By class, the entry before which all that was not told is gone, and was said to be."""
    restores: int = 0
    synced: bool = False
    once: set[tuple[CustomerId, DataClass]] = field(default_factory=set)
    """What was ever open to it."""
    owed: set[tuple[CustomerId, DataClass]] = field(default_factory=set)
    """What is open again, and of which it has not been said that something is missing."""

    def take(self, message: feed_pb2.WatchResponse, made: Made, published: Published) -> None:
        """The next message."""
        if self.restores != published.restores:  # what was counted then is no measure now
            self.entered = {of: replace(entered, earliest={}) for of, entered in self.entered.items()}
        match message.WhichOneof("event"):
            case "customer_added":
                self._added(message.customer_added, made)
            case "customer_removed":
                self._removed(CustomerId(message.customer_removed.customer.partition("/")[2]), made)
            case "gap":
                self._gap(message.gap, published)
            case "synced":
                self.synced = True
            case "heartbeat":
                pass
            case _:
                for line, value in _told(message):
                    self._tell(line, value, made, published)
        self.cursor = message.cursor
        self.restores = published.restores

    def complete(self, access: Access, published: Published) -> None:
        """There is nothing more to come: all that is due must have been told."""
        if self.owed:
            raise Wrong(f"not said to have a gap: {self.owed}")
        covered = {
            customer: classes for customer, classes in access.covered().items() if not self.only or customer in self.only
        }
        if covered != self.members:
            raise Wrong(f"takes {self.members} for covered, not {covered}")
        for line, items in published.kept.items():
            if line.data_class not in self.members.get(line.customer, ()):
                continue
            begin = 0 if not self.live else self.entered[line.customer, line.data_class].latest.get(line, 0)
            due = [item for item in items[begin:] if item.time >= access.opened_from(line.customer)]
            if due and self.last.get(line) != due[-1].value and not self._is_gone(line, due[-1]):
                raise Wrong(f"{line}: {due[-1].value} was never told; {self.last.get(line)} was the last")

    def _is_gone(self, line: Line, item: Item) -> bool:
        """Whether it was said that this is not kept."""
        return item.seq < self.missing.get((line.customer, line.data_class), 0)

    # Coverage

    def _added(self, added: feed_pb2.WatchResponse.CustomerAdded, made: Made) -> None:
        customer = CustomerId(added.customer.partition("/")[2])
        classes = frozenset(_CLASSES[data_class] for data_class in added.data_classes)
        before = self.members.get(customer, frozenset())
        self.owed -= {(customer, data_class) for data_class in DataClass if data_class not in classes}
        self.owed |= {(customer, data_class) for data_class in classes - before} & self.once
        self.once |= {(customer, data_class) for data_class in classes}
        self._forget(customer, before - classes if before else DataClass)
        for data_class in classes:
            if data_class in before:
                self.reopened.add((customer, data_class))
            else:
                self.entered[customer, data_class] = made
        self.members[customer] = classes

    def _removed(self, customer: CustomerId, made: Made) -> None:
        if customer in self.members and customer not in made.broken:
            raise Wrong(f"{customer} was removed, and was covered all the time")
        self.owed -= {(customer, data_class) for data_class in DataClass}
        self.members.pop(customer, None)
        self._forget(customer, DataClass)

    def _forget(self, customer: CustomerId, classes: Iterable[DataClass]) -> None:
        for data_class in classes:
            self.reopened.discard((customer, data_class))
            self.missing.pop((customer, data_class), None)
            self.entered.pop((customer, data_class), None)
            for what in _WHAT[data_class]:
                self.last.pop(Line(customer, data_class, what), None)

    def _gap(self, gap: gap_pb2.Gap, published: Published) -> None:
        customer = CustomerId(gap.customer.partition("/")[2])
        if customer not in self.members:
            raise Wrong(f"a gap of {customer}, which is not covered")
        if gap.cause == gap_pb2.Gap.CAUSE_NOT_COVERED:
            told = [_CLASSES[data_class] for data_class in gap.data_classes] or list(DataClass)
            self.owed -= {(customer, data_class) for data_class in told}
        if gap.cause == gap_pb2.Gap.CAUSE_NOT_KEPT:
            for data_class in gap.data_classes:
                self.missing[customer, _CLASSES[data_class]] = published.first

    # Items

    def _tell(self, line: Line, value: int, made: Made, published: Published) -> None:
        if line.data_class not in self.members.get(line.customer, ()):
            raise Wrong(f"{line}: {value} was told to who is not covered")
        if (line.customer, line.data_class) in self.owed:
            raise Wrong(f"{line}: {value} was told, and not that something before it is missing")
        items, index = published.of(line), published.index(line, value)
        opened_from = made.opened_from[line.customer]
        if line.data_class is not DataClass.INVENTORY and items[index].time < opened_from:
            raise Wrong(f"{line}: {value} is older than what is open")
        if line in self.last:
            skipped = self._since_last(line, items, index, published)
        else:
            skipped = self._since_entering(line, items, index)
        lost = [item.value for item in skipped if item.time >= opened_from and not self._is_gone(line, item)]
        if lost and not (self.folding and line.data_class is DataClass.TELEMETRY):
            raise Wrong(f"{line}: {lost} were lost before {value}")
        self.last[line] = value

    def _since_last(self, line: Line, items: list[Item], index: int, published: Published) -> list[Item]:
        is_reopened = (line.customer, line.data_class) in self.reopened
        if is_reopened and all(item.value != self.last[line] for item in items):
            return []  # of a snapshot that was begun before an older copy of the store took its place, and is told anew
        last = published.index(line, self.last[line])
        if index < last or (index == last and not is_reopened):
            raise Wrong(f"{line}: {items[index].value} was told after {items[last].value}")
        return [] if is_reopened else items[last + 1 : index]

    def _since_entering(self, line: Line, items: list[Item], index: int) -> list[Item]:
        """What was left out before the first that is told.

        A snapshot tells how things stand when it is read: never an older state than when it was said that the customer enters.
        Without snapshots, what comes from then on is told, and maybe some of what came while that waited to be said.
        """
        made = self.entered[line.customer, line.data_class]
        if self.live:
            is_told_anew = made.resumed or (line.customer, line.data_class) in self.reopened
            return [] if is_told_anew else items[made.latest.get(line, 0) : index]
        stood = made.earliest.get(line, 0)
        if index < stood - 1:
            raise Wrong(f"{line}: {items[index].value} was told, and {items[stood - 1].value} was so")
        return []


def accesses(message: feed_pb2.WatchResponse) -> Iterator[tuple[CustomerId, DataClass]]:
    """What a message says something about, of whom it must be covered: everything but that a customer leaves."""
    added, gap = message.customer_added, message.gap
    for data_class in added.data_classes:
        yield _customer(added.customer), _CLASSES[data_class]
    for data_class in gap.data_classes:
        yield _customer(gap.customer), _CLASSES[data_class]
    for line, _ in _told(message):
        yield line.customer, line.data_class


_CLASSES = {data_class_pb2.DataClass.Value(f"DATA_CLASS_{data_class.name}"): data_class for data_class in DataClass}
_WHAT = {DataClass.INVENTORY: ("name",), DataClass.ALARMS: ("alarm",), DataClass.TELEMETRY: ("load", "volt")}


def _contents(entry: Entry) -> Iterator[tuple[Line, int, Instant]]:
    message = feed_pb2.WatchResponse()
    match entry.kind:
        case Kind.TELEMETRY:
            message.telemetry.devices.append(telemetry_pb2.DeviceTelemetry.FromString(entry.payload))
            times = [Instant(time) for time in message.telemetry.devices[0].block.times_unix_nano]
        case Kind.INVENTORY:
            message.inventory_change.CopyFrom(inventory_pb2.InventoryChange.FromString(entry.payload))
            times = [entry.take_time]
        case _:
            message.alarm_change.CopyFrom(alarms_pb2.AlarmEvent.FromString(entry.payload))
            times = [entry.min_time]
    for (line, value), time in zip(_told(message), times, strict=True):
        yield line, value, time


def _told(message: feed_pb2.WatchResponse) -> Iterator[Told]:
    for device in message.inventory_change.devices:
        yield Line(_customer(device.name), DataClass.INVENTORY, "name"), int(device.display_name)
    if message.HasField("alarm_change"):
        event = message.alarm_change
        yield Line(_customer(event.alarm.name), DataClass.ALARMS, "alarm"), event.number
    for telemetry in message.telemetry.devices:
        block = telemetry.block
        for index, value in zip(block.sensor_indexes, block.values, strict=True):
            yield Line(_customer(telemetry.device), DataClass.TELEMETRY, block.sensors[index]), int(value)


def _customer(name: str) -> CustomerId:
    return CustomerId(name.split("/")[1])
