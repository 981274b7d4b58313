"""Which agents there are in a network, found by asking each address one question, not too fast; and an agents file of them.

| bound | |
| --- | --- |
| addresses | `MOST_ADDRESSES`; a larger network is refused |
| questions | `pace` new addresses a second, `_AT_ONCE` at a time, one question to those that do not answer |
"""

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass

from consentry_core.process.settings import SettingError
from consentry_core.values.text import cleaned
from consentry_gateway.agents.file import Agent
from consentry_gateway.looking.asked import agent_at
from consentry_gateway.reading.model import slug
from consentry_gateway.sources.polling import AgentSilent
from consentry_gateway.sources.snmp.access import SnmpAccess
from consentry_gateway.sources.snmp.source import Look, SnmpSource

MOST_ADDRESSES = 4096
_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Found:
    """An agent that answered. `look` None: only the first question."""

    agent: Agent
    look: Look | None


def addresses(network: str) -> list[str]:
    """The addresses of hosts in a network such as `10.0.0.0/24` or `2001:db8::/120`, or the one that is named."""
    try:
        named = ipaddress.ip_network(network, strict=False)
    except ValueError as error:
        raise SettingError(f"{network} is no network; write it like 10.0.0.0/24 or 2001:db8::/120") from error
    if named.num_addresses > MOST_ADDRESSES:
        raise SettingError(
            f"{network} has {named.num_addresses} addresses, of which at most {MOST_ADDRESSES} are asked; name a smaller one"
        )
    return [str(address) for address in named.hosts()]


async def discover(
    source: SnmpSource,
    hosts: Iterable[str],
    port: int,
    access: SnmpAccess,
    *,
    timeout: float,  # noqa: ASYNC109 - of each question
    pace: float,
) -> AsyncIterator[Found]:
    """The agents that answer, as they are found."""
    found: asyncio.Queue[Found | None] = asyncio.Queue()
    turn = asyncio.Semaphore(_AT_ONCE)

    async def ask(host: str) -> None:
        agent = agent_at(host, port, access)
        try:
            if await source.answers(agent, timeout) is None:
                return
            try:
                async with asyncio.timeout(agent.deadline):
                    look = await source.look(agent)
            except (AgentSilent, TimeoutError):
                look = None
            found.put_nowait(Found(agent, look))
        finally:
            turn.release()

    async def ask_all() -> None:
        try:
            async with asyncio.TaskGroup() as asking:
                for host in hosts:
                    await turn.acquire()
                    asking.create_task(ask(host))
                    await asyncio.sleep(1 / pace)
        finally:
            found.put_nowait(None)

    all_of_them = asyncio.create_task(ask_all())
    try:
        while (one := await found.get()) is not None:
            yield one
        await all_of_them
    finally:
        all_of_them.cancel()
        await asyncio.gather(all_of_them, return_exceptions=True)


def described(found: Found) -> str:
    """What an agent is, on one line."""
    look = found.look
    if look is None or look.undecided:
        return "answers, and not what it is"
    if not look.profiles:
        return f"of no known family: sysObjectID {look.object_id or 'none'}, {look.description}"
    device = look.poll.device
    named = " ".join(filter(None, (device.model_name, device.serial_number)))
    return f"{look.profiles[0].family}{f': {named}' if named else ''} ({look.description})"


def agents_file(found: Iterable[Found], fields: Mapping[str, str]) -> Iterator[str]:
    """The lines of an agents file. `fields` say how the agents were reached. What no profile is for is written as a comment."""
    yield "# Agents that answered. Give each a display_name and a location; see the gateway's README."
    for one in sorted(found, key=lambda one: ipaddress.ip_address(one.agent.host).packed):
        known = one.look is not None and bool(one.look.profiles)
        kind = one.look.poll.device.type.value if one.look is not None and known else "agent"
        agent = one.agent
        values = {"id": slug(f"{kind}-{agent.host}"), "host": agent.host, **fields}
        yield ""
        yield f"# {cleaned(described(one))}"
        before = "" if known else "# "
        yield f"{before}[[agents]]"
        yield from (f"{before}{name} = {_quoted(value)}" for name, value in values.items() if value)
        yield f"{before}port = {agent.port}"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
