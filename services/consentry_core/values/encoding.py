"""Text forms of random and opaque bytes."""

import base64
import binascii
from collections.abc import Callable

RandomBytes = Callable[[int], bytes]
"""Randomness as an argument: `secrets.token_bytes` in the product."""

_RFC4648 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_CROCKFORD = b"0123456789abcdefghjkmnpqrstvwxyz"
_TO_CROCKFORD = bytes.maketrans(_RFC4648, _CROCKFORD)


def base32(data: bytes) -> str:
    """Lower-case base32 in Crockford's alphabet: no `i`, `l`, `o`, `u` to be misread, no padding."""
    return base64.b32encode(data).rstrip(b"=").translate(_TO_CROCKFORD).decode()


def new_public_id(random: RandomBytes) -> str:
    """80 random bits as 16 characters: an id that nobody can guess or run into."""
    return base32(random(10))


def base64url(data: bytes) -> str:
    """Base64 for URLs and headers, without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def from_base64url(text: str) -> bytes | None:
    """What `base64url` wrote; None for anything that it would not have written."""
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if base64url(data) == text else None
