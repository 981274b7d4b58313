"""The agent that somebody wants to look at, as it would stand in an agents file."""

from collections.abc import Mapping
from pathlib import Path

from consentry_core.process.settings import SettingError
from consentry_gateway.agents.entry import Entry
from consentry_gateway.agents.file import Agent, read_site
from consentry_gateway.reading.model import Device, DeviceId, slug
from consentry_gateway.sources.snmp.access import SnmpAccess, read_snmp_access

PUBLIC = "public"
"""The community that is tried when none is given: the one that many agents come with, and no secret."""


def read_access(fields: Mapping[str, str]) -> SnmpAccess:
    """Access by the fields of an agents file. SettingError, naming the field, when one of them is wrong."""
    given = {name: value for name, value in fields.items() if value}
    if given.get("version", "2c") != "3" and not any(name.startswith("community") for name in given):
        given["community"] = PUBLIC
    entry = Entry("what was given", given, Path())
    access = read_snmp_access(entry)
    entry.finish()
    return access


def agent_at(host: str, port: int, access: SnmpAccess) -> Agent:
    """An agent that no file names."""
    return Agent(Device(DeviceId(slug(f"{host}-{port}") or "agent"), ""), host, port, access)


def agent_of(file: Path, wanted: str) -> Agent:
    """The agent of an agents file with this id, or at this host. SettingError when there is none, or several."""
    agents = read_site(file).agents
    found = [agent for agent in agents if agent.device.id == wanted] or [agent for agent in agents if agent.host == wanted]
    if len(found) != 1:
        few = "no agent has" if not found else f"{len(found)} agents have"
        raise SettingError(f"in the agents file {file} {few} the id or host {wanted}")
    return found[0]
