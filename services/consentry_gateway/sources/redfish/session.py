"""A session with a Redfish service: resources by link, within bounds.

1. Links lead within the service only: absolute paths under /redfish/v1. Redirects are not followed.
2. With a user it logs in where the root says how (`Links.Sessions`); where it does not, it sends user and password with every
   request (Basic). A session that came to an end (401) is begun anew, once a request. It is deleted when the gateway ends.
3. Who refuses the password is not asked with it again for some minutes: services lock an account that is tried too often.
"""

import asyncio
import base64
import json
import ssl
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from consentry_core.values.clock import SECOND, Clock
from consentry_gateway.agents.file import Agent
from consentry_gateway.sources.polling import AgentSilent
from consentry_gateway.sources.redfish.access import RedfishAccess

Json = dict[str, Any]

ROOT = "/redfish/v1/"
MOST_BYTES = 2 * 1024 * 1024
"""In one poll; what a large chassis says of itself is a tenth of it."""
MOST_REQUESTS = 400
"""In one poll."""
_AT_ONCE = 4  # BMCs are slow, and some break when they are asked for more
_WRONG_PASSWORD = 300 * SECOND


class Unread(Exception):
    """A resource is there and could not be read. The message says why."""


class Session:
    """With one service. `timeout` in seconds, of each request."""

    def __init__(self, clock: Clock, agent: Agent, timeout: float) -> None:
        access: RedfishAccess = agent.access
        self._clock = clock
        self._access = access
        self._timeout = timeout
        self._where = f"{agent.host} port {agent.port}"
        host = f"[{agent.host}]" if ":" in agent.host else agent.host
        self._base = f"{access.scheme}://{host}:{agent.port}"
        self._http: aiohttp.ClientSession | None = None
        self._token = ""
        self._location = ""
        self._basic = False
        self._refused: int | None = None
        self._left, self._bytes_left = 0, 0
        self._logging_in = asyncio.Lock()
        self._turn = asyncio.Semaphore(_AT_ONCE)

    async def begin(self) -> Json:
        """Begin a poll: the service's root. AgentSilent when there is none."""
        self._left, self._bytes_left = MOST_REQUESTS, MOST_BYTES
        if self._refused is not None and self._clock.boot() - self._refused < _WRONG_PASSWORD:
            raise self._wrong_password()
        self._refused = None
        try:
            root = await self._get(ROOT, open_to_all=not self._basic)
        except Unread as error:
            raise AgentSilent(f"{self._where} is no Redfish service: {error}") from error
        if root is None or "RedfishVersion" not in root:
            raise AgentSilent(f"{self._where} is no Redfish service")
        if self._access.user and not self._token and not self._basic:
            await self._log_in(root)
        return root

    async def get(self, link: object) -> Json | None:
        """What a link (`{"@odata.id": ...}`) leads to; None when it is not there. Unread, AgentSilent."""
        path = path_of(link)
        if path is None:
            raise Unread("a link leads out of the service")
        return await self._get(path)

    async def events(self, path: str) -> aiohttp.ClientResponse:
        """A stream of events, open without end; to be closed. Unread when there is none."""
        response = await self._client().get(
            self._url(path),
            headers=self._headers() | {"Accept": "text/event-stream"},
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=None, connect=self._timeout),
        )
        if response.status != 200:
            response.close()
            raise Unread(f"status {response.status}")
        return response

    async def close(self) -> None:
        """Delete the session, if there is one, and close the connections."""
        if self._http is None:
            return
        if self._token and self._location:
            try:
                async with asyncio.timeout(2):
                    await self._request("DELETE", self._location)
            except (TimeoutError, Unread, AgentSilent):
                pass  # it ends by itself after a while
        await self._http.close()
        self._http = None

    async def _get(self, path: str, *, open_to_all: bool = False) -> Json | None:
        if self._left <= 0:
            raise Unread(f"it has more than {MOST_REQUESTS} resources")
        self._left -= 1
        token = self._token
        async with self._turn:
            status, _, body = await self._request("GET", path)
            if status == 401 and open_to_all and not token and self._access.user:
                self._basic = True  # it shows strangers not even its root
                status, _, body = await self._request("GET", path)
            if status == 401 and token:
                await self._again(token)
                status, _, body = await self._request("GET", path)
        if status == 401:
            if not self._access.user:
                raise AgentSilent(f"{self._where} wants a user and a password")
            raise self._refuse()
        if status in {404, 410}:
            return None
        if 300 <= status < 400:
            raise Unread("it leads somewhere else, where nobody follows")
        if status != 200:
            raise Unread(f"status {status}")
        return _parsed(body)

    async def _again(self, ended: str) -> None:
        """Begin a session in the place of one that came to an end, unless another request has done so."""
        async with self._logging_in:
            if self._token == ended:
                self._token = ""
                _, _, body = await self._request("GET", ROOT)
                await self._log_in(_parsed(body))

    async def _log_in(self, root: Json) -> None:
        links = root.get("Links")
        path = path_of(links.get("Sessions")) if isinstance(links, dict) else None
        if path is None:
            self._basic = True
            return
        who = {"UserName": self._access.user, "Password": self._access.password}
        try:
            status, headers, body = await self._request("POST", path, who)
            self._token = headers.get("X-Auth-Token", "")
            created = headers.get("Location") or str(_parsed(body).get("@odata.id", "")) if self._token else ""
        except Unread as error:
            raise AgentSilent(f"{self._where} begins no session: {error}") from error
        if status in {400, 401, 403}:
            raise self._refuse()
        if not 200 <= status < 300 or not self._token:
            raise AgentSilent(f"{self._where} begins no session: status {status}")
        self._location = path_of({"@odata.id": urlsplit(created).path}) or ""

    def _refuse(self) -> AgentSilent:
        self._refused, self._token = self._clock.boot(), ""
        return self._wrong_password()

    def _wrong_password(self) -> AgentSilent:
        return AgentSilent(f"{self._where} refuses this user and password; they are tried again after some minutes")

    async def _request(self, method: str, path: str, content: Json | None = None) -> tuple[int, Any, bytes]:
        try:
            async with self._client().request(
                method, self._url(path), json=content, headers=self._headers(), allow_redirects=False
            ) as response:
                if response.headers.get("Content-Encoding", "identity") != "identity":
                    raise Unread("its answer is packed, although it was asked for a plain one")
                body = bytearray()
                async for piece in response.content.iter_chunked(65_536):
                    body += piece
                    self._bytes_left -= len(piece)
                    if self._bytes_left < 0:
                        raise Unread(f"its answers have more than {MOST_BYTES} bytes")
                return response.status, response.headers, bytes(body)
        except TimeoutError as error:
            raise self._slow(path) from error
        except aiohttp.ClientError as error:
            raise AgentSilent(f"{self._where}: {_in_words(error)}") from error

    def _slow(self, path: str) -> Exception:
        what = f"no answer within {self._timeout:g} s"
        return AgentSilent(f"{self._where}: {what}: it is off, or out of reach") if path == ROOT else Unread(what)

    def _headers(self) -> dict[str, str]:
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", "OData-Version": "4.0"}
        if self._token:
            headers["X-Auth-Token"] = self._token
        elif self._basic:
            who = f"{self._access.user}:{self._access.password}".encode()
            headers["Authorization"] = f"Basic {base64.b64encode(who).decode()}"
        return headers

    def _url(self, path: str) -> URL:
        return URL(self._base + path, encoded=True)

    def _client(self) -> aiohttp.ClientSession:
        if self._http is None:
            trust = self._access.trust
            how: ssl.SSLContext | aiohttp.Fingerprint = (
                aiohttp.Fingerprint(trust.fingerprint) if trust.fingerprint else trust.context()
            )
            self._http = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=how, limit=_AT_ONCE + 1),  # and the stream of events
                timeout=aiohttp.ClientTimeout(total=self._timeout),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,  # a small answer could become a large one
            )
        return self._http


def path_of(link: object) -> str | None:
    """Where a link leads; None when that is not within the service."""
    path = link.get("@odata.id") if isinstance(link, dict) else None
    if not isinstance(path, str) or not path.startswith(ROOT.rstrip("/")) or len(path) > 1_000:
        return None
    plain = path.isascii() and path.isprintable() and " " not in path and "\\" not in path
    return path if plain and ".." not in path.split("/") else None


def _parsed(body: bytes) -> Json:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Unread("its answer is no JSON") from error
    if not isinstance(found, dict):
        raise Unread("its answer is no resource")
    return found


def _in_words(error: aiohttp.ClientError) -> str:
    if isinstance(error, aiohttp.ServerFingerprintMismatch):
        return "its certificate is not the one of the fingerprint"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        inner = error.certificate_error
        return f"its certificate is not trusted: {getattr(inner, 'verify_message', '') or inner}; give ca_file or fingerprint"
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        return "TLS fails: does it speak TLS at this port?"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "there is no address of this name"
    if isinstance(error, aiohttp.ClientConnectorError):
        return (
            "nobody listens"
            if isinstance(error.os_error, ConnectionRefusedError)
            else f"no connection: {error.os_error.strerror}"
        )
    if isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError):
        return "it ends the connection"
    return "what it says is not HTTP"
