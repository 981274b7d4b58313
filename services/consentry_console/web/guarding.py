"""What holds for every request and response, whichever page it is.

1. A request is small: no page takes more than `_MOST_BYTES`.
2. Whatever changes something comes from a page of ours: the browser says so (`Sec-Fetch-Site`, else `Origin`), and the form
   has the session's key (`pages.common` checks that, for it knows the session).
3. No other site frames a page, no script or style but ours runs in it, nothing is asked of others, nothing is kept by caches.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_MOST_BYTES: Final = 256 * 1024
_READING: Final = frozenset({"GET", "HEAD"})
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
_TRANSPORT: Final = "max-age=31536000"


class Guarding:
    """ASGI middleware around everything. `secure`: browsers come by TLS."""

    def __init__(self, app: ASGIApp, *, secure: bool) -> None:
        self._app = app
        self._secure = secure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                if self._secure:
                    headers["Strict-Transport-Security"] = _TRANSPORT
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        headers = Headers(scope=scope)
        if scope["method"] not in _READING and not _ours(headers, self._secure):
            await PlainTextResponse("this form was not sent by a page of this console", 403)(scope, receive, told)
            return
        await self._app(scope, _bounded(receive), told)


def _ours(headers: Headers, secure: bool) -> bool:
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    return headers.get("origin") == f"{'https' if secure else 'http'}://{headers.get('host')}"


def _bounded(receive: Receive) -> Callable[[], Awaitable[Message]]:
    taken = 0

    async def some() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > _MOST_BYTES:
            return {"type": "http.disconnect"}
        return message

    return some
