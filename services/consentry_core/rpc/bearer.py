"""The credential in a call's metadata: `authorization: Bearer <secret>`."""

from collections.abc import Iterable

from consentry_core.values.errors import Unauthenticated

_LONGEST = 200  # ours have about 100 characters; nothing longer is worth a look


def bearer_secret(metadata: Iterable[tuple[str, str | bytes]], *, longest: int = _LONGEST) -> str:
    """The secret. Unauthenticated when there is none, more than one, or one that nobody can have been given."""
    values = [value for key, value in metadata if key == "authorization"]
    if not values:
        raise Unauthenticated("no credential; send metadata `authorization: Bearer <secret>`", reason="CREDENTIAL_MISSING")
    if len(values) > 1:
        raise Unauthenticated("more than one credential; send exactly one `authorization`")
    value = values[0]
    if not isinstance(value, str):
        raise invalid("malformed")
    scheme, _, secret = value.partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthenticated("the credential has no `Bearer` scheme; send metadata `authorization: Bearer <secret>`")
    secret = secret.strip()
    if not secret.isascii() or not 0 < len(secret) <= longest:
        raise invalid("malformed")
    return secret


def invalid(detail: str = "") -> Unauthenticated:
    """The one answer for malformed, forged, unknown and deleted; which of these, only the audit log is told."""
    return Unauthenticated("the credential is not valid", detail=detail)
