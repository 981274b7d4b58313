"""A Redfish service's stream of events (server-sent events): a hint that it has news. What is so, the next poll says."""

import asyncio
import contextlib
from collections.abc import Callable

import aiohttp

from consentry_core.values.clock import SECOND, Clock
from consentry_gateway.sources.polling import AgentSilent
from consentry_gateway.sources.redfish.session import Json, Session, Unread, path_of

_AGAIN = 60 * SECOND  # to open a stream that ended
_LEAST = 1.0  # seconds from one look at the stream to the next
_DATA = b"data:"


class Events:
    """Listens to one service, as long as there is a stream."""

    def __init__(self, clock: Clock, session: Session, on_news: Callable[[], None]) -> None:
        self._clock = clock
        self._session = session
        self._on_news = on_news
        self._task: asyncio.Task[None] | None = None
        self._begun: int | None = None

    def listen(self, root: Json) -> None:
        """Listen, if the service has a stream and nobody does yet. To be called after each poll."""
        now = self._clock.boot()
        if self._task is not None and not self._task.done():
            return
        if "EventService" in root and (self._begun is None or now - self._begun > _AGAIN):
            self._begun = now
            self._task = asyncio.create_task(self._listen(root["EventService"]))

    async def close(self) -> None:
        """Stop listening."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _listen(self, link: object) -> None:
        # However it ends, it is tried anew after a while; the polls say what is wrong with the service.
        with contextlib.suppress(Unread, AgentSilent, aiohttp.ClientError, OSError):
            service = await self._session.get(link) or {}
            path = path_of({"@odata.id": service.get("ServerSentEventUri")})
            if path is None or service.get("ServiceEnabled") is False:
                return
            response = await self._session.events(path)
            try:
                end = b""
                while piece := await response.content.readany():
                    if _DATA in end + piece:
                        self._on_news()
                    end = piece[1 - len(_DATA) :]
                    await asyncio.sleep(_LEAST)  # whoever sends more than is read so, waits
            finally:
                response.close()
