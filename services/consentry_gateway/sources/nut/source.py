"""Network UPS Tools as a source of readings: all variables of one UPS, asked for at once.

A variable stands under its own name as an address (`battery.charge.0`), that of an outlet or probe with its number at the end
(`ambient.2.temperature.high` as `ambient.temperature-high.2`). Each flag of `ups.status` has an address of its own.
"""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from consentry_core.values.clock import Clock
from consentry_gateway.agents.file import Agent
from consentry_gateway.profiles.nut import FLAGS, IDENTITY, NORMAL_FLAGS, STATUS_KNOWN
from consentry_gateway.reading.model import DeviceId, Poll
from consentry_gateway.reading.raw import Answers, Raw, text_of
from consentry_gateway.sources.decoding import Decoding
from consentry_gateway.sources.polling import Reports

if TYPE_CHECKING:
    from consentry_gateway.sources.nut.client import Upsd

_NUMBERED = re.compile(r"(outlet|ambient)\.([1-9]\d{0,3})\.(.+)")


class NutSource:
    """Asks the `upsd` of agents. `timeout` in seconds is that of one answer, where the agents file names none."""

    def __init__(self, clock: Clock, *, reports: Reports, timeout: float = 2.0) -> None:
        self._timeout = timeout
        self._decoding = Decoding(clock, reports, "nut", IDENTITY)
        self._connections: dict[DeviceId, Upsd] = {}

    async def ask(self, agent: Agent) -> Poll:
        """Look at an agent, once."""
        answers = answers_of(await self._connection(agent).variables())
        kind, driver = (text_of(answers.get(address)) or "unknown" for address in (IDENTITY, "driver.name.0"))
        return self._decoding.poll(agent, answers, described=f"device.type {kind!r}, driver {driver!r}")

    async def close(self) -> None:
        """Close the connections."""
        for connection in self._connections.values():
            connection.shutdown()

    def _connection(self, agent: Agent) -> "Upsd":
        from consentry_gateway.sources.nut.client import Upsd  # noqa: PLC0415 - only who has such agents has aionut

        known = self._connections.get(agent.device.id)
        if known is None:
            known = Upsd(agent.host, agent.port, agent.access, agent.timeout or self._timeout)
            self._connections[agent.device.id] = known
        return known


def answers_of(variables: Mapping[str, str]) -> Answers:
    """What variables say, by address."""
    answers: dict[str, Raw] = {IDENTITY: ""}
    for name, value in variables.items():
        numbered = _NUMBERED.fullmatch(name)
        # Of two columns none begins like the other with a dot behind it.
        address = f"{numbered[1]}.{numbered[3].replace('.', '-')}.{numbered[2]}" if numbered else f"{name}.0"
        answers[address] = value
    if "ups.status" not in variables:
        return answers
    said = set(variables["ups.status"].split())
    known = not said.isdisjoint(NORMAL_FLAGS)
    answers[STATUS_KNOWN] = "known" if known else "unknown"
    for flag in FLAGS:
        if flag in said:
            answers[f"ups.status.{flag}.0"] = flag
        elif known:  # while a driver is only starting, a flag that is not there says nothing
            answers[f"ups.status.{flag}.0"] = "no"
    if "ALARM" in said:
        answers.setdefault("ups.alarm.0", "ALARM")
    return answers
