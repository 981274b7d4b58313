"""The log in memory: an engine of `consentry_devices.log.engine`, complete but for surviving its process.

It is the contract in its plainest form, for tests: a `MemoryStore` stands for the disk, and each opening of it for a process.
"""

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass, field
from typing import TypeVar, assert_never

from consentry_core.values.encoding import RandomBytes, new_public_id
from consentry_devices.domain.alarms import AlarmEvent
from consentry_devices.domain.frames import Encoder, StreamKey
from consentry_devices.domain.inventory import Inventory, InventoryChange, parents_first
from consentry_devices.domain.state import Reading, Take, Thing
from consentry_devices.log.appender import AppendedLog
from consentry_devices.log.engine import Fenced, Opened, Transaction
from consentry_devices.log.entries import Entry, Removal, Removals
from consentry_devices.log.group import REMEMBERED_FRAMES, Group
from consentry_devices.log.runs import Runs
from consentry_rule import CustomerId, DataClass, Instant

_T = TypeVar("_T")


@dataclass
class MemoryStore:
    """What a disk would hold. A deep copy is a backup."""

    id: str
    runs: list[tuple[int, str]] = field(default_factory=list)
    tail: int = 0
    take_time: Instant = Instant(0)  # noqa: RUF009 - a NewType of int
    entries: list[Entry] = field(default_factory=list)
    removals: dict[CustomerId, dict[DataClass, Removal]] = field(default_factory=dict)
    last_numbers: dict[StreamKey, int] = field(default_factory=dict)
    digests: dict[StreamKey, dict[int, bytes]] = field(default_factory=dict)
    inventories: dict[CustomerId, Inventory] = field(default_factory=dict)
    alarms: dict[CustomerId, dict[str, AlarmEvent]] = field(default_factory=dict)
    latest: dict[CustomerId, dict[tuple[str, str], Reading]] = field(default_factory=dict)

    def open(self, encoder: Encoder, random: RandomBytes) -> AppendedLog:
        """Begin a run, within an event loop. Whoever had the store open before is fenced."""
        if self.runs and self.runs[-1][0] == self.tail + 1:
            self.runs.pop()  # it wrote nothing
        run = new_public_id(random)
        self.runs.append((self.tail + 1, run))
        first = self.entries[0].seq if self.entries else self.tail + 1
        return AppendedLog(MemoryEngine(self, run), encoder, Opened(self.id, Runs(self.runs), first, self.tail, self.take_time))


class MemoryEngine:
    """See `Engine`."""

    def __init__(self, store: MemoryStore, run: str) -> None:
        self._store = store
        self._run = run
        self._one = asyncio.Lock()

    async def transact(self, change: Callable[[Transaction], _T]) -> _T:
        """See `Engine.transact`. Others run between the call and the commit, and between the commit and the answer."""
        return await asyncio.shield(asyncio.ensure_future(self._transact(change)))

    async def _transact(self, change: Callable[[Transaction], _T]) -> _T:
        async with self._one:
            await asyncio.sleep(0)
            answer = change(_MemoryTransaction(self._store, self._run))
            await asyncio.sleep(0)
            return answer

    async def read_after(self, seq: int, limit: int, *, max_bytes: int) -> Sequence[Entry]:
        """See `Log.read_after`."""
        await asyncio.sleep(0)
        entries = self._store.entries
        found: list[Entry] = []
        size = 0
        for entry in entries[bisect_right(entries, seq, key=_seq) :][:limit]:
            found.append(entry)
            size += len(entry.payload)
            if size >= max_bytes:
                break
        return found

    async def removed(self, customers: Iterable[CustomerId] | None) -> Removals:
        """See `Log.removed`."""
        await asyncio.sleep(0)
        of = self._store.removals
        return {customer: dict(of[customer]) for customer in (of if customers is None else of.keys() & set(customers))}

    async def remove_oldest(self, *, up_to: int, taken_before: Instant | None, max_entries: int, max_bytes: int) -> int:
        """See `Engine.remove_oldest`."""

        async def remove() -> int:
            async with self._one:
                await asyncio.sleep(0)
                return self._remove(up_to, taken_before, max_entries, max_bytes)

        return await asyncio.shield(asyncio.ensure_future(remove()))

    async def size(self) -> int:
        """See `RetainedLog.size`: of the payloads alone."""
        return sum(len(entry.payload) for entry in self._store.entries)

    def _remove(self, up_to: int, taken_before: Instant | None, max_entries: int, max_bytes: int) -> int:
        store = self._store
        gone = size = 0
        for entry in store.entries[:max_entries]:
            if entry.seq > up_to or size >= max_bytes or (taken_before is not None and entry.take_time >= taken_before):
                break
            gone, size = gone + 1, size + len(entry.payload)
        if not gone:
            return 0
        _assert_run(store, self._run)
        for entry in store.entries[:gone]:
            of = store.removals.setdefault(entry.customer, {})
            before = of.get(entry.data_class)
            of[entry.data_class] = Removal(entry.seq, entry.max_time if before is None else max(before.until, entry.max_time))
        last = store.entries[gone - 1].seq
        del store.entries[:gone]
        return last


class MemorySnapshots:
    """See `Snapshots`."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def snapshot(self, customer: CustomerId, classes: Set[DataClass], devices: Set[str] | None, take: Take) -> int:
        """See `Snapshots.snapshot`."""
        await asyncio.sleep(0)
        store, known = self._store, self._store.inventories.get(customer, Inventory())
        told: list[Sequence[Thing]] = []
        for data_class in (each for each in DataClass if each in classes):
            match data_class:
                case DataClass.INVENTORY:
                    if devices is None:
                        told.append(parents_first(known.locations[id_] for id_ in sorted(known.locations)))
                    of_these = (known.devices[id_] for id_ in sorted(known.devices) if devices is None or id_ in devices)
                    sensors = sorted(known.sensors.values(), key=lambda sensor: sensor.path)
                    told += [parents_first(of_these), [each for each in sensors if devices is None or each.device in devices]]
                case DataClass.ALARMS:
                    alarms = sorted(store.alarms.get(customer, {}).items())
                    told.append([event for _, event in alarms if devices is None or event.alarm.device in devices])
                case DataClass.TELEMETRY:
                    latest = sorted(store.latest.get(customer, {}).items())
                    told.append([reading for _, reading in latest if devices is None or reading.device in devices])
                case _:
                    assert_never(data_class)
        for things in filter(None, told):
            take(things)
        return store.tail


class _MemoryTransaction:
    """See `Transaction`."""

    def __init__(self, store: MemoryStore, run: str) -> None:
        self._store = store
        self._run = run

    def last_number(self, stream: StreamKey) -> int:
        """See `Known.last_number`."""
        return self._store.last_numbers.get(stream, 0)

    def digest(self, stream: StreamKey, number: int) -> bytes | None:
        """See `Known.digest`."""
        return self._store.digests.get(stream, {}).get(number)

    def inventory(self, customer: CustomerId) -> Inventory:
        """See `Known.inventory`."""
        known = self._store.inventories.get(customer, Inventory())
        return Inventory(dict(known.locations), dict(known.devices), dict(known.sensors))

    def alarm(self, customer: CustomerId, alarm: str) -> AlarmEvent | None:
        """See `Known.alarm`."""
        return self._store.alarms.get(customer, {}).get(alarm)

    def active_alarms(self, customer: CustomerId) -> Iterable[AlarmEvent]:
        """See `Known.active_alarms`."""
        return [event for event in self._store.alarms.get(customer, {}).values() if event.alarm.clear_time is None]

    def count_alarms(self, customer: CustomerId) -> tuple[int, int]:
        """See `Known.count_alarms`."""
        return len(list(self.active_alarms(customer))), len(self._store.alarms.get(customer, {}))

    def gateways(self, customer: CustomerId) -> Set[str]:
        """See `Known.gateways`."""
        return {stream.gateway for stream in self._store.last_numbers if stream.customer == customer}

    def write(self, group: Group) -> None:
        """See `Transaction.write`."""
        store = self._store
        _assert_run(store, self._run)
        store.tail, store.take_time = group.tail, group.take_time
        store.entries += group.entries
        store.last_numbers |= group.last_numbers
        for (stream, number), digest in group.digests.items():
            digests = store.digests.setdefault(stream, {})
            digests[number] = digest
            digests.pop(number - REMEMBERED_FRAMES, None)
        for customer, change in group.changes:
            self._write_inventory(customer, change)
        for (customer, alarm), event in group.alarms.items():
            store.alarms.setdefault(customer, {})[alarm] = event
        for (customer, device), newest in group.latest.items():
            latest = store.latest.setdefault(customer, {})
            for sensor, time, value in newest.values():
                stored = latest.get((device, sensor))
                if stored is None or time >= stored.time:
                    latest[device, sensor] = Reading(device, sensor, time, value)

    def _write_inventory(self, customer: CustomerId, change: InventoryChange) -> None:
        known = self._store.inventories.setdefault(customer, Inventory())
        known.locations.update((location.id, location) for location in change.locations)
        known.devices.update((device.id, device) for device in change.devices)
        known.sensors.update(((sensor.device, sensor.id), sensor) for sensor in change.sensors)
        for location in change.deleted_locations:
            del known.locations[location]
        for device in change.deleted_devices:
            del known.devices[device]
        for sensor in change.deleted_sensors:
            del known.sensors[sensor]
            self._store.latest.get(customer, {}).pop(sensor, None)


def _assert_run(store: MemoryStore, run: str) -> None:
    """Fenced when another run has opened the store since."""
    if store.runs[-1][1] != run:
        raise Fenced


def _seq(entry: Entry) -> int:
    return entry.seq
