"""The one message of a call that takes one: read once the call is let in, and not waited for without end.

gRPC itself would take the message first, and then ask whose call it is. So whoever has no credential could leave messages here,
and whoever sends headers alone was never looked at. Here a call is let in or refused by its metadata; what comes after the
metadata of a refused one is never taken from the transport.

A call whose message does not come takes some 25 kB for as long as it is open. At most `places` wait, and none longer than
`longest` seconds; when there is no place, the call that has waited for longest is refused: an honest message comes right behind
its headers.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import grpc

from consentry_core.rpc.server.open_call import OpenCall
from consentry_core.values.errors import InvalidArgument


def _nothing(call: OpenCall) -> None:
    pass


class FirstMessages:
    """Reads them. `crowded` is told of each call that had to make room for others."""

    def __init__(self, *, longest: float = 20.0, places: int = 2_000, crowded: Callable[[OpenCall], None] = _nothing) -> None:
        self._longest = longest
        self._places = places
        self._crowded = crowded
        self._since: dict[OpenCall, float] = {}  # in the order in which they came
        self._timer: asyncio.TimerHandle | None = None

    async def read(self, call: OpenCall) -> Any:
        """The message, as bytes. InvalidArgument when the client sends none; the call is ended when it does not come."""
        loop = asyncio.get_running_loop()
        if len(self._since) >= self._places:
            longest = next(iter(self._since))
            self._give_up(longest)
            self._crowded(longest)
        self._since[call] = loop.time()
        if self._timer is None:
            self._timer = loop.call_later(self._longest, self._look)
        try:
            message = await call.context.read()
        finally:
            self._since.pop(call, None)
        if message is grpc.aio.EOF:
            raise InvalidArgument("", "the call has no request; send one message", reason="REQUEST_MISSING")
        return message

    def _look(self) -> None:
        loop, self._timer = asyncio.get_running_loop(), None
        for call, since in tuple(self._since.items()):
            left = since + self._longest - loop.time()
            if left > 0:
                self._timer = loop.call_later(left, self._look)
                return
            self._give_up(call)

    def _give_up(self, call: OpenCall) -> None:
        del self._since[call]
        call.end(InvalidArgument("", "the request did not come; send it right behind the headers", reason="REQUEST_NOT_SENT"))
