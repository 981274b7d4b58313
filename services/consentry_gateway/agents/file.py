"""The agents file: which locations there are, and which agents stand in them. It is TOML.

[[locations]]
id = "hall"
kind = "room"                 # site, building, room or rack
display_name = "Hall 1"       # the id, when left out
parent = "main-building"      # another location's id; left out at the top

[[agents]]
id = "rack-3-pdu"             # of the device that it speaks for; made of display_name, or of host and port, when left out
source = "snmp"               # what reads it: snmp (when left out), nut, modbus or redfish; each has fields of its own for that
host = "127.0.0.1"            # a name, or an address of IPv4 or IPv6
port = 161                    # the source's, when left out
display_name = "Rack 3 PDU"   # what the device says of itself, when left out
location = "hall"             # left out: nowhere in particular
interval = 60                 # seconds from one poll to the next, and
timeout = 2                   # seconds to wait for an answer, and
retries = 1                   # how often to ask again: the settings', when left out
"""

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from consentry_core.process.files import read_text
from consentry_core.process.settings import SettingError
from consentry_core.values.taken_in import NESTING
from consentry_gateway.agents.entry import Entry
from consentry_gateway.reading.model import Device, DeviceId, Location, LocationId, LocationKind, slug
from consentry_gateway.sources.modbus import access as modbus
from consentry_gateway.sources.nut import access as nut
from consentry_gateway.sources.redfish import access as redfish
from consentry_gateway.sources.snmp.access import read_snmp_access

Access = Any
"""How an agent is reached; each source has a class of its own, and gets no other."""

ACCESS: Mapping[str, tuple[int, Callable[[Entry], Access]]] = {
    "snmp": (161, read_snmp_access),
    "nut": (nut.PORT, nut.read_nut_access),
    "modbus": (modbus.PORT, modbus.read_modbus_access),
    "redfish": (redfish.PORT, redfish.read_redfish_access),
}
"""By source: its port, and what reads its fields of an agent's table."""


@dataclass(frozen=True, slots=True)
class Agent:
    """One agent. `device` is what it speaks for, as far as the file says. Times are in seconds; None: as the settings say."""

    device: Device
    host: str
    port: int
    access: Access
    source: str = "snmp"
    interval: float | None = None
    timeout: float | None = None
    retries: int | None = None
    deadline: float = 20.0


@dataclass(frozen=True, slots=True)
class Site:
    """What an agents file says. Locations come parents first."""

    locations: tuple[Location, ...]
    agents: tuple[Agent, ...]


def read_site(path: Path) -> Site:
    """The contents of an agents file. SettingError, naming the line and the field, when it is not one."""
    text = read_text(path, "agents file")
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingError(f"the agents file {path} is not TOML: {error}") from error
    return _Reader(path, text).site(tables)


class _Reader:
    """Turns tables into values and knows where each stood, for the message."""

    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self._lines: dict[str, list[int]] = {"locations": [], "agents": []}
        for number, line in enumerate(text.splitlines(), 1):
            header = re.match(r"\s*\[\[\s*(locations|agents)\s*\]\]", line)
            if header:
                self._lines[header[1]].append(number)

    def site(self, tables: Mapping[str, Any]) -> Site:
        for name in tables:
            if name not in self._lines:
                raise SettingError(f"the agents file {self._path}: {name}: unknown; there are [[locations]] and [[agents]]")
        locations = [self._location(entry) for entry in self._entries("locations", tables)]
        agents = [self._agent(entry) for entry in self._entries("agents", tables)]
        if not agents:
            raise SettingError(f"the agents file {self._path} names no agents; add an [[agents]] with host and how to reach it")
        known = {location.id for location, _ in locations}
        for location, entry in locations:
            if location.parent is not None and location.parent not in known:
                raise entry.wrong("parent", f"there is no location {location.parent}")
        for agent, entry in agents:
            if agent.device.location is not None and agent.device.location not in known:
                raise entry.wrong("location", f"there is no location {agent.device.location}")
        self._refuse_doubles([(location.id, entry) for location, entry in locations])
        self._refuse_doubles([(agent.device.id, entry) for agent, entry in agents])
        return Site(_parents_first(locations), tuple(agent for agent, _ in agents))

    def _entries(self, kind: str, tables: Mapping[str, Any]) -> Iterator[Entry]:
        entries = tables.get(kind, [])
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise SettingError(f"the agents file {self._path}: {kind}: must be written as [[{kind}]]")
        for number, entry in enumerate(entries):
            lines = self._lines[kind]
            line = f"line {lines[number]}, " if number < len(lines) else ""
            yield Entry(f"the agents file {self._path}, {line}{kind}[{number}]", entry, self._path.parent)

    def _location(self, entry: Entry) -> tuple[Location, Entry]:
        location = LocationId(entry.resource_id("id"))
        kind = entry.one_of("kind", {kind.value: kind for kind in LocationKind})
        parent = entry.text("parent", "")
        shown = entry.shown("display_name", location)
        entry.finish()
        return Location(location, shown, kind, LocationId(parent) if parent else None), entry

    def _agent(self, entry: Entry) -> tuple[Agent, Entry]:
        source, (usual_port, read_access) = entry.one_of(
            "source", {name: (name, found) for name, found in ACCESS.items()}, "snmp"
        )
        host, port, shown = entry.text("host"), entry.port("port", usual_port), entry.shown("display_name", "")
        device = DeviceId(entry.resource_id("id", slug(shown) or slug(f"{host}-{port}")))
        place = entry.text("location", "")
        timeout, retries = entry.number("timeout", None, 0.05, 60), entry.number("retries", None, 0, 10)
        agent = Agent(
            Device(device, shown, location=LocationId(place) if place else None),
            host,
            port,
            read_access(entry),
            source,
            entry.number("interval", None, 0.1, 86_400),
            timeout,
            None if retries is None else int(retries),
            # Time for some questions that are not answered, however long one of them takes.
            max(20.0, 4 * (timeout or 0) * (1 + (1 if retries is None else retries))),
        )
        entry.finish()
        return agent, entry

    @staticmethod
    def _refuse_doubles(entries: list[tuple[str, Entry]]) -> None:
        seen: set[str] = set()
        for name, entry in entries:
            if name in seen:
                raise entry.wrong("id", f"{name} is there already; give this one an id of its own")
            seen.add(name)


def _parents_first(entries: list[tuple[Location, Entry]]) -> tuple[Location, ...]:
    placed: dict[LocationId, Location] = {}
    waiting, depth = list(entries), 0
    while waiting:
        ready = [(place, entry) for place, entry in waiting if place.parent is None or place.parent in placed]
        if not ready:
            raise waiting[0][1].wrong("parent", "the location lies within itself")
        if depth > NESTING:
            raise ready[0][1].wrong("parent", f"locations must not nest deeper than {NESTING}; this one does")
        depth += 1
        placed |= {place.id: place for place, _ in ready}
        waiting = [(place, entry) for place, entry in waiting if place.id not in placed]
    return tuple(placed.values())
