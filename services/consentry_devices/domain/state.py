"""How things stand: the tables of current state, and history by time. A port; the engine is `consentry_devices.storage`."""

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from consentry_devices.domain.alarms import AlarmEvent
from consentry_devices.domain.inventory import Device, Location, Sensor
from consentry_rule import CustomerId, DataClass, Instant


@dataclass(frozen=True, slots=True)
class Reading:
    """One sensor's reading: a number or a text. Device and sensor by id."""

    device: str
    sensor: str
    time: Instant
    value: float | str


@dataclass(frozen=True, slots=True)
class Damaged:
    """Of this class something is not here: it is no longer what was written."""

    data_class: DataClass


Thing: TypeAlias = Location | Device | Sensor | AlarmEvent | Reading | Damaged
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
class Blocks:
    """Blocks of a device's history in order, as columns. Each payload is a serialised `DeviceTelemetry`."""

    min_times: Sequence[int]
    max_times: Sequence[int]
    seqs: Sequence[int]
    payloads: Sequence[bytes]
    there_may_be_more: bool
    damaged: bool = False
    """Whether some are not here, because they are no longer what was written."""
    last: Position | None = None
    """The place up to which has been read, when that is not the last one's."""

    def __len__(self) -> int:
        return len(self.payloads)

    @property
    def end(self) -> Position:
        """The place up to which has been read. Of blocks that are not empty, or have a `last`."""
        return self.last or Position(self.min_times[-1], self.max_times[-1], self.seqs[-1])


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

    async def latest(
        self, customer: CustomerId, devices: Set[str], sensors: Set[str], *, after: str, limit: int
    ) -> Sequence[Reading]:
        """The newest reading of each sensor, ordered by the sensor's name.

        Of these devices only, and of these sensors only; an empty set means all. `after` and `sensors` are
        `{device}/sensors/{sensor}`.
        """
        ...

    async def telemetry_devices(self, customer: CustomerId, *, after: str, limit: int) -> Sequence[str]:
        """The devices, by id, that may have readings. One that was deleted is not among them."""
        ...

    async def history(
        self, customer: CustomerId, device: str, start: Instant, end: Instant, *, after: Position, up_to: int, max_bytes: int
    ) -> Blocks:
        """The blocks that hold something of [start, end), in order, after a position, among the entries up to `up_to`.

        At least one if there is one, and no more once their payloads reach `max_bytes`. Whether the device is still there does
        not matter.
        """
        ...

    async def losses(self, customer: CustomerId, start: Instant, end: Instant, *, up_to: int, limit: int) -> Sequence[bytes]:
        """What gateways have lost of [start, end): at most so many serialised `Gap`s, those that begin first first."""
        ...
