"""From polls to alarms: what is wrong with a device, and when it is over. No I/O.

| condition | raised when | label and severity |
| --- | --- | --- |
| unreachable | so many polls in a row failed | Device Communication Alert, WARNING |
| a state | a metric says one that `conditions.STATES` names: `output.status` is `on battery`, ... | the table's |
| a limit, per sensor | a value is outside the sensor's limits, and the device does not judge it itself | the table's |
| an entry of the device's own lists | the list names it | the device's, or the profile's |

One device and one condition keep one alarm, with one id, whoever says it: it is active while anything in a poll says so. When
it is over, ` Cleared` is added to its label, and its severity becomes OK.

A condition changes only on evidence: a poll that does not say (the device did not answer, the sensor is gone, the device does
not know) leaves it as it is, and what was active when the gateway stopped is active when it starts again, until a poll says
otherwise. A state that nobody here knows is evidence: it is not the one that the alarm is about.

Each activation of an alarm is later than the one before, also when the clock was set back: the service takes an earlier one for
an old report. One that began at a time that nobody believes, because the clock was wrong, begins once the clock is right.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import NewType

from consentry_core.values.taken_in import believed
from consentry_gateway.reading.conditions import QUANTITIES, UNKNOWN, Condition, states_of
from consentry_gateway.reading.model import DeviceId, Poll, Reading, Sensor, Severity, bounded_id
from consentry_rule import Instant

AlarmId = NewType("AlarmId", str)


@dataclass(frozen=True, slots=True)
class Alarm:
    """A condition of a device. `clear_time` is None while it lasts. `list`: which of the device's own lists named it."""

    id: AlarmId
    device: DeviceId
    label: str
    message: str
    severity: Severity
    activate_time: Instant
    clear_time: Instant | None = None
    list: str = ""


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What a poll says of a condition: what it is called while it lasts, and whether it does."""

    device: DeviceId
    condition: str
    active: bool
    label: str = ""
    message: str = ""
    over: str = ""
    severity: Severity = Severity.WARNING
    list: str = ""


_GRAVITY = (
    Severity.OK,
    Severity.INFO,
    Severity.UNKNOWN,
    Severity.INITIALIZE,
    Severity.WARNING,
    Severity.ERROR,
    Severity.FAIL,
    Severity.CRITICAL,
)


class AlarmBook:
    """The alarms that are active, and the rules that change them.

    `known` is how alarms stood before, `unreachable_after` the number of polls that must fail in a row.
    """

    def __init__(self, known: Iterable[Alarm] = (), *, unreachable_after: int = 3) -> None:
        known = list(known)
        self._active = {alarm.id: alarm for alarm in known if alarm.clear_time is None}
        self._begun = {alarm.id: alarm.activate_time for alarm in known}
        self._failed: dict[DeviceId, int] = {}
        self._unreachable_after = unreachable_after

    @property
    def active(self) -> tuple[Alarm, ...]:
        """The alarms whose condition lasts."""
        return tuple(self._active.values())

    def observe(self, poll: Poll) -> tuple[Alarm, ...]:
        """Take a poll in; the alarms that it raised, changed or cleared."""
        changed: list[Alarm] = []
        for alarm_id, verdict in self._by_alarm(poll).items():
            before = self._active.get(alarm_id)
            after = _judge(before, verdict, alarm_id, self._start(alarm_id, poll.time), poll.time)
            if after is None or after == before:
                continue
            changed.append(after)
            self._begun[alarm_id] = after.activate_time
            if after.clear_time is None:
                self._active[alarm_id] = after
            else:
                del self._active[alarm_id]
        return tuple(changed)

    def _start(self, alarm_id: AlarmId, now: Instant) -> Instant:
        """When an alarm begins that does now."""
        before = self._begun.get(alarm_id)
        return Instant(before + 1) if before is not None and now <= before and believed(before, now) else now

    def redate(self, now: Instant) -> None:
        """Let what began at a time that nobody believes begin now."""
        for alarm_id, alarm in self._active.items():
            self._active[alarm_id] = dated(alarm, now)

    def forget(self, devices: Iterable[DeviceId]) -> None:
        """These devices are gone: nothing is wrong with them any more."""
        gone = set(devices)
        self._active = {id_: alarm for id_, alarm in self._active.items() if alarm.device not in gone}
        for device in gone:
            self._failed.pop(device, None)

    def _by_alarm(self, poll: Poll) -> dict[AlarmId, _Verdict]:
        """What a poll says of each alarm: the gravest of what says that it lasts, else that it is over."""
        said: dict[AlarmId, _Verdict] = {}
        for verdict in self._verdicts(poll):
            alarm_id = AlarmId(bounded_id(f"{verdict.device}.{verdict.condition}"))
            other = said.get(alarm_id)
            if other is None or _weight(verdict) > _weight(other):
                said[alarm_id] = verdict
        for alarm_id, alarm in self._active.items():
            if alarm.list and (alarm.device, alarm.list) in poll.lists:
                said.setdefault(alarm_id, _Verdict(alarm.device, "", False, over="The device does not report it any more."))
        return said

    def _verdicts(self, poll: Poll) -> Iterator[_Verdict]:
        yield from self._reachability(poll)
        judged = {(reading.sensor.device, reading.sensor.metric) for reading in poll.readings if isinstance(reading.value, str)}
        for reading in poll.readings:
            if isinstance(reading.value, str):
                yield from _state(reading.sensor, reading.value)
            elif (reading.sensor.device, f"{reading.sensor.metric}.status") not in judged:
                yield from _limits(reading, reading.value)
        for sensor in poll.unlisted:
            yield from _state(sensor, None)
        for trouble in poll.troubles:
            yield _Verdict(
                trouble.device, trouble.condition, True, trouble.label, trouble.message,
                "The device does not report it any more.", trouble.severity, trouble.list,
            )  # fmt: skip

    def _reachability(self, poll: Poll) -> Iterator[_Verdict]:
        device = poll.device.id
        failed = self._failed[device] = 0 if poll.reachable else self._failed.get(device, 0) + 1
        if poll.reachable or failed >= self._unreachable_after:
            yield _Verdict(
                device, "unreachable", failed > 0, "Device Communication Alert",
                "The device does not answer.", "The device answers again.",
            )  # fmt: skip


def dated(alarm: Alarm, now: Instant) -> Alarm:
    """The alarm with times that are believed at a moment: those that are not become this moment."""
    if not believed(now, now):
        return alarm
    start = alarm.activate_time if believed(alarm.activate_time, now) else now
    end = alarm.clear_time
    if end is not None:
        end = max(start, end if believed(end, now) else now)
    return (
        alarm
        if (start, end) == (alarm.activate_time, alarm.clear_time)
        else replace(alarm, activate_time=start, clear_time=end)
    )


def _state(sensor: Sensor, value: str | None) -> Iterator[_Verdict]:
    """What a state says; None: one that nobody here knows."""
    states = states_of(sensor.metric)
    if value == UNKNOWN:
        return
    for text, condition in states.items():
        yield _verdict(sensor, condition, active=text == value)


def _verdict(sensor: Sensor, condition: Condition, *, active: bool) -> _Verdict:
    which = condition.id.replace("{sensor}", sensor.id).replace("{of}", sensor.id.removesuffix(".status"))
    message, over = (text.replace("{name}", sensor.display_name) for text in (condition.message, condition.over))
    return _Verdict(sensor.device, which, active, condition.label, message, over, condition.severity)


def _limits(reading: Reading, value: float) -> Iterator[_Verdict]:
    sensor, limit = reading.sensor, reading.sensor.limit
    if limit is None:
        return
    above, below, severity = QUANTITIES.get(sensor.metric.rpartition(".")[2], ("Above Limit", "Below Limit", Severity.WARNING))
    shown, unit = sensor.display_name, f" {sensor.unit}".rstrip()
    if limit.high is not None and limit.clear is not None and not limit.clear <= value <= limit.high:  # in between, it stays
        yield _Verdict(
            sensor.device, f"high-{sensor.id}", value > limit.high, above,
            f"{shown} is above {limit.high:g}{unit}.", f"{shown} is below {limit.clear:g}{unit} again.", severity,
        )  # fmt: skip
    if limit.low is not None and limit.low_clear is not None and not limit.low <= value <= limit.low_clear:
        yield _Verdict(
            sensor.device, f"low-{sensor.id}", value < limit.low, below,
            f"{shown} is below {limit.low:g}{unit}.", f"{shown} is above {limit.low_clear:g}{unit} again.",
        )  # fmt: skip


def _weight(verdict: _Verdict) -> tuple[bool, int]:
    return verdict.active, _GRAVITY.index(verdict.severity) if verdict.active else 0


def _judge(before: Alarm | None, verdict: _Verdict, alarm_id: AlarmId, start: Instant, now: Instant) -> Alarm | None:
    """The alarm as it is after a verdict; None when there is none and was none."""
    if verdict.active:
        start = start if before is None else before.activate_time
        return Alarm(
            alarm_id, verdict.device, verdict.label, verdict.message, verdict.severity, start, list=verdict.list
        )  # fmt: skip
    if before is None:
        return None
    return replace(
        before,
        label=f"{before.label} Cleared",
        message=verdict.over,
        severity=Severity.OK,
        clear_time=max(now, before.activate_time),
    )
