"""Where a provider's keys come from: a file, a URL, or the URL that its discovery document names. Blocking, and bounded."""

import ipaddress
import json
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from consentry_core.files import read_text
from consentry_core.settings import SettingError

MOST_BYTES: Final = 256 * 1024
TIMEOUT_SECONDS: Final = 5.0


class NotFetched(Exception):
    """What was asked for could not be had; the message says why, and holds nothing of the answer."""


def keys_source(issuer: str, jwks: str) -> Callable[[], bytes]:
    """What fetches the JWKS. SettingError for a URL that is neither https nor on this machine's loopback."""
    _require_secure("CONSENTRY_OIDC_ISSUER", issuer)
    if "://" in jwks:
        _require_secure("CONSENTRY_OIDC_JWKS", jwks)
        return lambda: _get(jwks)
    if jwks:
        return lambda: _read(Path(jwks))
    return lambda: _get(_discovered(issuer))


def _discovered(issuer: str) -> str:
    """`jwks_uri` of the issuer's discovery document, which must be the issuer's own."""
    try:
        document: Any = json.loads(_get(issuer.rstrip("/") + "/.well-known/openid-configuration"))
    except (ValueError, RecursionError):
        raise NotFetched("the discovery document is no JSON") from None
    found = document.get("jwks_uri") if isinstance(document, dict) else None
    if not isinstance(found, str) or document.get("issuer") != issuer:
        raise NotFetched("the discovery document is of another issuer, or names no jwks_uri")
    if not is_secure(found):
        raise NotFetched("the discovery document's jwks_uri is not https")
    return found


def _get(url: str) -> bytes:
    try:
        with _opener.open(url, timeout=TIMEOUT_SECONDS) as answer:
            return _bounded(answer.read(MOST_BYTES + 1))
    except (OSError, HTTPException, ValueError) as error:
        raise NotFetched(f"{url}: {type(error).__name__}") from None


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


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Where keys come from was configured, or named by who was: nobody else is asked."""

    def redirect_request(self, *_: Any) -> None:
        """None of them."""


# No proxies from the environment, no files, no FTP.
_opener: Final = urllib.request.OpenerDirector()
for _handler in (
    urllib.request.HTTPHandler(),
    urllib.request.HTTPSHandler(),
    urllib.request.HTTPDefaultErrorHandler(),
    urllib.request.HTTPErrorProcessor(),
    _NoRedirects(),
):
    _opener.add_handler(_handler)
