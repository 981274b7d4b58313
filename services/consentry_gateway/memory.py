"""What a restart must not forget, as JSON: the alarms that are active, and what was last known of each agent's device.

Without the first, an alarm whose condition ended meanwhile would stay active for ever; without the second, a device that does
not answer at the start would lose its model and serial number.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from enum import Enum

from consentry_gateway.alarms import Alarm, AlarmId, Severity
from consentry_gateway.model import Device, DeviceId, DeviceType, LocationId, Poll
from consentry_rule import Instant

ALARMS, DEVICES = "alarm/", "device/"


def to_remember(poll: Poll, alarms: Iterable[Alarm], known: Mapping[DeviceId, Device]) -> dict[str, str | None]:
    """What changes in memory with a poll and the alarms that it changed. `known` are the devices as they are remembered."""
    changes: dict[str, str | None] = {}
    for alarm in alarms:
        over = alarm.clear_time is not None
        changes[f"{ALARMS}{alarm.id}"] = None if over else _json({"about": poll.device.id, **asdict(alarm)})
    if poll.reachable and known.get(poll.device.id) != poll.device:
        changes[f"{DEVICES}{poll.device.id}"] = _json(asdict(poll.device))
    return changes


def remembered_alarms(values: Iterable[str]) -> list[tuple[DeviceId, Alarm]]:
    """The alarms that were active, each with the device whose agent it comes from."""
    found = []
    for value in values:
        fields = json.loads(value)
        about = DeviceId(fields.pop("about"))
        fields |= {
            "id": AlarmId(fields["id"]),
            "device": DeviceId(fields["device"]),
            "severity": Severity(fields["severity"]),
            "activate_time": Instant(fields["activate_time"]),
        }
        found.append((about, Alarm(**fields)))
    return found


def remembered_devices(values: Iterable[str]) -> list[Device]:
    """The devices as they were last known."""
    found = []
    for value in values:
        fields = json.loads(value)
        location = fields["location"]
        fields |= {
            "id": DeviceId(fields["id"]),
            "type": DeviceType(fields["type"]),
            "location": None if location is None else LocationId(location),
        }
        found.append(Device(**fields))
    return found


def _json(fields: Mapping[str, object]) -> str:
    return json.dumps({name: value.value if isinstance(value, Enum) else value for name, value in fields.items()})
