"""HTTP for those who run a service: `/livez`, `/readyz`, and `/metrics`.

In plaintext and without credentials, whatever the service's own address demands: a probe has no certificate. Nothing that is
answered here names a customer, a partner or a key; still it belongs inside one's own network.

It answers from threads of its own, and asks the event loop for each answer: one that does not come within `_PATIENCE` is an
answer too. `/livez` fails only then. Nobody can take more than `_MOST` threads, or hold one for longer than `_SILENCE`.
"""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import AF_INET6
from typing import Any, Final

from consentry_core.process.settings import SettingError
from consentry_core.process.transport import require_address

_PATIENCE: Final = 2.0  # seconds that the event loop has for an answer
_SILENCE: Final = 5.0  # seconds that a client has for each piece of its request
_MOST: Final = 16
_LOOK: Final = 0.05  # seconds between two looks at whether to stop
_TEXT: Final = "text/plain; charset=utf-8"
_METRICS: Final = "text/plain; version=1.0.0; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether a service can do its work; `missing` says in words what keeps it from that."""

    missing: tuple[str, ...] = ()


class Admin:
    """Serves them; made in the event loop that it asks."""

    def __init__(self, listen: str, readiness: Callable[[], Readiness], exposition: Callable[[], bytes]) -> None:
        """SettingError when it cannot listen there."""
        require_address(listen)
        host, _, port = listen.rpartition(":")
        self._loop = asyncio.get_running_loop()
        self._pages: dict[str, Callable[[], tuple[HTTPStatus, str, bytes]]] = {
            "/livez": lambda: (HTTPStatus.OK, _TEXT, b"alive\n"),
            "/readyz": lambda: _ready(readiness()),
            "/metrics": lambda: (HTTPStatus.OK, _METRICS, exposition()),
        }
        try:
            self._server = _Server(host.strip("[]"), int(port), self._answer)
        except OSError as error:
            raise SettingError(
                f"cannot listen on {listen}: the address is taken or not this machine's; choose another"
            ) from error
        self.address = f"{host}:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(_LOOK,), name="admin", daemon=True).start()

    async def stop(self) -> None:
        """Answer no more."""
        await self._loop.run_in_executor(None, self._server.shutdown)
        self._server.server_close()

    def _answer(self, path: str) -> tuple[HTTPStatus, str, bytes]:
        page = self._pages.get(path)
        if page is None:
            return HTTPStatus.NOT_FOUND, _TEXT, f"there are {', '.join(self._pages)}\n".encode()

        async def ask() -> tuple[HTTPStatus, str, bytes]:
            return page()

        asked = asyncio.run_coroutine_threadsafe(ask(), self._loop)
        try:
            return asked.result(_PATIENCE)
        except TimeoutError:
            asked.cancel()
            return HTTPStatus.SERVICE_UNAVAILABLE, _TEXT, b"the event loop does not answer\n"


def _ready(readiness: Readiness) -> tuple[HTTPStatus, str, bytes]:
    if not readiness.missing:
        return HTTPStatus.OK, _TEXT, b"ready\n"
    return HTTPStatus.SERVICE_UNAVAILABLE, _TEXT, "".join(f"not ready: {each}\n" for each in readiness.missing).encode()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, host: str, port: int, answer: Callable[[str], tuple[HTTPStatus, str, bytes]]) -> None:
        if ":" in host:
            self.address_family = AF_INET6
        self.answer = answer
        self._places = threading.BoundedSemaphore(_MOST)
        super().__init__((host, port), _Request)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes, or is silent for too long, is no event."""


class _Request(BaseHTTPRequestHandler):
    server: _Server
    timeout = _SILENCE
    protocol_version = "HTTP/1.0"  # one request a connection: nobody keeps a thread

    def do_GET(self) -> None:
        status, kind, body = self.server.answer(self.path.partition("?")[0])
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815 - http.server's name

    def version_string(self) -> str:
        return "consentry"

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - http.server's name
        """No line a probe."""
