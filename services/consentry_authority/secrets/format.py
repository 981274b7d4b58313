"""Secrets: their one format, for keys and tokens.

    ck_all_  0123456789abcdef  _  <52 random characters>  _  k1d0  <16 characters of checksum>
    prefix   public id            256 random bits            id of the checksum key

The prefix says what it is, the public id finds it, the random part proves it, and the checksum (HMAC-SHA256 under the
authority's own key, cut to 80 bits) tells in microseconds, without the database and without Argon2, that a text was never one
of ours. Case counts. `consentry_core.process.logs.redact` knows this format.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from consentry_core.values.encoding import RandomBytes, base32, new_public_id
from consentry_rule import KeyKind

TOKEN_PREFIX: Final = "ct_"  # noqa: S105 - public
KEY_PREFIXES = {
    KeyKind.DEMO: "ck_demo_",
    KeyKind.ALL_CUSTOMERS: "ck_all_",
    KeyKind.SPECIFIC_CUSTOMERS: "ck_spec_",
}

_FORM = re.compile(
    r"(?P<body>(?:ck_demo_|ck_all_|ck_spec_|ct_)(?P<id>[0-9a-z]{16})_[0-9a-z]{52}_(?P<key>[0-9a-z]{4}))(?P<check>[0-9a-hjkmnp-tv-z]{16})"
)
_CHECK_BYTES = 10
_TO_DIGITS = str.maketrans("0123456789abcdefghjkmnpqrstvwxyz", "0123456789abcdefghijklmnopqrstuv")
"""From base32 as we write it to what `int` reads."""


@dataclass(frozen=True, slots=True)
class NewSecret:
    """A secret that was just made. `text` is shown once and kept nowhere."""

    id: str
    hint: str
    text: str
    checksum_key: str = ""

    def __repr__(self) -> str:
        """The public side only."""
        return f"NewSecret({self.hint}...)"


class ChecksumKeys:
    """The keys of checksums, one or more. The first makes new ones; the others are older and still check."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = {_key_id(key): key for key in keys}
        # Begun once: from here a checksum costs half of what `hmac.digest` takes.
        self._begun = {key_id: hmac.new(key, digestmod="sha256") for key_id, key in self._keys.items()}
        self._newest = _key_id(keys[0])

    def make(self, prefix: str, random: RandomBytes) -> NewSecret:
        """A new secret."""
        public_id = new_public_id(random)
        hint = f"{prefix}{public_id}"
        body = f"{hint}_{base32(random(32))}_{self._newest}"
        return NewSecret(public_id, hint, body + base32(self._check(self._newest, body)), self._newest)

    def marks(self) -> Mapping[str, str]:
        """By id of each key, what tells that it is the same one, and nothing else of it."""
        return {key_id: base32(hmac.digest(key, b"consentry checksum key", "sha256")) for key_id, key in self._keys.items()}

    def public_id(self, text: str) -> str | None:
        """The public id of a text that was made with one of these keys; None for anything else."""
        found = _FORM.fullmatch(text)
        if found is None:
            return None
        body, key_id = found["body"], found["key"]
        # Read, and not the other one written: that takes a fifth of the time, and whoever tries secrets makes us do it.
        check = int(found["check"].translate(_TO_DIGITS), 32).to_bytes(_CHECK_BYTES)
        if key_id not in self._begun or not hmac.compare_digest(check, self._check(key_id, body)):
            return None
        return found["id"]

    def _check(self, key_id: str, body: str) -> bytes:
        checksum = self._begun[key_id].copy()
        checksum.update(body.encode())
        return checksum.digest()[:_CHECK_BYTES]


def _key_id(key: bytes) -> str:
    return base32(hashlib.sha256(b"consentry checksum key id" + key).digest())[:4]
