"""Real SNMP agents replaying recordings, and what a recording says, read from it directly."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from consentry_core.values.clock import Clock, SystemClock
from consentry_gateway.agents.file import Agent
from consentry_gateway.reading.alarms import AlarmBook
from consentry_gateway.reading.model import Device, DeviceId, Poll
from consentry_gateway.reading.raw import Answers, Raw
from consentry_gateway.simulator import recorded
from consentry_gateway.sources.polling import Collector, Reports
from consentry_gateway.sources.snmp.access import SnmpAccess
from consentry_gateway.sources.snmp.source import SnmpSource

MADE_UP = Path(__file__).parent / "recordings"
"""Recordings whose values are made up, of families that no package has one of; and what is to be read from all of them."""

AUTH_PASSWORD, PRIV_PASSWORD = "auth-made-up", "priv-made-up"


def _user(name: str, auth: str, priv: str) -> tuple[str, ...]:
    return (
        f"--v3-user={name}",
        f"--v3-auth-key={AUTH_PASSWORD}",
        f"--v3-auth-proto={auth}",
        f"--v3-priv-key={PRIV_PASSWORD}",
        f"--v3-priv-proto={priv}",
    )


USERS = (*_user("modern", "SHA256", "AES"), *_user("strong", "SHA512", "AES256BLMT"))
"""Who may read the recordings by SNMPv3."""

_NUMBERS = {"2", "65", "66", "67", "70"}


@pytest.fixture(scope="session")
def recorded_agents() -> Iterator[recorded.RecordedAgents]:
    """One process that replays every recording, its values as they were recorded. Mark what uses it `xdist_group("snmp")`."""
    with recorded.replaying(recorded.RECORDINGS, moving=False, users=USERS) as agents:
        yield agents


def agent_of(agents: recorded.RecordedAgents, name: str) -> Agent:
    """The agent that replays a recording, called after it."""
    return Agent(Device(DeviceId(name), ""), recorded.HOST, agents.port, SnmpAccess(name))


def snmp_collector(clock: Clock | None = None, *, timeout: float = 0.5) -> Collector:
    """What polls agents of SNMP, without patience."""
    clock = clock or SystemClock()
    reports = Reports(clock)
    return Collector(clock, {"snmp": SnmpSource(clock, reports=reports, timeout=timeout, retries=0)}, reports=reports)


def answers_of(name: str) -> Answers:
    """What an agent that replays a recording answers to everything."""
    return parsed(recorded.read_recording(name) if name in recorded.RECORDINGS else (MADE_UP / f"{name}.snmprec").read_text())


def parsed(recording: str) -> Answers:
    """What a recording's lines say."""
    answers: dict[str, Raw] = {}
    for line in recording.splitlines():
        oid, kind, value = line.split("|", 2)
        kind, _, variation = kind.partition(":")
        if variation:
            settings = dict(setting.partition("=")[::2] for setting in value.split(","))
            value = settings.get("initial") or settings.get("value", "")
        if kind in _NUMBERS:
            answers[oid] = int(value)
        elif kind.endswith("x"):
            answers[oid] = bytes.fromhex(value) if _is_hex(value) else value.encode()
        else:
            answers[oid] = value if kind == "6" else value.encode()
    return answers


def told(poll: Poll) -> str:
    """All that a first poll tells: devices, readings and alarms, a line each."""
    devices = [
        f"device {device.id} | {device.type.value} | {device.display_name} | {device.model_name} | {device.serial_number}"
        f" | in {device.parent or '-'}"
        for device in poll.devices
    ]
    readings = [
        f"{reading.sensor.device} {reading.sensor.metric} = {reading.value} {reading.sensor.unit}".rstrip()
        for reading in poll.readings
    ]
    alarms = [
        f"alarm {alarm.device} {alarm.severity.value} {alarm.label}: {alarm.message}" for alarm in AlarmBook().observe(poll)
    ]
    return "\n".join([*devices, *readings, *alarms, ""])


def write_agents_file(path: Path, agents: recorded.RecordedAgents, *names: str) -> Path:
    """An agents file that lists recordings, all of them in one room."""
    lines = ['[[locations]]\nid = "hall"\nkind = "room"\n']
    lines += [
        f'[[agents]]\nid = "{name}"\nhost = "{recorded.HOST}"\nport = {agents.port}\ncommunity = "{name}"\nlocation = "hall"\n'
        for name in names
    ]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def _is_hex(text: str) -> bool:
    try:
        bytes.fromhex(text)
    except ValueError:
        return False
    return True
