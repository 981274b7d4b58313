"""Remembered identity: whose secret this is, never what it may do.

Verifying a secret costs an Argon2 run. What that proves, "this is secret S of credential C", never changes, so it may be
remembered. Whether S and C still count is decided anew on every call from current facts.
"""

import hashlib
from collections import OrderedDict
from dataclasses import dataclass

from consentry_core.values.encoding import RandomBytes


@dataclass(frozen=True, slots=True)
class Identity:
    """What a secret proves: the key's or token's resource name, and which of its secrets it was."""

    credential: str
    secret_id: str


class IdentityMemory:
    """Identities by secret, in memory only.

    The secrets themselves are not kept: entries stand under a keyed hash, with a key that this process draws for itself. A
    dump of one process helps with nothing elsewhere. At `capacity` the identity that was not used for longest is forgotten.
    """

    def __init__(self, random: RandomBytes, *, capacity: int = 100_000) -> None:
        self._key = random(32)
        self._capacity = capacity
        self._identities: OrderedDict[bytes, Identity] = OrderedDict()

    def recall(self, secret: str) -> Identity | None:
        """The identity that this secret was proved to have, if that is remembered."""
        mark = self._mark(secret)
        identity = self._identities.get(mark)
        if identity is not None:
            self._identities.move_to_end(mark)
        return identity

    def remember(self, secret: str, identity: Identity) -> None:
        """Keep what was proved."""
        self._identities[self._mark(secret)] = identity
        if len(self._identities) > self._capacity:
            self._identities.popitem(last=False)

    def _mark(self, secret: str) -> bytes:
        return hashlib.blake2b(secret.encode(), key=self._key, digest_size=32).digest()
