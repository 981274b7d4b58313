"""Asking SNMP agents: gets in batches, tables by bulk walks, everything bounded, many agents side by side.

What an agent does not have is left out of the answers. An agent that does not answer, or not in time, is `AgentSilent`.
"""

import asyncio
import logging
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from consentry_core.clock import Clock
from consentry_gateway.agents import Agent
from consentry_gateway.decode import Answers, Raw, decode, questions, recognise
from consentry_gateway.model import Device, DeviceId, Poll
from consentry_gateway.profiles import Profile

with warnings.catch_warnings():
    # pysnmp asks pysmi for its compilers under their old names; none of them is used here.
    warnings.simplefilter("ignore", DeprecationWarning)
    from pyasn1.type.univ import ObjectIdentifier, OctetString  # type: ignore[import-untyped]
    from pysnmp.error import PySnmpError
    from pysnmp.hlapi.v3arch.asyncio import (
        CommunityData,
        ContextData,
        ObjectType,
        SnmpEngine,
        UdpTransportTarget,
        bulk_cmd,
        get_cmd,
    )
    from pysnmp.proto.rfc1902 import Null, ObjectName
    from pysnmp.proto.rfc1905 import EndOfMibView, NoSuchInstance, NoSuchObject

_log = logging.getLogger(__name__)

_GET_BATCH = 16  # answers stay within one datagram of ordinary size
_BULK_COLUMNS, _BULK_ROWS = 6, 6
_MOST_ROWS = 512  # of one table; an agent that counts on for ever is not followed


class _Asked(ObjectType):  # type: ignore[misc] # untyped
    """An OID to ask for, as it is. pysnmp would set up its MIB compiler, in the home folder, for names that nobody uses."""

    def __init__(self, oid: str) -> None:
        self._pair = (ObjectName(oid), Null(""))

    def resolve_with_mib(self, *_: object, **__: object) -> "_Asked":
        """Itself."""
        return self

    def __getitem__(self, place: int) -> Any:
        return self._pair[place]


class AgentSilent(Exception):
    """The agent did not answer."""


class SnmpCollector:
    """Polls agents, at most `concurrency` at a time; each poll ends within `deadline` seconds.

    `timeout` in seconds and `retries` are those of one question.
    """

    def __init__(
        self, clock: Clock, *, timeout: float = 2.0, retries: int = 1, deadline: float = 20.0, concurrency: int = 64
    ) -> None:
        self._clock = clock
        self._timeout = timeout
        self._retries = retries
        self._deadline = deadline
        self._turn = asyncio.Semaphore(concurrency)
        self._engine = SnmpEngine()
        self._profiles: dict[DeviceId, Profile] = {}
        self._known: dict[DeviceId, tuple[Device, ...]] = {}

    def remember(self, devices: Iterable[Device]) -> None:
        """Devices as they were known before a restart: what an agent's device is taken for while it does not answer."""
        for device in devices:
            if device.parent is None:
                self._known.setdefault(device.id, (device,))

    async def poll(self, agent: Agent) -> Poll:
        """Look at an agent, once."""
        async with self._turn:
            try:
                async with asyncio.timeout(self._deadline):
                    return await self._ask(agent)
            except (AgentSilent, TimeoutError):
                # Another device may answer at this address next time.
                self._profiles.pop(agent.device.id, None)
                return self._silent(agent)

    def close(self) -> None:
        """Close the socket."""
        self._engine.close_dispatcher()

    async def _ask(self, agent: Agent) -> Poll:
        session = await _Session.open(self._engine, agent, self._timeout, self._retries)
        profile = self._profiles.get(agent.device.id)
        if profile is None:
            profile = recognise(await session.get(questions()))
            if profile is None:
                _log.warning("agent device=%s is of no known family; nothing is read from it", agent.device.id)
                device = replace(agent.device, display_name=agent.device.display_name or agent.device.id)
                return Poll(self._clock.now(), device, True, (device,))
            _log.info("agent device=%s family=%r", agent.device.id, profile.family)
            self._profiles[agent.device.id] = profile
        answers = await session.get(profile.scalars())
        answers |= await session.walk(profile.columns())
        poll = decode(profile, agent.device, answers, self._clock.now())
        self._known[agent.device.id] = poll.devices
        return poll

    def _silent(self, agent: Agent) -> Poll:
        unknown = replace(agent.device, display_name=agent.device.display_name or agent.device.id)
        known = self._known.get(agent.device.id, (unknown,))
        devices = tuple(replace(device, location=agent.device.location) for device in known)  # whatever was known before
        return Poll(self._clock.now(), devices[0], False, devices)


class _Session:
    """Questions to one agent."""

    def __init__(self, engine: SnmpEngine, agent: Agent, target: UdpTransportTarget) -> None:
        community = CommunityData(agent.community, mpModel=1)  # noqa: S508 - what the agents of the field speak
        self._to = (engine, community, target, ContextData())

    @classmethod
    async def open(cls, engine: SnmpEngine, agent: Agent, timeout: float, retries: int) -> "_Session":  # noqa: ASYNC109 - of each question
        try:
            target = await UdpTransportTarget.create((agent.host, agent.port), timeout=timeout, retries=retries)
        except PySnmpError as error:
            raise AgentSilent(f"no address for {agent.host}") from error
        return cls(engine, agent, target)

    async def get(self, oids: Sequence[str]) -> dict[str, Raw]:
        """The answers to the scalars that are there."""
        answers: dict[str, Raw] = {}
        for start in range(0, len(oids), _GET_BATCH):
            answers |= await self._get(oids[start : start + _GET_BATCH])
        return answers

    async def _get(self, oids: Sequence[str]) -> Answers:
        status, varbinds = _checked(await get_cmd(*self._to, *_objects(oids), lookupMib=False))
        if not status:
            return _present(varbinds)
        if len(oids) == 1:
            return {}  # the agent cannot say this one
        # Too much for one answer, or one that the agent stumbles over: ask for each half by itself.
        half = len(oids) // 2
        return {**await self._get(oids[:half]), **await self._get(oids[half:])}

    async def walk(self, columns: Sequence[str]) -> dict[str, Raw]:
        """The answers to everything below the columns."""
        answers: dict[str, Raw] = {}
        for start in range(0, len(columns), _BULK_COLUMNS):
            answers |= await self._walk(columns[start : start + _BULK_COLUMNS])
        return answers

    async def _walk(self, columns: Sequence[str]) -> dict[str, Raw]:
        answers: dict[str, Raw] = {}
        last = {column: column for column in columns}  # the column, and the last instance that is known of it
        for _ in range(0, _MOST_ROWS, _BULK_ROWS):
            if not last:
                break
            asked = tuple(last)
            status, varbinds = _checked(await bulk_cmd(*self._to, 0, _BULK_ROWS, *_objects(last.values()), lookupMib=False))
            if status or not varbinds:
                break
            seen: set[str] = set()
            # Row by row, each with an instance of every column that was asked for; the agent may stop anywhere.
            for position, (oid, raw) in enumerate((str(name), _raw(value)) for name, value in varbinds):
                column = asked[position % len(asked)]
                if column not in last:
                    continue
                if raw is _NOTHING or not oid.startswith(f"{column}.") or not _after(oid, last[column]):
                    del last[column]
                    continue
                answers[oid] = raw
                last[column] = oid
                seen.add(column)
            if not seen:
                break
        return answers


_NOTHING = object()


def _checked(response: Any) -> tuple[int, Sequence[tuple[Any, Any]]]:
    indication, status, _index, varbinds = response
    if indication:
        raise AgentSilent(str(indication))
    return int(status), varbinds


def _objects(oids: Iterable[str]) -> list[_Asked]:
    return [_Asked(oid) for oid in oids]


def _present(varbinds: Sequence[tuple[Any, Any]]) -> dict[str, Raw]:
    return {str(name): raw for name, raw in ((name, _raw(value)) for name, value in varbinds) if raw is not _NOTHING}


def _raw(value: Any) -> Any:
    if isinstance(value, NoSuchInstance | NoSuchObject | EndOfMibView):
        return _NOTHING
    if isinstance(value, OctetString):
        return bytes(value)
    if isinstance(value, ObjectIdentifier):
        return str(value)
    try:
        return int(value)
    except (TypeError, ValueError):
        return _NOTHING


def _after(oid: str, other: str) -> bool:
    return [int(part) for part in oid.split(".")] > [int(part) for part in other.split(".")]
