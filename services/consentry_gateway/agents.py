"""The agents file: which locations there are, and which SNMP agents stand in them. It is TOML.

[[locations]]
id = "hall"
kind = "room"                 # site, building, room or rack
display_name = "Hall 1"       # the id, when left out
parent = "main-building"      # another location's id; left out at the top

[[agents]]
id = "rack-3-pdu"             # of the device that it speaks for; made of display_name, or of host and port, when left out
host = "127.0.0.1"
port = 161                    # 161 when left out
community = "public"
display_name = "Rack 3 PDU"   # what the device says of itself, when left out
location = "hall"             # left out: nowhere in particular
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from consentry_core import names
from consentry_core.errors import InvalidArgument
from consentry_core.files import read_text
from consentry_core.settings import SettingError
from consentry_gateway.model import Device, DeviceId, Location, LocationId, LocationKind, slug


@dataclass(frozen=True, slots=True)
class Agent:
    """One SNMP agent, SNMPv2c. `device` is what it speaks for, as far as the file says. The community is a secret."""

    device: Device
    host: str
    port: int
    community: str = field(repr=False)


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
            raise SettingError(f"the agents file {self._path} names no agents; add an [[agents]] with host and community")
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

    def _entries(self, kind: str, tables: Mapping[str, Any]) -> Iterator["_Entry"]:
        entries = tables.get(kind, [])
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise SettingError(f"the agents file {self._path}: {kind}: must be written as [[{kind}]]")
        for number, entry in enumerate(entries):
            lines = self._lines[kind]
            line = f"line {lines[number]}, " if number < len(lines) else ""
            yield _Entry(f"the agents file {self._path}, {line}{kind}[{number}]", entry)

    def _location(self, entry: "_Entry") -> tuple[Location, "_Entry"]:
        entry.refuse_unknown({"id", "kind", "display_name", "parent"})
        location = LocationId(entry.resource_id("id"))
        kinds = {kind.value: kind for kind in LocationKind}
        kind = entry.text("kind")
        if kind not in kinds:
            raise entry.wrong("kind", f"must be one of {', '.join(kinds)}")
        parent = entry.text("parent", "")
        shown = entry.text("display_name", location)
        return Location(location, shown, kinds[kind], LocationId(parent) if parent else None), entry

    def _agent(self, entry: "_Entry") -> tuple[Agent, "_Entry"]:
        entry.refuse_unknown({"id", "host", "port", "community", "display_name", "location"})
        host, port, shown = entry.text("host"), entry.port("port"), entry.text("display_name", "")
        device = DeviceId(entry.resource_id("id", slug(shown) or slug(f"{host}-{port}")))
        place = entry.text("location", "")
        location = LocationId(place) if place else None
        return Agent(Device(device, shown, location=location), host, port, entry.text("community")), entry

    @staticmethod
    def _refuse_doubles(entries: "list[tuple[str, _Entry]]") -> None:
        seen: set[str] = set()
        for name, entry in entries:
            if name in seen:
                raise entry.wrong("id", f"{name} is there already; give this one an id of its own")
            seen.add(name)


class _Entry:
    """One table of the file."""

    def __init__(self, where: str, values: Mapping[str, Any]) -> None:
        self._where = where
        self._values = values

    def wrong(self, name: str, message: str) -> SettingError:
        """The error that says where. Values are not shown: a community is a secret."""
        return SettingError(f"{self._where}.{name}: {message}")

    def refuse_unknown(self, known: set[str]) -> None:
        for name in self._values:
            if name not in known:
                raise self.wrong(name, f"unknown; known are {', '.join(sorted(known))}")

    def text(self, name: str, default: str | None = None) -> str:
        value = self._values.get(name, default)
        if value is None:
            raise self.wrong(name, "must be given")
        if not isinstance(value, str) or (default is None and not value):
            raise self.wrong(name, "must be a text" if default is not None else "must be a text that is not empty")
        return value

    def port(self, name: str) -> int:
        value = self._values.get(name, 161)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 65536:
            raise self.wrong(name, "must be a number from 1 to 65535")
        return value

    def resource_id(self, name: str, default: str | None = None) -> str:
        try:
            return names.resource_id(self.text(name, default), name)
        except InvalidArgument as error:
            raise self.wrong(name, error.violations[0].description) from error


def _parents_first(entries: list[tuple[Location, _Entry]]) -> tuple[Location, ...]:
    placed: dict[LocationId, Location] = {}
    waiting = list(entries)
    while waiting:
        ready = [(place, entry) for place, entry in waiting if place.parent is None or place.parent in placed]
        if not ready:
            raise waiting[0][1].wrong("parent", "the location lies within itself")
        placed |= {place.id: place for place, _ in ready}
        waiting = [(place, entry) for place, entry in waiting if place.id not in placed]
    return tuple(placed.values())
