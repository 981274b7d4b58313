"""Verify a provider's token. Nothing of a token is logged, kept or told: only which step refused it."""

import logging
from collections.abc import Mapping
from typing import Any, Final

import jwt

from consentry_authority.admission.oidc.claims import ClaimNames, actor_of, claim_of, is_access_token
from consentry_authority.admission.oidc.keys import ALGORITHMS, IssuerKeys
from consentry_authority.commands.actor import Actor
from consentry_core.rpc.bearer import invalid
from consentry_core.values.clock import Clock

_log = logging.getLogger(__name__)
_ALGORITHMS: Final = frozenset(name for names in ALGORITHMS.values() for name in names)
_BAD: Final = (jwt.PyJWTError, ValueError, TypeError, KeyError, OverflowError, RecursionError)
# Their times are held against our own clock, with a leeway, by `claims`.
_OPTIONS: Final[Any] = {
    "require": ["aud", "exp", "iat", "iss", "sub"],
    "verify_exp": False,
    "verify_iat": False,
    "verify_nbf": False,
}


class Identities:
    """Those whom `issuer` signed in for `audience`."""

    def __init__(self, issuer: str, audience: str, keys: IssuerKeys, claim_names: ClaimNames, clock: Clock) -> None:
        self._issuer = issuer
        self._audience = audience
        self._keys = keys
        self._claim_names = claim_names
        self._clock = clock
        self._not_found: set[str] = set()

    async def identify(self, token: str) -> Actor:
        """Whose token this is. Unauthenticated, always the same, for every token that does not count.

        1. The header names an asymmetric algorithm and a key, and nothing that must be understood; where a key can be had from,
           it does not say: that was configured.
        2. The key is one of the issuer's, and for this algorithm.
        3. The signature, the issuer and the audience.
        4. It is an access token: an ID token is for the application that its bearer signed in to, whatever its audience.
        5. It is the time, and the claims say who it is, in which role and for whom.
        """
        try:
            header = jwt.get_unverified_header(token)
        except _BAD:
            raise invalid("identity token: malformed") from None
        algorithm, key_id = header.get("alg"), header.get("kid")
        # Texts first: whoever sends a token chooses what stands there, a list too.
        if not isinstance(algorithm, str) or not isinstance(key_id, str) or algorithm not in _ALGORITHMS or "crit" in header:
            raise invalid("identity token: header")
        key = await self._keys.key(key_id)
        if key is None or algorithm not in key.algorithms:
            raise invalid("identity token: key")
        try:
            claims = jwt.decode(
                token, key.key, algorithms=[algorithm], issuer=self._issuer, audience=self._audience, options=_OPTIONS
            )
        except _BAD as error:
            raise invalid(f"identity token: {type(error).__name__}") from None
        if not is_access_token(header, claims):
            raise invalid("identity token: not an access token")
        self._look_for_claims(claims)
        return actor_of(claims, self._claim_names, self._clock.now())

    def _look_for_claims(self, claims: Mapping[str, Any]) -> None:
        """Say it once in the log when the provider's tokens do not have a claim that was configured."""
        names = {"ROLE": self._claim_names.role, "ORGANIZATION": self._claim_names.organization}
        for setting, name in names.items():
            if name not in self._not_found and claim_of(claims, name) is None:
                self._not_found.add(name)
                _log.warning(
                    "a token of the identity provider has no claim %s; if none has, correct CONSENTRY_OIDC_%s_CLAIM",
                    name,
                    setting,
                )
