"""What the sources that are asked everything at once have in common: answers in, a poll out, and what the log says of it."""

import logging
from collections.abc import Set
from dataclasses import dataclass, field, replace

from consentry_core.values.clock import Clock
from consentry_gateway.agents.file import Agent
from consentry_gateway.profiles import Profile
from consentry_gateway.reading.decode import decode
from consentry_gateway.reading.model import Device, DeviceId, Poll
from consentry_gateway.reading.raw import Answers
from consentry_gateway.reading.recognition import recognise
from consentry_gateway.sources.polling import Reports


@dataclass(slots=True)
class _Known:
    """What an agent was last taken for, and the devices that it spoke of. `profiles` None: it has not answered yet."""

    profiles: tuple[Profile, ...] | None = None
    devices: dict[DeviceId, Device] = field(default_factory=dict)


class Decoding:
    """Makes polls of the agents of one source. `identity` is the address of what an agent says it is."""

    def __init__(self, clock: Clock, reports: Reports, source: str, identity: str) -> None:
        self._clock = clock
        self._reports = reports
        self._source = source
        self._identity = identity
        self._known: dict[DeviceId, _Known] = {}

    def poll(
        self, agent: Agent, answers: Answers, *, unread: Set[str] = frozenset(), why_not_all: str = "", described: str = ""
    ) -> Poll:
        """The poll of an agent that answered. `unread` as in `decode`, and why; `described`: what it is, for the log."""
        device, known = agent.device.id, self._known.setdefault(agent.device.id, _Known())
        profiles = recognise(answers, source=self._source, identity=self._identity)
        if unread and known.profiles and not profiles:
            profiles = known.profiles  # what tells it from others is among what was not read
        if profiles != known.profiles:
            known.profiles, known.devices = profiles, {}
            families = ", ".join(profile.family for profile in profiles)
            if families:
                self._reports.tell(device, "family", f"{families} ({described})", logging.INFO)
            else:
                self._reports.tell(device, "family", f"none that is known, nothing is read from it ({described})")
        self._reports.tell(device, "not read", why_not_all, steady=True)
        if not profiles:
            shown = replace(agent.device, display_name=agent.device.display_name or device)
            return Poll(self._clock.now(), shown, True, (shown,), complete=False)
        poll = decode(profiles, agent.device, answers, self._clock.now(), unread=unread, known=known.devices.values())
        known.devices |= {found.id: found for found in poll.devices}
        return poll
