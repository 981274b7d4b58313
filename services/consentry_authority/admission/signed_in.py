"""Whether administrators may come with an identity provider's token, and what verifies it then."""

from typing import Protocol

from consentry_authority.commands.actor import Actor
from consentry_authority.settings import AuthoritySettings
from consentry_core.process.settings import SettingError
from consentry_core.values.clock import Clock

LONGEST_TOKEN = 6000
"""Ours have about 100 characters, a provider's some hundred to some thousand; gRPC takes 8 KiB of metadata in all."""


class SignedIn(Protocol):
    """Knows whom an identity provider signed in."""

    async def identify(self, token: str) -> Actor:
        """Whose token this is. Unauthenticated for one that does not count, Unavailable when nobody can tell."""
        ...


def signed_in(settings: AuthoritySettings, clock: Clock) -> SignedIn | None:
    """What verifies a provider's tokens; None when there is no provider. SettingError when it cannot work as configured."""
    if not settings.oidc_issuer:
        if settings.oidc_audience or settings.oidc_jwks:
            raise SettingError("CONSENTRY_OIDC_AUDIENCE and CONSENTRY_OIDC_JWKS need CONSENTRY_OIDC_ISSUER")
        return None
    if not settings.oidc_audience:
        raise SettingError("set CONSENTRY_OIDC_AUDIENCE: without one, tokens for any other service would count here")
    try:
        from consentry_authority.admission.oidc.claims import ClaimNames, roles_of  # noqa: PLC0415 - only who uses it needs the library
        from consentry_authority.admission.oidc.fetching import keys_source  # noqa: PLC0415
        from consentry_authority.admission.oidc.identities import Identities  # noqa: PLC0415
        from consentry_authority.admission.oidc.keys import IssuerKeys  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise SettingError(f"signing in needs {error.name}; install consentry[oidc]") from None
    keys = IssuerKeys(keys_source(settings.oidc_issuer, settings.oidc_jwks), clock)
    claim_names = ClaimNames(settings.oidc_role_claim, settings.oidc_organization_claim, roles_of(settings.oidc_roles))
    return Identities(settings.oidc_issuer, settings.oidc_audience, keys, claim_names, clock)


def is_signed(credential: str) -> bool:
    """Whether this has the form of a provider's token. None of ours has: there is no dot in them."""
    return credential.count(".") == 2
