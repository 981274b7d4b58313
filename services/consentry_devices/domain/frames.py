"""Frames: what a gateway sends as one, stored as a whole or not at all, and what a frame makes happen.

Pure: what is known comes in, what happened comes out. Frames are checked twice. What needs no knowledge of the customer's
things is checked where they come in (`rpc/frames.py`); what does is checked here, by the one appender, in the order of the log.
"""

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from consentry_core.values.errors import InvalidArgument
from consentry_core.values.reasons import ErrorReason
from consentry_devices.domain.alarms import Alarm, AlarmEvent, EventKind, cleared, events
from consentry_devices.domain.inventory import Inventory, InventoryChange
from consentry_devices.domain.inventory_draft import InventoryDraft
from consentry_devices.domain.limits import ACTIVE_ALARMS_OF_CUSTOMER, ALARMS_OF_CUSTOMER, check_growth
from consentry_rule import CustomerId, Instant


@dataclass(frozen=True, slots=True)
class StreamKey:
    """Whose numbering a frame's number belongs to: a gateway's, as long as it remembers what it sent."""

    customer: CustomerId
    gateway: str
    epoch: str


Newest: TypeAlias = tuple[str, Instant, float | str]
"""A sensor's newest reading: its id, time and value. A plain tuple, because a block of ten readings has ten of them."""


@dataclass(frozen=True, slots=True)
class TelemetryBlock:
    """A device's readings: a serialised `DeviceTelemetry`, and what must be known of it."""

    device: str
    sensors: tuple[str, ...]
    payload: bytes
    min_time: Instant
    max_time: Instant
    newest: Sequence[Newest]
    count: int


@dataclass(frozen=True, slots=True)
class Loss:
    """What a gateway had to drop: readings from `start` up to and with `end`, by its clock."""

    start: Instant
    end: Instant


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame, checked as far as it can be by itself. `digest` tells frames of other content apart; `size` is in bytes.

    `time` is when it was taken in, by the service's clock.
    """

    number: int
    digest: bytes
    size: int
    time: Instant
    inventory: InventoryChange
    alarms: tuple[Alarm, ...] = ()
    telemetry: tuple[TelemetryBlock, ...] = ()
    historical: bool = False
    loss: Loss | None = None

    @property
    def readings(self) -> int:
        """How many it holds."""
        return sum(block.count for block in self.telemetry)

    @property
    def said_time(self) -> Instant:
        """When what it says of alarms was so: now, or when the newest was measured of what comes with it, if it comes late."""
        if not self.historical:
            return self.time
        known = [block.max_time for block in self.telemetry] + ([self.loss.end] if self.loss else [])
        return min(max(known, default=self.time), self.time)


class Encoder(Protocol):
    """Writes what is logged in the API's words."""

    def inventory_changes(self, customer: CustomerId, change: InventoryChange) -> Iterable[bytes]:
        """The change as serialised `InventoryChange`s, none of them larger than a message may be; together they say it."""
        ...

    def alarm_event(self, customer: CustomerId, event: AlarmEvent) -> bytes:
        """A serialised `AlarmEvent`."""
        ...

    def loss(self, customer: CustomerId, gateway: str, loss: Loss) -> bytes:
        """A serialised `Gap`."""
        ...


@dataclass(frozen=True, slots=True)
class Happened:
    """What a frame makes happen, if it is taken in, in this order. `inventory` is false when nothing really changes.

    `ended` are the alarms of devices that go with the frame: they are cleared before their devices are gone.
    """

    ended: tuple[AlarmEvent, ...]
    inventory: InventoryChange
    alarms: tuple[AlarmEvent, ...]


class KnownAlarms(Protocol):
    """How the alarms of one customer stand."""

    def newest(self, alarm: str) -> AlarmEvent | None:
        """The newest event of an alarm, by the alarm's id."""
        ...

    def active_of(self, devices: Set[str]) -> Iterable[AlarmEvent]:
        """The newest event of each alarm of these devices that is active, by id."""
        ...

    def counts(self) -> tuple[int, int]:
        """How many are active, and how many there are."""
        ...


def check_number(number: int, last: int) -> bool:
    """Whether the frame is new: False for one that was taken in before, InvalidArgument when others are missing before it."""
    if number <= last:
        return False
    if number > last + 1:
        raise InvalidArgument(
            "frame.number",
            f"must be {last + 1}, the one after the last that was committed; send what is missing first",
            reason=ErrorReason.FRAME_OUT_OF_ORDER,
            metadata={"expected_number": str(last + 1)},
        )
    return True


def check_same(digest: bytes, stored: bytes | None) -> None:
    """InvalidArgument when a frame comes again with other content. `stored` None: too long ago to tell."""
    if stored is not None and stored != digest:
        raise InvalidArgument(
            "frame.number",
            "was committed with other content; a gateway that lost its memory begins a new epoch",
            reason=ErrorReason.FRAME_CONFLICT,
        )


def take_in(frame: Frame, gateway: str, inventory: Inventory, known: KnownAlarms) -> Happened:
    """What the frame makes happen; `inventory` then is as the frame makes it. InvalidArgument refuses it, changing nothing."""
    draft = InventoryDraft(inventory, gateway)
    draft.tell(frame.inventory)
    gone = frozenset(draft.change(frame.time).deleted_devices)
    ended = tuple(cleared(event, frame.time) for event in known.active_of(gone)) if gone else ()
    alarms = tuple(_alarm_events(frame, draft, known))
    for index, block in enumerate(frame.telemetry):
        draft.collected(block.device, f"frame.telemetry[{index}].device")
        draft.check_sensors(block.device, block.sensors, f"frame.telemetry[{index}].block.sensors")
    draft.check_size()
    _check_alarms((*ended, *alarms), known)
    change = draft.change(frame.time)
    draft.adopt()
    return Happened(ended, change, alarms)


def _check_alarms(happened: Sequence[AlarmEvent], known: KnownAlarms) -> None:
    """InvalidArgument when the customer's alarms become too many."""
    activated = sum(event.kind in {EventKind.ACTIVATED, EventKind.REACTIVATED} for event in happened)
    if not activated:
        return
    active, there = known.counts()
    ended = sum(event.kind is EventKind.CLEARED for event in happened)
    new = sum(event.kind is EventKind.ACTIVATED for event in happened)
    check_growth(active + activated - ended, active, "frame.alarms", most=ACTIVE_ALARMS_OF_CUSTOMER, what="active alarms")
    check_growth(there + new, there, "frame.alarms", most=ALARMS_OF_CUSTOMER, what="alarms")


def _alarm_events(frame: Frame, draft: InventoryDraft, known: KnownAlarms) -> Iterable[AlarmEvent]:
    """What happens to alarms, none of which is of a device that goes with the frame."""
    told: dict[str, AlarmEvent] = {}
    for index, alarm in enumerate(frame.alarms):
        draft.collected(alarm.device, f"frame.alarms[{index}].device")
        newest = told.get(alarm.id) or known.newest(alarm.id)
        if newest is not None and newest.alarm.device != alarm.device:
            raise InvalidArgument(
                f"frame.alarms[{index}].device", "must stay the alarm's device; give another condition another name",
                reason=ErrorReason.ALARM_OF_OTHER_DEVICE,
            )  # fmt: skip
        for event in events(newest, alarm, frame.said_time):
            told[alarm.id] = event
            yield event
