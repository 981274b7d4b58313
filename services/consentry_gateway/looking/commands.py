"""What `consentry gateway discover`, `try` and `record` do."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from consentry_core.process.settings import SettingError
from consentry_core.values.clock import SystemClock
from consentry_gateway.agents.file import Agent
from consentry_gateway.looking import recording, trying
from consentry_gateway.looking.asked import agent_at, agent_of, read_access
from consentry_gateway.looking.discovering import Found, addresses, agents_file, described, discover
from consentry_gateway.sources.polling import AgentSilent, Reports
from consentry_gateway.sources.snmp.source import SnmpSource

Say = Callable[[str], None]
"""Prints a line."""


def run_discover(
    network: str, port: int, fields: Mapping[str, str], output: Path, *, timeout: float, pace: float, say: Say
) -> None:
    """Find agents, and write an agents file. SettingError when nothing answers, or the file is there already."""
    hosts, access = addresses(network), read_access(fields)
    _check_new(output)
    found: list[Found] = []

    async def look() -> None:
        async with _source(timeout, 0) as source:
            async for one in discover(source, hosts, port, access, timeout=timeout, pace=pace):
                say(f"{one.agent.host}  {described(one)}")
                found.append(one)

    asyncio.run(look())
    if not found:
        raise SettingError(
            f"none of the {len(hosts)} addresses answered at port {port}: the network, the port, the version or the community "
            "may be another, or this host may not be allowed to ask"
        )
    named = {name: _from(output, value) if name.endswith("_file") else value for name, value in fields.items()}
    if access.community and not any(name.startswith("community") for name in fields):
        named["community"] = access.community
    _write(output, agents_file(found, named))
    say(f"{output} has {sum(1 for one in found if one.look and one.look.profiles)} of the {len(found)} agents that answered")


def run_try(agent: Agent, *, timeout: float, say: Say) -> None:
    """Look at an agent, and say what would be published. SettingError when it does not answer."""

    async def look() -> None:
        async with _source(timeout, 1) as source, _answering(agent):
            async with asyncio.timeout(agent.deadline):
                found = await source.look(agent)
        for line in trying.lines(found):
            say(line)

    asyncio.run(look())


def run_record(agent: Agent, output: Path, *, timeout: float, most: int, pace: float, say: Say) -> None:
    """Record an agent. What was recorded before it stopped answering is written, and that it did is said."""
    _check_new(output)
    found: list[recording.Value] = []

    async def record() -> None:
        async with _source(timeout, 1) as source, _answering(agent):
            line = await source.answers(agent, timeout)
            if line is None:
                await source.look(agent)  # says why
                raise SettingError(f"{agent.host} port {agent.port}: it stopped answering")
            try:
                values = recording.values(line, version=agent.access.version, most=most, pace=pace)
                async for value in values:
                    found.append(value)  # noqa: PERF401 - what came before it failed is kept
            except AgentSilent as error:
                if not found:
                    raise
                say(f"it goes no further {error}")

    asyncio.run(record())
    _write(output, recording.lines(recording.without_names(found, agent.host)))
    say(f"{output} has {len(found)} values, without names, contacts and addresses as far as they are known to be such;")
    say("serial numbers and other texts are in it: read it before you send it to anybody")


def agent_from(host: str, port: int, fields: Mapping[str, str], agents: Path | None) -> Agent:
    """The agent that is meant: one of an agents file, or one at a host. SettingError when it is not clear how to reach it."""
    if agents is not None:
        return agent_of(agents, host)
    return agent_at(host, port, read_access(fields))


class _Quiet(Reports):
    """What is the matter is said by the command."""

    def tell(self, *_: object, **__: object) -> None:
        """Nothing."""


@asynccontextmanager
async def _source(timeout: float, retries: int) -> AsyncIterator[SnmpSource]:  # noqa: ASYNC109 - of each question
    clock = SystemClock()
    source = SnmpSource(clock, reports=_Quiet(clock), timeout=timeout, retries=retries)
    try:
        yield source
    finally:
        await source.close()


@asynccontextmanager
async def _answering(agent: Agent) -> AsyncIterator[None]:
    try:
        yield
    except AgentSilent as error:
        raise SettingError(str(error)) from error
    except TimeoutError as error:
        raise SettingError(f"{agent.host} port {agent.port}: its answers did not come within {agent.deadline:g} s") from error


def _from(file: Path, named: str) -> str:
    """The name of a file for another one that names it by where it lies itself."""
    return named if file.absolute().parent == Path.cwd() else str(Path(named).absolute())


def _check_new(file: Path) -> None:
    if file.exists():
        raise SettingError(f"{file} is there already; name another with --output")


def _write(file: Path, lines: Iterable[str]) -> None:
    """Write a new file that only its owner can read: there may be a community in it."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise SettingError(f"cannot write {file} ({error.strerror}); name another with --output") from error
    with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
        opened.writelines(f"{line}\n" for line in lines)
