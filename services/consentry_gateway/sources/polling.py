"""Where readings come from: a source polls agents of its kind. A new source is one file and its profiles.

A source asks an agent, puts what it answered into `Answers` under addresses with dots, and lets `recognition` and `decode` make
a poll of it. How its agents are reached stands in the agents file: each source has an `Access` of its own, read by a function
in `agents.ACCESS`. What is common to all (which agent is known as what, a poll that came to nothing) is here.
"""

import asyncio
import contextlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Protocol

from consentry_core.values.clock import SECOND, Clock
from consentry_gateway.agents.file import Agent
from consentry_gateway.reading.model import Device, DeviceId, Poll

_log = logging.getLogger(__name__)

_AGAIN = 3_600 * SECOND  # what stays as it is, is said again at most so often

_QUIET = 4  # times as many that wait for silence as that work
_LEAST = 1.0  # seconds between two polls of an agent, whoever asks for them
_MOST_SUBJECTS = 16  # of one agent


class AgentSilent(Exception):
    """The agent did not answer. The message says why, in words."""


class Undecided(Exception):
    """The agent answered, but what it is could not be found out this time: it is what it was, and nothing is read of it."""


class Asking(Protocol):
    """What reads agents of one kind."""

    async def ask(self, agent: Agent) -> Poll:
        """Look at an agent, once. AgentSilent, with the reason in words, when it does not answer; Undecided."""
        ...

    async def close(self) -> None:
        """Close what is open."""
        ...


@dataclass(slots=True)
class _Told:
    what: str
    time: int


class Reports:
    """Says what is the matter with an agent when that changes, and again at most once an hour."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._told: dict[tuple[DeviceId, str], _Told] = {}

    def tell(
        self,
        device: DeviceId,
        subject: str,
        what: str,
        level: int = logging.WARNING,
        *,
        steady: bool = False,
        error: Exception | None = None,
    ) -> None:
        """What is so of an agent, under a subject; empty: nothing is the matter any more.

        `steady`: as long as there is something, it is the same matter, whatever it is called.
        """
        now = self._clock.boot()
        told = self._told.get((device, subject))
        if told is None and not what:
            return
        same = told is not None and (told.what == what or (steady and bool(told.what and what)))
        if told is not None and same and now - told.time < _AGAIN:
            return
        if told is None and sum(1 for other, _ in self._told if other == device) >= _MOST_SUBJECTS:
            return
        if not what:
            _log.info("agent device=%s %s: over", device, subject)
            del self._told[device, subject]
            return
        self._told[device, subject] = _Told(what, now)
        _log.log(level, "agent device=%s %s: %s", device, subject, what, exc_info=error)


class Collector:
    """Polls agents of all kinds, at most `concurrency` at a time; each poll ends within its agent's deadline.

    Those that were silent last time have turns of their own: who waits for them keeps nobody else waiting.
    """

    def __init__(self, clock: Clock, sources: dict[str, Asking], *, reports: Reports, concurrency: int = 32) -> None:
        self._clock = clock
        self._sources = sources
        self._reports = reports
        self._turn = asyncio.Semaphore(concurrency)
        self._quiet_turn = asyncio.Semaphore(_QUIET * concurrency)
        self._quiet: set[DeviceId] = set()
        self._known: dict[DeviceId, tuple[Device, ...]] = {}
        self._hints: dict[DeviceId, asyncio.Event] = {}

    def remember(self, devices: Iterable[Device]) -> None:
        """Devices as they were known before a restart: what an agent's device is taken for while it does not answer."""
        for device in devices:
            if device.parent is None:
                self._known.setdefault(device.id, (device,))

    async def poll(self, agent: Agent) -> Poll:
        """Look at an agent, once."""
        async with self._quiet_turn if agent.device.id in self._quiet else self._turn:
            try:
                async with asyncio.timeout(agent.deadline):
                    poll = await self._sources[agent.source].ask(agent)
            except AgentSilent as error:
                return self._silent(agent, str(error))
            except TimeoutError:
                return self._silent(agent, f"its answers did not come within {agent.deadline:g} s")
            except Undecided:
                poll = self._as_known(agent, reachable=True)
        self._quiet.discard(agent.device.id)
        self._reports.tell(agent.device.id, "silent", "")
        self._known[agent.device.id] = poll.devices
        return poll

    def failed(self, agent: Agent, error: Exception, what: str) -> None:
        """A poll, or what was made of it, ended in an error that nobody foresaw."""
        self._reports.tell(agent.device.id, what, f"{type(error).__name__}: {error}", logging.ERROR, error=error)

    def hint(self, device: DeviceId) -> None:
        """An agent is said to have news: it is polled soon."""
        self._hints.setdefault(device, asyncio.Event()).set()

    async def until_next(self, agent: Agent, seconds: float) -> None:
        """Wait for so long, or until there is a hint; even then for a second, so that hints do not make a flood of polls."""
        hint = self._hints.setdefault(agent.device.id, asyncio.Event())
        end = asyncio.get_running_loop().time() + seconds
        await asyncio.sleep(min(_LEAST, seconds))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(end):
                await hint.wait()
        hint.clear()

    async def close(self) -> None:
        """Close what the sources have open."""
        for source in self._sources.values():
            await source.close()

    def _silent(self, agent: Agent, why: str) -> Poll:
        self._quiet.add(agent.device.id)
        self._reports.tell(agent.device.id, "silent", why)
        return self._as_known(agent, reachable=False)

    def _as_known(self, agent: Agent, *, reachable: bool) -> Poll:
        unknown = replace(agent.device, display_name=agent.device.display_name or agent.device.id)
        known = self._known.get(agent.device.id, (unknown,))
        devices = tuple(replace(device, location=agent.device.location) for device in known)  # whatever was known before
        return Poll(self._clock.now(), devices[0], reachable, devices, complete=not reachable)
