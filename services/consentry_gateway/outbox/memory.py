"""What a restart must not forget, as JSON.

* How each alarm stands, the cleared ones too: else one whose condition ended meanwhile would stay active for ever, and so would
  one whose end the service forgot.
* What was last known of each agent's device: else one that does not answer at the start would lose its model and serial number.
* Which devices each agent spoke for and which of them are gone, and all locations that there ever were: else nobody would say
  that they are gone.
* What was lost of an agent that has to wait (`holding`), and not told yet.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from enum import Enum

from consentry_gateway.outbox.spans import Span
from consentry_gateway.reading.alarms import Alarm, AlarmId
from consentry_gateway.reading.model import Device, DeviceId, DeviceType, LocationId, Poll, Severity
from consentry_gateway.reading.presence import Present
from consentry_rule import Instant

ALARMS, DEVICES, PRESENT, LOST, LOCATIONS = "alarm/", "device/", "present/", "lost/", "locations"


def to_remember(poll: Poll, alarms: Iterable[Alarm], known: Mapping[DeviceId, Device]) -> dict[str, str | None]:
    """What changes in memory with a poll and the alarms that it changed. `known` are the devices as they are remembered."""
    changes: dict[str, str | None] = {}
    for alarm in alarms:
        changes[f"{ALARMS}{alarm.id}"] = _json({"about": poll.device.id, **asdict(alarm)})
    if poll.reachable and known.get(poll.device.id) != poll.device:
        changes[f"{DEVICES}{poll.device.id}"] = _json(asdict(poll.device))
    return changes


def to_forget(devices: Iterable[DeviceId], alarms: Iterable[AlarmId]) -> dict[str, str | None]:
    """What need not be remembered of devices that are gone, and of their alarms."""
    keys = [*(f"{DEVICES}{device}" for device in devices), *(f"{ALARMS}{alarm}" for alarm in alarms)]
    return dict.fromkeys(keys)


def to_remember_present(about: DeviceId, present: Present) -> dict[str, str | None]:
    """Which devices an agent spoke for."""
    there, gone = sorted(present.there), sorted(present.gone)
    return {f"{PRESENT}{about}": _json({"about": about, "there": there, "gone": gone})}


def remembered_present(values: Iterable[str]) -> dict[DeviceId, Present]:
    """See `to_remember_present`."""
    found = (json.loads(value) for value in values)
    return {DeviceId(fields["about"]): Present(set(fields["there"]), set(fields["gone"])) for fields in found}


def to_remember_locations(locations: Iterable[LocationId]) -> dict[str, str | None]:
    """All locations that there ever were."""
    return {LOCATIONS: json.dumps(list(locations))}


def remembered_locations(values: Iterable[str]) -> list[LocationId]:
    """See `to_remember_locations`."""
    return [LocationId(location) for value in values for location in json.loads(value)]


def to_remember_lost(about: str, span: Span | None) -> dict[str, str | None]:
    """What was lost of an agent and not told; None: nothing."""
    return {f"{LOST}{about}": None if span is None else _json({"about": about, **asdict(span)})}


def remembered_lost(values: Iterable[str]) -> dict[str, Span]:
    """See `to_remember_lost`."""
    found = (json.loads(value) for value in values)
    return {fields["about"]: Span(Instant(fields["since"]), Instant(fields["until"])) for fields in found}


def remembered_alarms(values: Iterable[str]) -> list[tuple[DeviceId, Alarm]]:
    """How each alarm stands, with the device whose agent it comes from."""
    found = []
    for value in values:
        fields = json.loads(value)
        about = DeviceId(fields.pop("about"))
        fields |= {
            "id": AlarmId(fields["id"]),
            "device": DeviceId(fields["device"]),
            "severity": Severity(fields["severity"]),
            "activate_time": Instant(fields["activate_time"]),
            "clear_time": None if fields["clear_time"] is None else Instant(fields["clear_time"]),
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
