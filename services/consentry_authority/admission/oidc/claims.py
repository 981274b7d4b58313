"""From the claims of a verified token to who is asking. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from consentry_authority.commands.actor import SIGNED_IN, Actor
from consentry_core.callers.policy import Caller
from consentry_core.process.settings import SettingError
from consentry_core.rpc.bearer import invalid
from consentry_core.values import names
from consentry_core.values.clock import SECOND
from consentry_rule import Instant

LEEWAY_SECONDS: Final = 30
"""By how much the provider's clock and ours may differ."""

_ROLES: Final = {
    "operator": Caller.OPERATOR,
    "partner_admin": Caller.PARTNER_ADMIN,
    "customer_admin": Caller.CUSTOMER_ADMIN,
}
_ORGANIZATION_OF: Final = {Caller.PARTNER_ADMIN: names.PARTNER, Caller.CUSTOMER_ADMIN: names.CUSTOMER}
_OF_ID_TOKENS: Final = frozenset({"nonce", "at_hash", "c_hash", "s_hash"})
_LONGEST_SUBJECT: Final = 255
_LATEST: Final = 10**11  # seconds: some thousand years, within what an Instant holds


@dataclass(frozen=True, slots=True)
class ClaimNames:
    """Which claims say what: the role, by what the provider calls it, and the organisation, by its resource name.

    A claim is named as it is, dots included (`https://example.com/role`), or by the way to it: `realm_access.roles`.
    """

    role: str
    organization: str
    roles: Mapping[str, Caller]


def roles_of(text: str) -> Mapping[str, Caller]:
    """The setting `VALUE=ROLE,...`; empty: the roles' own names. SettingError for a role that is none."""
    if not text:
        return _ROLES
    found = {}
    for part in text.split(","):
        value, equals, role = (word.strip() for word in part.partition("="))
        if not equals or not value or role not in _ROLES:
            raise SettingError(f"CONSENTRY_OIDC_ROLES must be VALUE=ROLE,..., with a role of {', '.join(_ROLES)}")
        found[value] = _ROLES[role]
    return found


def actor_of(claims: Mapping[str, Any], claim_names: ClaimNames, now: Instant) -> Actor:
    """Who is asking. Unauthenticated when the claims do not say it, or not for this moment; the detail names the claim only."""
    expire_time = _check_times(claims, now)
    subject = claims.get("sub")
    if not (isinstance(subject, str) and 0 < len(subject) <= _LONGEST_SUBJECT and subject.isascii() and subject.isprintable()):
        raise invalid("identity token: sub")
    kind = _role(claim_of(claims, claim_names.role), claim_names.roles)
    organization = claim_of(claims, claim_names.organization)
    pattern = _ORGANIZATION_OF.get(kind)
    if pattern is None:
        organization = ""  # operators act for nobody in particular
    elif not isinstance(organization, str) or not pattern.matches(organization):
        raise invalid(f"identity token: {claim_names.organization}")
    return Actor(SIGNED_IN + quote(subject, safe="@.:"), kind, organization, expire_time=expire_time)


def claim_of(claims: Mapping[str, Any], name: str) -> Any:
    """The claim of this name, or at the end of this way; None when there is none. A name as it is goes before a way."""
    if name in claims:
        return claims[name]
    for at in range(len(name) - 1, 0, -1):
        if name[at] == "." and isinstance(within := claims.get(name[:at]), dict):
            found = claim_of(within, name[at + 1 :])
            if found is not None:
                return found
    return None


def is_access_token(header: Mapping[str, Any], claims: Mapping[str, Any]) -> bool:
    """Whether a token was made to be shown to services. One that tells its own application who signed in does not count.

    Providers say it in three ways: by the header's `typ`, `at+jwt` (RFC 9068); by a claim `typ`, `Bearer` and not `ID` or
    `Refresh` (Keycloak); and, saying nothing, by leaving out what only ID tokens have (Entra, Auth0, Okta).
    """
    kind = header.get("typ", "")
    if not isinstance(kind, str):
        return False
    match kind.lower().removeprefix("application/"):
        case "at+jwt":
            return True
        case "" | "jwt":
            pass
        case _:
            return False
    if "typ" in claims:
        return isinstance(claims["typ"], str) and claims["typ"].lower() == "bearer"
    return claims.keys().isdisjoint(_OF_ID_TOKENS)


def _check_times(claims: Mapping[str, Any], now: Instant) -> Instant:
    """The end. All times with the leeway; an end that is reached is over, one that has yet to come in is not there yet."""
    seconds = now / SECOND
    expire, issued, begin = (_seconds(claims, claim) for claim in ("exp", "iat", "nbf"))
    if expire is None or seconds >= expire + LEEWAY_SECONDS:
        raise invalid("identity token: exp")
    if issued is None or issued > seconds + LEEWAY_SECONDS:
        raise invalid("identity token: iat")
    if begin is not None and begin > seconds + LEEWAY_SECONDS:
        raise invalid("identity token: nbf")
    return Instant(int(expire * SECOND))


def _seconds(claims: Mapping[str, Any], claim: str) -> float | None:
    if claim not in claims:
        return None
    value = claims[claim]
    # NaN is not within the bounds, and a number of hundreds of digits, which no float holds, is compared as it is.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _LATEST:
        raise invalid(f"identity token: {claim}")
    return value


def _role(claim: Any, roles: Mapping[str, Caller]) -> Caller:
    """The one role that a text, or a list of texts such as groups, stands for. Of several, nobody has chosen one: refused."""
    values = [claim] if isinstance(claim, str) else claim if isinstance(claim, list) else []
    found = {roles[value] for value in values if isinstance(value, str) and value in roles}
    if len(found) != 1:
        raise invalid("identity token: no role, or several")
    return found.pop()
