"""A snapshot out of the store, whole."""

from collections.abc import Sequence, Set
from dataclasses import dataclass, field

from consentry_devices.domain.alarms import AlarmEvent
from consentry_devices.domain.inventory import Device, Location, Sensor
from consentry_devices.domain.state import Reading, Snapshots, Thing
from consentry_rule import ALL_DATA_CLASSES, CustomerId, DataClass


@dataclass
class Whole:
    """How all that one customer has stands, exactly after the log's entry `seq`."""

    seq: int = 0
    locations: list[Location] = field(default_factory=list)
    devices: list[Device] = field(default_factory=list)
    sensors: list[Sensor] = field(default_factory=list)
    alarms: list[AlarmEvent] = field(default_factory=list)
    latest: list[Reading] = field(default_factory=list)

    def take(self, things: Sequence[Thing]) -> None:
        """See `State.snapshot`."""
        kinds = {Location: self.locations, Device: self.devices, Sensor: self.sensors, AlarmEvent: self.alarms}
        for thing in things:
            kinds.get(type(thing), self.latest).append(thing)  # type: ignore[attr-defined]


async def snapshot_of(
    state: Snapshots, customer: CustomerId, *, classes: Set[DataClass] = ALL_DATA_CLASSES, devices: Set[str] | None = None
) -> Whole:
    """The snapshot."""
    whole = Whole()
    whole.seq = await state.snapshot(customer, classes, devices, whole.take)
    return whole
