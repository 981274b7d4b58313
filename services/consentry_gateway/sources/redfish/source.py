"""Redfish as a source of readings: the chassis of a service, their power and their temperatures."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from consentry_core.values.clock import Clock
from consentry_gateway.agents.file import Agent
from consentry_gateway.profiles import PROFILES
from consentry_gateway.reading.model import DeviceId, Poll
from consentry_gateway.reading.raw import text_of
from consentry_gateway.sources.decoding import Decoding
from consentry_gateway.sources.polling import AgentSilent, Reports

if TYPE_CHECKING:
    from consentry_gateway.sources.redfish.events import Events
    from consentry_gateway.sources.redfish.session import Session

IDENTITY = "service.Product.0"
_PATIENCE = 10.0  # seconds for an answer; many a BMC takes some to ask all of its sensors


@dataclass(slots=True)
class _Known:
    session: "Session"
    events: "Events"
    own: str = ""


class RedfishSource:
    """Asks Redfish services. `timeout` in seconds is that of one answer, where the agents file names none; ten at least.

    `on_news` is told of the devices whose services say that something happened.
    """

    def __init__(
        self, clock: Clock, *, reports: Reports, timeout: float = 2.0, on_news: Callable[[DeviceId], None] = lambda _: None
    ) -> None:
        self._clock = clock
        self._timeout = max(timeout, _PATIENCE)
        self._on_news = on_news
        self._decoding = Decoding(clock, reports, "redfish", IDENTITY)
        self._known: dict[DeviceId, _Known] = {}
        profiles = [profile for profile in PROFILES if profile.source == "redfish"]
        self._columns = tuple(dict.fromkeys(column for profile in profiles for column in profile.columns()))

    async def ask(self, agent: Agent) -> Poll:
        """Look at an agent, once."""
        from consentry_gateway.sources.redfish.tree import Tree  # noqa: PLC0415 - only who has such agents has aiohttp

        known = self._known.get(agent.device.id) or self._first(agent)
        try:
            root = await known.session.begin()
            tree = Tree(known.session.get, self._columns, known.own)
            await tree.walk(root)
        except AgentSilent:
            known.own = ""  # another service may answer there next time
            raise
        known.own = tree.own
        known.events.listen(root)
        said = [text_of(tree.answers.get(f"service.{name}.0")) for name in ("Vendor", "Product", "RedfishVersion")]
        why = next(iter(tree.unread.values()), "")
        described = repr(" ".join(filter(None, said)))
        return self._decoding.poll(agent, tree.answers, unread=tree.unread.keys(), why_not_all=why, described=described)

    async def close(self) -> None:
        """End the sessions."""
        for known in self._known.values():
            await known.events.close()
            await known.session.close()

    def _first(self, agent: Agent) -> _Known:
        from consentry_gateway.sources.redfish.events import Events  # noqa: PLC0415 - likewise
        from consentry_gateway.sources.redfish.session import Session  # noqa: PLC0415 - likewise

        device = agent.device.id
        session = Session(self._clock, agent, agent.timeout or self._timeout)
        known = self._known[device] = _Known(session, Events(self._clock, session, lambda: self._on_news(device)))
        return known
