"""The only place where the console's objects meet."""

import asyncio
import contextlib
import logging
import secrets
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from consentry_console.pages.common import SIGN_IN, Console, go
from consentry_console.pages.customer import CustomerPages
from consentry_console.pages.operator import OperatorPages
from consentry_console.pages.partner import PartnerPages
from consentry_console.pages.receipts import ReceiptPages
from consentry_console.platform import Platform
from consentry_console.session.sessions import Sessions
from consentry_console.session.signing_in import SigningIn, read_links
from consentry_console.settings import ConsoleSettings
from consentry_console.web.guarding import Guarding
from consentry_console.web.rendering import Rendering
from consentry_core.process import logs
from consentry_core.process.lifecycle import signals, until_signalled
from consentry_core.process.settings import SettingError
from consentry_core.rpc.client.channels import open_channel
from consentry_core.values.clock import Clock, SystemClock
from consentry_core.values.encoding import RandomBytes

__all__ = ["ConsoleSettings", "RunningConsole", "run", "start"]

_log = logging.getLogger(__name__)
_STATIC: Final = Path(__file__).parent / "static"
_FILES: Final = {
    "style.css": "text/css",
    "console.js": "text/javascript",
    "htmx.min.js": "text/javascript",
    "htmx-sse.min.js": "text/javascript",
}
_FIRST: Final = {"customer-admin": "/subscriptions", "partner-admin": "/api", "operator": "/directory"}
_GRACE: Final = 3  # seconds that pages under way have when it goes down


class RunningConsole:
    """A console that serves at `address`."""

    def __init__(self, address: str, closing: contextlib.AsyncExitStack) -> None:
        self.address = address
        self._closing = closing

    async def stop(self) -> None:
        """Answer what is under way, then close."""
        await self._closing.aclose()


async def start(
    settings: ConsoleSettings, *, clock: Clock | None = None, random: RandomBytes = secrets.token_bytes
) -> RunningConsole:
    """Serve. SettingError when it can't as it was configured. The authority may be away."""
    settings.check()
    clock = clock or SystemClock()
    async with contextlib.AsyncExitStack() as opened:
        channel = open_channel(settings.authority, settings.to_authority())
        opened.push_async_callback(channel.close)
        hour = 3600
        sessions = Sessions(
            clock, random, idle=settings.idle_minutes * 60, longest=settings.session_hours * hour, most=settings.sessions
        )
        console = Console(
            platform=Platform(channel), sessions=sessions, rendering=Rendering(), clock=clock, secure=settings.secure
        )
        app = Guarding(Starlette(routes=_routes(console, read_links(settings.links_file))), secure=settings.secure)
        listening = _listen(settings.listen)
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            lifespan="off",
            timeout_graceful_shutdown=_GRACE,
            limit_concurrency=2_000,
            h11_max_incomplete_event_size=32 * 1024,
            ssl_certfile=settings.tls_certificate,
            ssl_keyfile=settings.tls_key,
            proxy_headers=False,
        )
        server = _Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listening]), name="console")

        async def stop() -> None:
            server.should_exit = True
            await serving

        opened.push_async_callback(stop)
        host, port = listening.getsockname()[:2]
        return RunningConsole(f"{host}:{port}", opened.pop_all())


def run(settings: ConsoleSettings) -> None:
    """Serve until SIGTERM or SIGINT."""
    logs.configure()
    asyncio.run(_run(settings))


async def _run(settings: ConsoleSettings) -> None:
    signalled = signals()
    console = await start(settings)
    _log.info("console serves address=%s", console.address)
    if settings.ready_file is not None:
        settings.ready_file.write_text(console.address, encoding="utf-8")
    try:
        await until_signalled(signalled)
    finally:
        await console.stop()


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self):  # type: ignore[no-untyped-def] # signals are ours
        yield


def _routes(console: Console, links: dict[str, str]) -> Sequence[Route]:
    async def home(request: Request) -> Response:
        session = console.session_of(request)
        return go(SIGN_IN if session is None else _FIRST[session.person.role])

    async def static(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in _FILES:
            return Response(status_code=404)
        return FileResponse(_STATIC / name, media_type=_FILES[name], headers={"Cache-Control": "public, max-age=3600"})

    async def alive(_: Request) -> Response:
        return Response("alive\n", media_type="text/plain")

    pages = (
        CustomerPages(console),
        PartnerPages(console),
        OperatorPages(console),
        ReceiptPages(console),
        SigningIn(console, links),
    )
    return (
        Route("/", home),
        Route("/static/{name}", static),
        Route("/livez", alive),
        *(each for group in pages for each in group.routes()),
    )


def _listen(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    try:
        return socket.create_server(
            (host.strip("[]"), int(port)), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=1024
        )
    except OSError as error:
        raise SettingError(f"cannot listen on {address}: the address is taken or not this machine's; choose another") from error
