"""Where a provider's keys come from: a file, a URL, or the URL that its discovery document names. Blocking, and bounded.

Bounded in bytes, and in time as a whole: a server that sends a byte every few seconds is hung up on, in the middle of whatever
it is about, so that it holds up no rotation of keys.
"""

import contextlib
import ipaddress
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from consentry_core.process.files import read_text
from consentry_core.process.settings import SettingError

MOST_BYTES: Final = 256 * 1024
TIMEOUT_SECONDS: Final = 5.0
"""For everything that one fetch asks for, from the first connection to the last byte."""
_FOUND: Final = 200


class NotFetched(Exception):
    """What was asked for could not be had; the message says why, and holds nothing of the answer."""


def keys_source(issuer: str, jwks: str) -> Callable[[], bytes]:
    """What fetches the JWKS. SettingError for a URL that is neither https nor on this machine's loopback."""
    _require_secure("CONSENTRY_OIDC_ISSUER", issuer)
    if "://" in jwks:
        _require_secure("CONSENTRY_OIDC_JWKS", jwks)
        return lambda: _get(jwks, time.monotonic() + TIMEOUT_SECONDS)
    if jwks:
        return lambda: _read(Path(jwks))
    return lambda: _get_discovered(issuer, time.monotonic() + TIMEOUT_SECONDS)


def _get_discovered(issuer: str, end: float) -> bytes:
    return _get(_discovered(issuer, end), end)


def _discovered(issuer: str, end: float) -> str:
    """`jwks_uri` of the issuer's discovery document, which must be the issuer's own."""
    try:
        document: Any = json.loads(_get(issuer.rstrip("/") + "/.well-known/openid-configuration", end))
    except (ValueError, RecursionError):
        raise NotFetched("the discovery document is no JSON") from None
    found = document.get("jwks_uri") if isinstance(document, dict) else None
    if not isinstance(found, str) or document.get("issuer") != issuer:
        raise NotFetched("the discovery document is of another issuer, or names no jwks_uri")
    if not is_secure(found):
        raise NotFetched("the discovery document's jwks_uri is not https")
    return found


def _get(url: str, end: float) -> bytes:
    """What is there, until that moment. No redirect is followed, and no proxy asked: where keys come from was configured."""
    try:
        with _answer(url, end) as answer:
            if answer.status != _FOUND:
                raise NotFetched(f"{url}: HTTP {answer.status}")
            content = _bounded(answer.read(MOST_BYTES + 1))
    except (OSError, HTTPException, ValueError) as error:
        raise NotFetched(f"{url}: {_late(end) or type(error).__name__}") from None
    if late := _late(end):
        raise NotFetched(f"{url}: {late}")
    return content


def _late(end: float) -> str:
    return f"not within {TIMEOUT_SECONDS:g} s" if time.monotonic() >= end else ""


@contextlib.contextmanager
def _answer(url: str, end: float) -> Iterator[HTTPResponse]:
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    with contextlib.ExitStack() as opened:
        connected = opened.enter_context(socket.create_connection((host, port), max(end - time.monotonic(), 0.001)))
        # A descriptor of its own: TLS takes the other one over.
        watched = opened.enter_context(connected.dup())
        watch = threading.Timer(max(end - time.monotonic(), 0), _hang_up, (watched,))
        opened.callback(watch.join)
        opened.callback(watch.cancel)
        watch.start()
        if parts.scheme == "https":
            connected = opened.enter_context(ssl.create_default_context().wrap_socket(connected, server_hostname=host))
        connection = HTTPConnection(host, port)
        connection.sock = connected
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("GET", path, headers={"Host": parts.netloc.rpartition("@")[2], "Accept": "application/json"})
        yield opened.enter_context(connection.getresponse())


def _hang_up(connected: socket.socket) -> None:
    with contextlib.suppress(OSError):  # over already
        connected.shutdown(socket.SHUT_RDWR)


def _read(file: Path) -> bytes:
    try:
        return read_text(file, "JWKS file").encode()
    except SettingError as error:
        raise NotFetched(error.message) from None


def _bounded(content: bytes) -> bytes:
    if len(content) > MOST_BYTES:
        raise NotFetched(f"more than {MOST_BYTES} bytes")
    return content


def _require_secure(setting: str, url: str) -> None:
    if not is_secure(url):
        raise SettingError(f"{setting} must be an https URL; http is for this machine's loopback only")


def is_secure(url: str) -> bool:
    """Whether nobody on the way can put keys of their own in it."""
    try:
        parts = urlsplit(url)
        if parts.scheme == "https":
            return bool(parts.hostname)
        return parts.scheme == "http" and ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False
