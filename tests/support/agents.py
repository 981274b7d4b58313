"""Real SNMP agents replaying recordings, and what a recording says, read from it directly."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from consentry_core.clock import Clock, SystemClock
from consentry_gateway import recorded
from consentry_gateway.agents import Agent
from consentry_gateway.model import Device, DeviceId
from consentry_gateway.raw import Answers, Raw
from consentry_gateway.snmp.access import SnmpAccess
from consentry_gateway.snmp.source import SnmpSource
from consentry_gateway.sources import Collector, Reports

_NUMBERS = {"2", "65", "66", "67", "70"}


@pytest.fixture(scope="session")
def recorded_agents() -> Iterator[recorded.RecordedAgents]:
    """One process that replays every recording, its values as they were recorded. Mark what uses it `xdist_group("snmp")`."""
    with recorded.replaying(recorded.RECORDINGS, moving=False) as agents:
        yield agents


def agent_of(agents: recorded.RecordedAgents, name: str) -> Agent:
    """The agent that replays a recording, called after it."""
    return Agent(Device(DeviceId(name), ""), recorded.HOST, agents.port, SnmpAccess(name))


def snmp_collector(clock: Clock | None = None) -> Collector:
    """What polls agents of SNMP, without patience."""
    clock = clock or SystemClock()
    reports = Reports(clock)
    return Collector(clock, {"snmp": SnmpSource(clock, reports=reports, timeout=0.5, retries=0)}, reports=reports)


def answers_of(name: str) -> Answers:
    """What an agent that replays a recording answers to everything."""
    answers: dict[str, Raw] = {}
    for line in recorded.read_recording(name).splitlines():
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
