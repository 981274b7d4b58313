"""What is common to all sources of readings: turns, silence, hints, and what the log says of agents."""

import asyncio
import logging

import pytest

from consentry_gateway.agents.file import Agent
from consentry_gateway.reading.model import Device, DeviceId, Poll
from consentry_gateway.sources.polling import AgentSilent, Collector, Reports
from consentry_gateway.sources.snmp.access import SnmpAccess
from support.clocks import FakeClock
from support.polls import at


class _Source:
    """Agents of which some are silent, and are waited for until `end`."""

    def __init__(self) -> None:
        self.end = asyncio.Event()
        self.end.set()

    async def ask(self, agent: Agent) -> Poll:
        if agent.device.id.startswith("silent"):
            await self.end.wait()
            raise AgentSilent("no answer")
        return Poll(at(0), agent.device, True, (agent.device,))

    async def close(self) -> None:
        """Nothing is open."""


def agent(name: str) -> Agent:
    return Agent(Device(DeviceId(name), name), "127.0.0.1", 161, SnmpAccess("public"))


async def test_who_waits_for_silent_agents_keeps_no_other_waiting() -> None:
    source, clock = _Source(), FakeClock()
    collector = Collector(clock, {"snmp": source}, reports=Reports(clock), concurrency=1)
    silent = [agent(f"silent-{number}") for number in range(4)]
    for one in silent:
        assert not (await collector.poll(one)).reachable
    source.end.clear()
    waiting = [asyncio.create_task(collector.poll(one)) for one in silent]
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        assert (await collector.poll(agent("well"))).reachable
    assert not any(task.done() for task in waiting)
    source.end.set()
    await asyncio.gather(*waiting)


async def test_what_is_so_of_an_agent_is_told_when_it_changes_and_again_after_an_hour(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    clock = FakeClock()
    reports, device = Reports(clock), DeviceId("it")

    def told(what: str, *, steady: bool = False) -> list[str]:
        caplog.clear()
        reports.tell(device, "silent", what, steady=steady)
        return [record.getMessage() for record in caplog.records]

    assert told("") == []
    assert told("no answer") == ["agent device=it silent: no answer"]
    assert told("no answer") == []
    assert told("no address") == ["agent device=it silent: no address"]
    assert told("no answer", steady=True) == []
    clock.advance(3_600)
    assert told("no address") == ["agent device=it silent: no address"]
    assert told("") == ["agent device=it silent: over"]
    for number in range(100):
        reports.tell(device, f"made up {number}", "wrong")
    assert len([record for record in caplog.records if "made up" in record.getMessage()]) == 16
