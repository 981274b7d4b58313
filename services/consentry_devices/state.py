"""How things stand: the tables of current state, and history by time. A port; the engine is `consentry_devices.storage`."""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Protocol

from consentry_devices.alarms import AlarmEvent
from consentry_devices.inventory import Device, Location, Sensor
from consentry_rule import CustomerId, Instant


@dataclass(frozen=True, slots=True)
class Reading:
    """One sensor's reading: a number or a text. Device and sensor by id."""

    device: str
    sensor: str
    time: Instant
    value: float | str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """How all that one customer has stands, exactly after the log's entry `seq`. All of it, whatever a consent opens.

    Parents come before children. `alarms` are newest events; `latest` is ordered by device. Because entries are numbered before
    subscribers see them, `seq` may be beyond the log's `tail()` for a moment.
    """

    seq: int
    locations: tuple[Location, ...]
    devices: tuple[Device, ...]
    sensors: tuple[Sensor, ...]
    alarms: tuple[AlarmEvent, ...]
    latest: tuple[Reading, ...]


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

    async def snapshot(self, customer: CustomerId) -> Snapshot:
        """How the customer's things stand, read in one transaction."""
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
