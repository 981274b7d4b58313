"""A receipt, filling: how far a change that took access away is enforced. Without a reload; without scripts, by reloading."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from consentry.authority.v1 import enforcement_pb2
from consentry_client.errors import CallFailed
from consentry_console.pages.common import Console, Visit, route

_ROLES = frozenset({"operator", "partner-admin", "customer-admin"})
_LOOK = 0.1  # seconds between two looks
_LONGEST = 60.0  # seconds; a barrier is held for some five


class ReceiptPages:
    """The page, and what it is told meanwhile."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def routes(self) -> Sequence[Route]:
        """Their addresses."""
        return (
            route(self._console, "/receipts/{revision}", self.receipt, _ROLES),
            route(self._console, "/receipts/{revision}/live", self.live, _ROLES),
        )

    async def receipt(self, visit: Visit) -> Response:
        """As it is now."""
        return visit.page("receipt.html", receipt=await self._ask(visit))

    async def live(self, visit: Visit) -> Response:
        """Server-sent events: the receipt anew whenever it has changed, until it is full."""
        return StreamingResponse(self._told(visit, await self._ask(visit)), media_type="text/event-stream")

    async def _told(self, visit: Visit, receipt: Any) -> AsyncIterator[str]:
        told = None
        try:
            async with asyncio.timeout(_LONGEST):
                while told is None or told.state != enforcement_pb2.Enforcement.STATE_ENFORCED:
                    if receipt != told:
                        told = receipt
                        yield _event("receipt", visit.part("receipt_body.html", receipt=receipt))
                    await asyncio.sleep(_LOOK)
                    receipt = await self._ask(visit)
        except (TimeoutError, CallFailed):
            pass  # the browser asks again by itself
        else:
            yield _event("full", "")

    async def _ask(self, visit: Visit) -> Any:
        request = enforcement_pb2.GetEnforcementRequest(revision=visit.request.path_params["revision"])
        return (await visit.ask(self._console.platform.enforcement.GetEnforcement, request)).enforcement


def _event(name: str, html: str) -> str:
    lines = "\n".join(f"data: {line}" for line in html.splitlines() or [""])
    return f"event: {name}\n{lines}\n\n"
