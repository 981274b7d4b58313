"""Frames: what a gateway sends as one, stored as a whole or not at all, and what a frame makes happen.

Pure: what is known comes in, what happened comes out. Frames are checked twice. What needs no knowledge of the customer's
things is checked where they come in (`rpc/frames.py`); what does is checked here, by the one appender, in the order of the log.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from consentry_core.errors import InvalidArgument
from consentry_devices.alarms import Alarm, AlarmEvent, events
from consentry_devices.inventory import Inventory, InventoryChange, InventoryDraft
from consentry_devices.state import Reading
from consentry_rule import CustomerId, Instant


@dataclass(frozen=True, slots=True)
class StreamKey:
    """Whose numbering a frame's number belongs to: a gateway's, as long as it remembers what it sent."""

    customer: CustomerId
    gateway: str
    epoch: str


@dataclass(frozen=True, slots=True)
class TelemetryBlock:
    """A device's readings: a serialised `DeviceTelemetry`, and what must be known of it."""

    device: str
    sensors: tuple[str, ...]
    payload: bytes
    min_time: Instant
    max_time: Instant
    newest: tuple[Reading, ...]


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame, checked as far as it can be by itself. `digest` tells frames of other content apart; `size` is in bytes."""

    number: int
    digest: bytes
    size: int
    time: Instant
    inventory: InventoryChange
    alarms: tuple[Alarm, ...] = ()
    telemetry: tuple[TelemetryBlock, ...] = ()
    historical: bool = False


class Encoder(Protocol):
    """Writes what is logged in the API's words."""

    def inventory_change(self, customer: CustomerId, change: InventoryChange) -> bytes:
        """A serialised `InventoryChange`."""
        ...

    def alarm_event(self, customer: CustomerId, event: AlarmEvent) -> bytes:
        """A serialised `AlarmEvent`."""
        ...


@dataclass(frozen=True, slots=True)
class Happened:
    """What a frame makes happen, if it is taken in. `inventory` is false when nothing really changes."""

    inventory: InventoryChange
    alarms: tuple[AlarmEvent, ...]


KnownAlarm = Callable[[str], AlarmEvent | None]
"""The newest event of an alarm, by the alarm's id."""


def check_number(number: int, last: int) -> bool:
    """Whether the frame is new: False for one that was taken in before, InvalidArgument when others are missing before it."""
    if number <= last:
        return False
    if number > last + 1:
        raise InvalidArgument(
            "frame.number",
            f"must be {last + 1}, the one after the last that was committed; send what is missing first",
            reason="FRAME_OUT_OF_ORDER",
            metadata={"expected_number": str(last + 1)},
        )
    return True


def check_same(digest: bytes, stored: bytes | None) -> None:
    """InvalidArgument when a frame comes again with other content. `stored` None: too long ago to tell."""
    if stored is not None and stored != digest:
        raise InvalidArgument(
            "frame.number",
            "was committed with other content; a gateway that lost its memory begins a new epoch",
            reason="FRAME_CONFLICT",
        )


def take_in(frame: Frame, gateway: str, inventory: Inventory, known_alarm: KnownAlarm) -> Happened:
    """What the frame makes happen; `inventory` then is as the frame makes it. InvalidArgument refuses it, changing nothing."""
    draft = InventoryDraft(inventory, gateway)
    draft.tell(frame.inventory)
    told: dict[str, AlarmEvent] = {}
    happened: list[AlarmEvent] = []
    for index, alarm in enumerate(frame.alarms):
        draft.collected(alarm.device, f"frame.alarms[{index}].device")
        known = told.get(alarm.id) or known_alarm(alarm.id)
        if known is not None and known.alarm.device != alarm.device:
            raise InvalidArgument(
                f"frame.alarms[{index}].device", "must stay the alarm's device; give another condition another name",
                reason="ALARM_OF_OTHER_DEVICE",
            )  # fmt: skip
        for event in events(known, alarm, frame.time):
            happened.append(event)
            told[alarm.id] = event
    for index, block in enumerate(frame.telemetry):
        draft.collected(block.device, f"frame.telemetry[{index}].device")
        draft.check_sensors(block.device, block.sensors, f"frame.telemetry[{index}].block.sensors")
    change = draft.change(frame.time)
    draft.adopt()
    return Happened(change, tuple(happened))
