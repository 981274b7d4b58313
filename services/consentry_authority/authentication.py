"""From a secret to whose it is. What its holder may do is decided elsewhere, from current facts."""

import logging

from consentry_authority.commands.records import SecretRecord
from consentry_authority.passwords import Passwords
from consentry_authority.secret import ChecksumKeys
from consentry_authority.storage.store import Store
from consentry_core.encoding import RandomBytes
from consentry_core.errors import ResourceExhausted, Unavailable
from consentry_core.identity import Identity, IdentityMemory
from consentry_core.rpc.bearer import invalid

_log = logging.getLogger(__name__)


class Authenticator:
    """Proves identities."""

    def __init__(self, checksum_keys: ChecksumKeys, memory: IdentityMemory, store: Store, passwords: Passwords) -> None:
        self._checksum_keys = checksum_keys
        self._memory = memory
        self._store = store
        self._passwords = passwords

    async def identify(self, secret: str) -> Identity:
        """Whose secret this is. Unauthenticated, always the same, for malformed, forged, wrong, unknown and deleted.

        1. Form and checksum: what was not made here dies here, without a database read and without Argon2.
        2. Remembered: what was proved once stays proved. Whether the credential still lives is asked of current facts.
        3. Database: the hash that stands under the public id. For a dead secret there is none, and no Argon2 is run.
        4. Argon2. An unknown id costs as much as a wrong secret.
        5. Remember. A hash of another cost than is set now is replaced, while the secret is at hand.
        """
        public_id = self._checksum_keys.public_id(secret)
        if public_id is None:
            raise invalid("malformed or forged")
        remembered = self._memory.recall(secret)
        if remembered is not None:
            return remembered
        stored = await self._store.read(lambda view: view.facts.secret(public_id))
        if stored is not None and stored.argon2_hash is None:
            raise invalid(f"secret {public_id} is dead")
        proved = await self._passwords.verify(None if stored is None else stored.argon2_hash, secret)
        if stored is None or stored.argon2_hash is None or not proved:
            raise invalid(f"secret {public_id} is {'unknown' if stored is None else 'wrong'}")
        identity = Identity(stored.credential, public_id)
        self._memory.remember(secret, identity)
        if self._passwords.outdated(stored.argon2_hash):
            await self._rehash(public_id, stored.argon2_hash, secret)
        return identity

    async def _rehash(self, secret_id: str, old_hash: str, secret: str) -> None:
        try:
            new_hash = await self._passwords.hash(secret)
            await self._store.write(lambda transaction: transaction.rehash(secret_id, old_hash, new_hash))
        except (ResourceExhausted, Unavailable):
            return  # the next one who sends it may find the pool with less to do, and a disk with room
        _log.info("rehashed secret=%s", secret_id)


class SecretMaker:
    """Makes new secrets, and what is kept of them."""

    def __init__(self, checksum_keys: ChecksumKeys, passwords: Passwords, random: RandomBytes) -> None:
        self._checksum_keys = checksum_keys
        self._passwords = passwords
        self._random = random

    async def make(self, prefix: str) -> tuple[str, SecretRecord]:
        """The text to be shown once, and the record to be kept."""
        new = self._checksum_keys.make(prefix, self._random)
        return new.text, SecretRecord(new.id, await self._passwords.hash(new.text), new.hint)

    def make_now(self, prefix: str) -> tuple[str, SecretRecord]:
        """`make` in the calling thread, for programs without an event loop."""
        new = self._checksum_keys.make(prefix, self._random)
        return new.text, SecretRecord(new.id, self._passwords.hash_now(new.text), new.hint)
