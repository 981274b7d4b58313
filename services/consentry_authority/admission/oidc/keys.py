"""A provider's public keys: fetched when needed, kept for a while, fetched again when a token names one that is not known."""

import asyncio
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from consentry_authority.admission.oidc.fetching import NotFetched
from consentry_core.values.clock import SECOND, BootTime, Clock
from consentry_core.values.errors import Unavailable

_log = logging.getLogger(__name__)

_FRESH: Final = 600 * SECOND  # for so long a key that the provider has withdrawn can count
_LAST: Final = 86_400 * SECOND  # for so long the provider may be out of reach
_BETWEEN: Final = 10 * SECOND  # tries; whoever sends tokens with made-up key ids makes us ask no more often
_PATIENCE: Final = 1.0  # seconds that a provider which takes its time holds those up whose key is known
_MOST_KEYS: Final = 100
_SMALLEST_RSA: Final = 2048

ALGORITHMS: Final[Mapping[str, tuple[str, ...]]] = {
    "RSA": ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    "EC": ("ES256", "ES384", "ES512"),
    "OKP": ("EdDSA",),
}
"""By type of key. Asymmetric ones only: with any other, whoever can verify could sign."""


@dataclass(frozen=True, slots=True)
class IssuerKey:
    """A public key, and what may be verified with it."""

    key: Any
    algorithms: tuple[str, ...]


class IssuerKeys:
    """The keys by their ids. `fetch` blocks, and raises NotFetched."""

    def __init__(self, fetch: Callable[[], bytes], clock: Clock) -> None:
        self._fetch = fetch
        self._clock = clock
        self._keys: Mapping[str, IssuerKey] = {}
        self._fetched: BootTime | None = None
        self._tried: BootTime | None = None
        self._fetching: asyncio.Task[None] | None = None

    async def key(self, key_id: str) -> IssuerKey | None:
        """The key; None when the provider has none of this id. Unavailable when its keys have not been had for too long."""
        known = key_id in self._keys and self._younger_than(_LAST)
        if not known or not self._younger_than(_FRESH):
            await self._refresh(_PATIENCE if known else None)
        if not self._younger_than(_LAST):
            raise Unavailable(
                "the identity provider's keys cannot be had just now; try again, or use a token of this authority's",
                retry_after=_BETWEEN / SECOND,
                reason="IDENTITY_PROVIDER_UNREACHABLE",
            )
        return self._keys.get(key_id)

    def _younger_than(self, age: int) -> bool:
        return self._fetched is not None and self._clock.boot() - self._fetched < age

    async def _refresh(self, patience: float | None) -> None:
        """Fetch, once for all who wait, and not again so soon. Whoever has a key already waits for a while only."""
        now = self._clock.boot()
        if self._fetching is None:
            if self._tried is not None and now - self._tried < _BETWEEN:
                return
            self._tried = now
            self._fetching = asyncio.create_task(self._fetch_now(now))
        await asyncio.wait((self._fetching,), timeout=patience)

    async def _fetch_now(self, now: BootTime) -> None:
        try:
            self._keys = dict(_public_keys(await asyncio.to_thread(self._fetch)))
            self._fetched = now
        except NotFetched as error:
            _log.warning("the identity provider's keys were not fetched: %s", error)
        except Exception:  # noqa: BLE001 - whatever was answered, those that there are go on counting
            _log.exception("the identity provider's keys were not fetched")
        finally:
            self._fetching = None


def _public_keys(content: bytes) -> Iterator[tuple[str, IssuerKey]]:
    """Those of a JWKS that can verify signatures. NotFetched for what is none; a key that is not for us is left out."""
    try:
        document: Any = json.loads(content)
    except (ValueError, RecursionError):
        raise NotFetched("the JWKS is no JSON") from None
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list):
        raise NotFetched("the JWKS has no keys")
    for one in keys[:_MOST_KEYS]:
        if isinstance(one, dict) and isinstance(one.get("kid"), str):
            found = _public_key(one)
            if found is not None:
                yield one["kid"], found


def _public_key(one: Mapping[str, Any]) -> IssuerKey | None:
    algorithms = ALGORITHMS.get(str(one.get("kty")), ())
    if "alg" in one:
        algorithms = tuple(name for name in algorithms if name == one["alg"])
    if not algorithms or one.get("use", "sig") != "sig" or "d" in one:  # "d": a private key, known to who knows whom
        return None
    try:
        key = jwt.PyJWK(dict(one), algorithm=algorithms[0] if "alg" in one else None).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
    if isinstance(key, RSAPublicKey) and key.key_size < _SMALLEST_RSA:
        return None
    return IssuerKey(key, algorithms)
