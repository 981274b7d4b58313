"""From polls to alarms: what is wrong with a device, and when it is over. No I/O.

| condition | raised when | label | severity |
| --- | --- | --- | --- |
| unreachable | so many polls in a row failed | Device Communication Alert | WARNING |
| power-failure | a UPS's `output.status` is `on battery` | Power Failure | CRITICAL |
| low-battery | `battery.status` is `low` or `depleted` | Low Battery | CRITICAL |
| load (any `...load.status`) | `near overload`; `overload` | Near Overload; Overload | WARNING; CRITICAL |
| temperature, per sensor | above its limit | High Temperature | WARNING |

One device and one condition keep one alarm, with one id. When it is over, ` Cleared` is added to its label, and its severity
becomes OK.

A condition changes only on evidence: a poll that does not say (the device did not answer, the sensor is gone) leaves it as it
is, and what was active when the gateway stopped is active when it starts again, until a poll says otherwise.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from typing import NewType

from consentry_gateway.model import DeviceId, Poll, Reading, slug
from consentry_rule import Instant

AlarmId = NewType("AlarmId", str)


class Severity(Enum):
    """How bad it is; the names are those of the API's `Alarm.Severity`."""

    OK = "ok"
    INFO = "info"
    WARNING = "warning"
    UNKNOWN = "unknown"
    INITIALIZE = "initialize"
    FAIL = "fail"
    CRITICAL = "critical"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Alarm:
    """A condition of a device. `clear_time` is None while it lasts."""

    id: AlarmId
    device: DeviceId
    label: str
    message: str
    severity: Severity
    activate_time: Instant
    clear_time: Instant | None = None


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


class AlarmBook:
    """The alarms that are active, and the rules that change them.

    `known` is how alarms stood before, `unreachable_after` the number of polls that must fail in a row.
    """

    def __init__(self, known: Iterable[Alarm] = (), *, unreachable_after: int = 3) -> None:
        self._active = {alarm.id: alarm for alarm in known if alarm.clear_time is None}
        self._failed: dict[DeviceId, int] = {}
        self._unreachable_after = unreachable_after

    @property
    def active(self) -> tuple[Alarm, ...]:
        """The alarms whose condition lasts."""
        return tuple(self._active.values())

    def observe(self, poll: Poll) -> tuple[Alarm, ...]:
        """Take a poll in; the alarms that it raised, changed or cleared."""
        changed = []
        for verdict in self._verdicts(poll):
            alarm_id = _alarm_id(verdict.device, verdict.condition)
            before = self._active.get(alarm_id)
            after = _judge(before, verdict, alarm_id, poll.time)
            if after is None or after == before:
                continue
            changed.append(after)
            if after.clear_time is None:
                self._active[alarm_id] = after
            else:
                del self._active[alarm_id]
        return tuple(changed)

    def forget(self, devices: Iterable[DeviceId]) -> None:
        """These devices are gone: nothing is wrong with them any more."""
        gone = set(devices)
        self._active = {id_: alarm for id_, alarm in self._active.items() if alarm.device not in gone}
        for device in gone:
            self._failed.pop(device, None)

    def _verdicts(self, poll: Poll) -> Iterator[_Verdict]:
        yield from self._reachability(poll)
        for reading in poll.readings:
            verdict = self._of_reading(reading)
            if verdict is not None:
                yield verdict

    def _reachability(self, poll: Poll) -> Iterator[_Verdict]:
        device = poll.device.id
        failed = self._failed[device] = 0 if poll.reachable else self._failed.get(device, 0) + 1
        if poll.reachable or failed >= self._unreachable_after:
            yield _Verdict(
                device, "unreachable", failed > 0, "Device Communication Alert",
                "The device does not answer.", "The device answers again.",
            )  # fmt: skip

    def _of_reading(self, reading: Reading) -> _Verdict | None:
        sensor, value = reading.sensor, reading.value
        if sensor.metric == "output.status":
            return _Verdict(
                sensor.device, "power-failure", value == "on battery", "Power Failure",
                "Running on battery: the input power has failed.", "Input power is back.", Severity.CRITICAL,
            )  # fmt: skip
        if sensor.metric == "battery.status" and value != "unknown":
            return _Verdict(
                sensor.device, "low-battery", value in {"low", "depleted"}, "Low Battery",
                "The battery will not last much longer.", "The battery has recovered.", Severity.CRITICAL,
            )  # fmt: skip
        if sensor.metric.endswith("load.status"):
            return _load(reading)
        if sensor.limit is not None and isinstance(value, float):
            return self._temperature(reading, value)
        return None

    def _temperature(self, reading: Reading, value: float) -> _Verdict | None:
        sensor, limit = reading.sensor, reading.sensor.limit
        if limit is None or limit.clear <= value <= limit.high:
            return None  # between the two, it stays as it was
        return _Verdict(
            sensor.device, f"high-{sensor.id}", value > limit.high, "High Temperature",
            f"{sensor.display_name} is above {limit.high:g} {sensor.unit}.",
            f"{sensor.display_name} is below {limit.clear:g} {sensor.unit} again.",
        )  # fmt: skip


def _load(reading: Reading) -> _Verdict:
    sensor, over = reading.sensor, reading.value == "overload"
    return _Verdict(
        sensor.device,
        sensor.id,
        reading.value in {"near overload", "overload"},
        "Overload" if over else "Near Overload",
        f"{sensor.display_name} is {'above its limit' if over else 'close to its limit'}.",
        f"{sensor.display_name} is within its limits again.",
        Severity.CRITICAL if over else Severity.WARNING,
    )


def _judge(before: Alarm | None, verdict: _Verdict, alarm_id: AlarmId, now: Instant) -> Alarm | None:
    """The alarm as it is after a verdict; None when there is none and was none."""
    if verdict.active:
        start = now if before is None else before.activate_time
        return Alarm(alarm_id, verdict.device, verdict.label, verdict.message, verdict.severity, start)
    if before is None:
        return None
    return replace(
        before,
        label=f"{before.label} Cleared",
        message=verdict.over,
        severity=Severity.OK,
        clear_time=max(now, before.activate_time),
    )


def _alarm_id(device: DeviceId, condition: str) -> AlarmId:
    whole = f"{device}.{condition}"
    if slug(whole) == whole:
        return AlarmId(whole)
    mark = hashlib.sha256(whole.encode()).hexdigest()[:12]
    return AlarmId(f"{slug(whole)[:50].rstrip('._-')}-{mark}")
