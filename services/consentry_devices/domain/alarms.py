"""Alarms and what happens to them. A gateway tells how an alarm stands; the events are worked out here.

known      told                          events
---------  ----------------------------  -----------------------------------------
nothing    active                        ACTIVATED
active     same activation, other words  CHANGED
active     same activation, cleared      CLEARED
cleared    same activation, cleared      CHANGED, if anything differs
any        later activation              REACTIVATED
nothing or later activation, cleared     ACTIVATED or REACTIVATED, then CLEARED
any        as it is                      none
any        earlier activation            none: an old report says nothing about now
cleared    same activation, not cleared  none, likewise

Pure functions: what is known comes in, what happened comes out.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum

from consentry_rule import Instant


class EventKind(Enum):
    """What happened to an alarm; the values are the numbers of the API's `AlarmEvent.Kind`."""

    ACTIVATED = 1
    CHANGED = 2
    CLEARED = 3
    REACTIVATED = 4


@dataclass(frozen=True, slots=True)
class Alarm:
    """A condition of a device. `severity` is the number of the API's `Alarm.Severity`."""

    id: str
    device: str
    label: str
    message: str
    severity: int
    activate_time: Instant
    clear_time: Instant | None = None
    reactivation_count: int = 0


@dataclass(frozen=True, slots=True)
class AlarmEvent:
    """One step in an alarm's life, and the alarm as it was from then on. The newest says how the alarm stands."""

    number: int
    kind: EventKind
    time: Instant
    alarm: Alarm


def events(known: AlarmEvent | None, told: Alarm, now: Instant) -> Iterator[AlarmEvent]:
    """What happened, given the newest event before and what a gateway tells now; oldest first.

    Beginnings and ends have the gateway's time. A change of words has none of its own: it counts from `now`, or from the event
    before, if the gateway's clock is ahead of ours.
    """
    if known is None or told.activate_time > known.alarm.activate_time:
        number = 1 if known is None else known.number + 1
        count = 0 if known is None else known.alarm.reactivation_count + 1
        kind = EventKind.ACTIVATED if known is None else EventKind.REACTIVATED
        active = replace(told, clear_time=None, reactivation_count=count)
        yield AlarmEvent(number, kind, told.activate_time, active)
        if told.clear_time is not None:
            yield AlarmEvent(number + 1, EventKind.CLEARED, told.clear_time, replace(active, clear_time=told.clear_time))
        return
    before = known.alarm
    told = replace(told, reactivation_count=before.reactivation_count)
    if told == before or told.activate_time < before.activate_time:
        return
    if before.clear_time is None and told.clear_time is not None:
        yield AlarmEvent(known.number + 1, EventKind.CLEARED, told.clear_time, told)
    elif before.clear_time is None or told.clear_time is not None:
        yield AlarmEvent(known.number + 1, EventKind.CHANGED, max(now, known.time), told)


def cleared(known: AlarmEvent, now: Instant) -> AlarmEvent:
    """The end of an active alarm whose device is gone: nobody else says when it was over."""
    end = max(now, known.time)
    return AlarmEvent(known.number + 1, EventKind.CLEARED, end, replace(known.alarm, clear_time=end))
