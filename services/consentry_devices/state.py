"""How things stand: the tables of current state, and history by time. A port; the engine is `consentry_devices.storage`."""

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from consentry_devices.alarms import AlarmEvent
from consentry_devices.inventory import Device, Location, Sensor
from consentry_rule import CustomerId, DataClass, Instant


@dataclass(frozen=True, slots=True)
class Reading:
    """One sensor's reading: a number or a text. Device and sensor by id."""

    device: str
    sensor: str
    time: Instant
    value: float | str


Thing: TypeAlias = Location | Device | Sensor | AlarmEvent | Reading
"""What a snapshot is made of."""

Take = Callable[[Sequence[Thing]], None]


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a device's history: blocks are ordered by earliest time, latest time, and number in the log."""

    min_time: int
    max_time: int
    seq: int


BEGINNING = Position(-(2**63), -(2**63), 0)


@dataclass(frozen=True, slots=True)
class Block:
    """One block of a device's history: a serialised `DeviceTelemetry`."""

    position: Position
    payload: bytes


class Snapshots(Protocol):
    """Of the current state what the feed needs."""

    async def snapshot(self, customer: CustomerId, classes: Set[DataClass], devices: Set[str] | None, take: Take) -> int:
        """Tell `take` how the customer's things stand, exactly after the log's entry whose number is returned.

        All of it is read in one transaction, whatever a consent opens; of these classes, and what concerns these devices (None:
        everything). `take` is called on a thread of the database, with things of one kind at a time and not many: inventory
        first, locations and devices with parents before children; then the newest event of each alarm; then the newest
        reading of each sensor, ordered by device. The number may be beyond the log's `tail()` for a moment, because entries
        are numbered before subscribers see them.
        """
        ...


class State(Snapshots, Protocol):
    """Reads. Lists are ordered by name and begin after the id given ("" for the first)."""

    async def locations(self, customer: CustomerId, *, after: str, limit: int) -> Sequence[Location]:
        """The customer's locations."""
        ...

    async def devices(self, customer: CustomerId, *, after: str, limit: int) -> Sequence[Device]:
        """The customer's devices."""
        ...

    async def device(self, customer: CustomerId, device: str) -> Sequence[Device]:
        """The device, what it is part of, and so on to the top. Empty when it is not there."""
        ...

    async def sensors(self, customer: CustomerId, device: str | None, *, after: str, limit: int) -> Sequence[Sensor]:
        """The sensors of a customer or of one device. `after` is `{device}/sensors/{sensor}`."""
        ...

    async def alarms(self, customer: CustomerId, *, active_only: bool, after: str, limit: int) -> Sequence[AlarmEvent]:
        """The newest event of each alarm."""
        ...

    async def alarm(self, customer: CustomerId, alarm: str) -> AlarmEvent | None:
        """The newest event of one alarm."""
        ...

    async def alarm_events(self, customer: CustomerId, alarm: str, *, after: int, limit: int) -> Sequence[AlarmEvent]:
        """An alarm's events by number, after the one given."""
        ...

    async def latest(self, customer: CustomerId, devices: Set[str], sensors: Set[tuple[str, str]]) -> Sequence[Reading]:
        """The newest reading of each sensor, ordered by the sensor's name.

        Of these devices only, and of these (device, sensor) only; an empty set means all.
        """
        ...

    async def telemetry_devices(self, customer: CustomerId, *, up_to: int) -> Sequence[str]:
        """The devices, by id in order, that have readings among the log's entries up to `up_to`."""
        ...

    async def history(
        self, customer: CustomerId, device: str, start: Instant, end: Instant, *, after: Position, up_to: int, max_bytes: int
    ) -> Sequence[Block]:
        """The blocks that hold something of [start, end), in order, after a position, among the entries up to `up_to`.

        At least one if there is one, and no more once their payloads reach `max_bytes`.
        """
        ...
