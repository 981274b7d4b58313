"""How many agents a second one gateway polls on one core, beside bare pysnmp asking the same, and whether it grows.

A thousand agents (three recordings, each answered by a process that does nothing else) are polled in turns: by the gateway,
which recognises, decodes, judges alarms and writes frames, and by pysnmp alone, which asks what the gateway was seen to ask and
throws the answers away. Both have the same number of agents under way at once.
"""

import asyncio
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.harness import Report, in_pairs, ratios, run
from consentry_core.values.clock import SystemClock
from consentry_gateway.agents.file import Agent
from consentry_gateway.outbox.holding import Holding
from consentry_gateway.outbox.pending import Draft
from consentry_gateway.outbox.pipeline import Pipeline
from consentry_gateway.reading.model import Device, DeviceId
from consentry_gateway.reading.presence import Places, Presence
from consentry_gateway.simulator import recorded
from consentry_gateway.sources.polling import Collector, Reports
from consentry_gateway.sources.snmp.access import SnmpAccess
from consentry_gateway.sources.snmp.source import SnmpSource
from consentry_gateway.sources.snmp.wire import Engine, Line
from support.gateway_frames import HALL, writer

_AGENTS = 1_000
_RECORDINGS = ("apc-8641", "eaton-93e-80", "geist-temperature-sensor")
_CONCURRENCY = 32  # as the gateway has it
_ROUNDS = 5
_IN_A_ROUND = 50  # of the agents; each round has others
_STEADY = 1  # times that all are polled, over which memory must not grow


class _Nowhere:
    """Takes frames, and forgets them."""

    async def put(self, drafts: list[Draft], remember: dict[str, str | None]) -> None:
        """Nothing is kept."""


@dataclass(slots=True)
class _Asked:
    """What the gateway was seen to ask an agent: how, how many rows, and what."""

    questions: list[tuple[str, int, tuple[str, ...]]] = field(default_factory=list)


class _Recording(Line):
    """A line that writes down what is asked over it."""

    def __init__(self, line: Line, asked: _Asked) -> None:
        self._to = line._to
        self.address = line.address
        self._asked = asked

    async def get(self, oids: Any) -> Any:
        """Write down, and ask."""
        self._asked.questions.append(("get", 0, tuple(oids)))
        return await super().get(self._asked.questions[-1][2])

    async def bulk(self, rows: int, oids: Any) -> Any:
        """Write down, and ask."""
        self._asked.questions.append(("bulk", rows, tuple(oids)))
        return await super().bulk(rows, self._asked.questions[-1][2])


class _Gateway:
    """A gateway without a service behind it."""

    def __init__(self, agents: Sequence[Agent]) -> None:
        clock = SystemClock()
        reports = Reports(clock)
        self.source = SnmpSource(clock, reports=reports)
        self.collector = Collector(clock, {"snmp": self.source}, reports=reports, concurrency=_CONCURRENCY)
        ids = [agent.device.id for agent in agents]
        self._pipeline = Pipeline(
            writer(), _Nowhere(), presence=Presence(ids), places=Places([HALL], [HALL.id]), holding=Holding()
        )
        self.readings = 0

    async def look(self, agent: Agent) -> None:
        """Poll an agent, and take the poll in."""
        poll = await self.collector.poll(agent)
        assert poll.readings, agent
        self.readings += len(poll.readings)
        await self._pipeline.take(poll)

    async def round(self, agents: Sequence[Agent]) -> float:
        """Poll agents once; agents a second."""
        began = time.perf_counter()
        await asyncio.gather(*map(self.look, agents))
        return len(agents) / (time.perf_counter() - began)


class _Bare:
    """pysnmp, asked the same."""

    def __init__(self, asked: dict[int, _Asked]) -> None:
        self._asked = asked
        self._engine = Engine(lambda *_: None)
        self._lines: dict[DeviceId, Line] = {}
        self._turn = asyncio.Semaphore(_CONCURRENCY)

    async def _look(self, agent: Agent) -> None:
        async with self._turn:
            line = self._lines.get(agent.device.id)
            if line is None:
                line = self._lines[agent.device.id] = await self._engine.line(agent.host, agent.port, agent.access, 2.0, 1)
            for how, rows, oids in self._asked[agent.port].questions:
                indication, *_ = await (line.get(oids) if how == "get" else line.bulk(rows, oids))
                assert not indication, indication

    async def round(self, agents: Sequence[Agent]) -> float:
        """Ask agents once; agents a second."""
        began = time.perf_counter()
        await asyncio.gather(*map(self._look, agents))
        return len(agents) / (time.perf_counter() - began)


def _agent(number: int, ports: Sequence[int]) -> Agent:
    port = ports[number % len(ports)]
    return Agent(Device(DeviceId(f"agent-{number}"), ""), recorded.HOST, port, SnmpAccess("public"))


async def _seen(agents: Sequence[Agent]) -> dict[int, _Asked]:
    """What the gateway asks each kind of agent once it knows it."""
    gateway, asked = _Gateway(agents), {}
    for agent in agents:
        await gateway.look(agent)
        known = gateway.source._known[agent.device.id]
        assert known.line is not None
        asked[agent.port] = _Asked()
        known.line = _Recording(known.line, asked[agent.port])
        await gateway.look(agent)
    await gateway.collector.close()
    return asked


def _rss_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


async def measure(report: Report) -> None:
    """Poll, and compare."""
    command = [sys.executable, "-m", "bench.snmp_agents_process", *_RECORDINGS]
    process = await asyncio.create_subprocess_exec(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        ports = [int(await process.stdout.readline()) for _ in _RECORDINGS]
        agents = [_agent(number, ports) for number in range(_AGENTS)]
        gateway, bare = _Gateway(agents), _Bare(await _seen(agents[: len(_RECORDINGS)]))
        await gateway.round(agents)  # recognises them all
        parts = [agents[start : start + _IN_A_ROUND] for start in range(0, _AGENTS, _IN_A_ROUND)]
        for part in parts[:2]:
            await bare.round(part)
        mine, its = itertools.cycle(parts), itertools.cycle(parts)
        pairs = await in_pairs(_ROUNDS, lambda: bare.round(next(its)), lambda: gateway.round(next(mine)))
        speeds = [measured for _, measured in pairs]
        report.median("agents_per_s", speeds, "agents polled a second, one process", at_least=_AGENTS / 60)
        report.median("over_bare_pysnmp", ratios(pairs), "beside pysnmp asking the same questions", at_least=0.7)
        before, seen = _rss_mib(), gateway.readings
        for _ in range(_STEADY):
            await gateway.round(agents)
        report.figure("rss_growth_mib", _rss_mib() - before, f"over {_STEADY} more poll of {_AGENTS} agents", at_most=8)
        report.figure("readings_per_agent", (gateway.readings - seen) / _AGENTS / _STEADY, "in one poll")
    finally:
        process.stdin.close()
        await process.wait()


if __name__ == "__main__":
    run("gateway", measure)
