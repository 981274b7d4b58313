"""From a secret to whose it is. What its holder may do is decided elsewhere, from current facts."""

import asyncio
import logging
from collections import Counter
from dataclasses import dataclass

from consentry_authority.commands.ports import StoredSecret, View
from consentry_authority.commands.records import SecretRecord
from consentry_authority.secrets.format import ChecksumKeys
from consentry_authority.secrets.hashing import Passwords
from consentry_authority.storage.store import Store
from consentry_core.callers.identity import Identity, IdentityMemory
from consentry_core.rpc.bearer import invalid
from consentry_core.values.encoding import RandomBytes
from consentry_core.values.errors import ResourceExhausted, Unavailable
from consentry_rule import Allow, usable

_log = logging.getLogger(__name__)
_AT_ONCE_OF_ONE_ID = 2
_PROOFS = "proofs"  # the turn of all who have not proved yet who they are: theirs together is no more than any other's


@dataclass(frozen=True, slots=True)
class _Found:
    """What stands under a public id. `usable`: its holder could be let in now."""

    stored: StoredSecret | None
    usable: bool


class Authenticator:
    """Proves identities."""

    def __init__(self, checksum_keys: ChecksumKeys, memory: IdentityMemory, store: Store, passwords: Passwords) -> None:
        self._checksum_keys = checksum_keys
        self._memory = memory
        self._store = store
        self._passwords = passwords
        # What is being proved: by secret, so that many who send the same wait for one run; and how much of it by public id.
        self._proving: dict[str, asyncio.Task[Identity]] = {}
        self._of_id: Counter[str] = Counter()

    async def identify(self, secret: str) -> Identity:
        """Whose secret this is. Unauthenticated, always the same, for malformed, forged, wrong, unknown and deleted.

        1. Remembered: what was proved once stays proved. Whether the credential still lives is asked of current facts.
        2. Form and checksum: what was not made here dies here, without a database read and without Argon2.
        3. Together: callers with the same secret wait for one proof; different secrets of one public id, of which only one can
           be right, are proved a few at a time.
        4. Database: the hash that stands under the public id. For a dead secret there is none, and no Argon2 is run.
        5. Argon2, in the share of those who could be let in, or of all others. An unknown id costs as much as a wrong secret.
        6. Remember. A hash of another cost than is set now is replaced, while the secret is at hand.
        """
        remembered = self._memory.recall(secret)
        if remembered is not None:
            return remembered
        public_id = self._checksum_keys.public_id(secret)
        if public_id is None:
            raise invalid("malformed or forged")
        proving = self._proving.get(secret)
        if proving is None:
            proving = self._begin(public_id, secret)
        # Shielded: one caller that goes away does not take the answer from the others.
        return await asyncio.shield(proving)

    def recall(self, secret: str) -> Identity | None:
        """Step 1 of `identify`, which need not wait: whose secret was proved before."""
        return self._memory.recall(secret)

    def made_here(self, secret: str) -> bool:
        """Step 2: whether it is worth a proof."""
        return self._checksum_keys.public_id(secret) is not None

    def _begin(self, public_id: str, secret: str) -> asyncio.Task[Identity]:
        if self._of_id[public_id] >= _AT_ONCE_OF_ONE_ID:
            raise ResourceExhausted(
                "this credential is being verified in several versions; try again with the right one",
                retry_after=1.0,
                reason="VERIFICATION_BUSY",
            )
        self._of_id[public_id] += 1
        proving = self._proving[secret] = asyncio.create_task(self._prove(public_id, secret))

        def over(done: asyncio.Task[Identity]) -> None:
            del self._proving[secret]
            self._of_id[public_id] -= 1
            if not self._of_id[public_id]:
                del self._of_id[public_id]
            if not done.cancelled():
                done.exception()  # whoever waits raises it; with nobody waiting it would be reported as never retrieved

        proving.add_done_callback(over)
        return proving

    async def _prove(self, public_id: str, secret: str) -> Identity:
        found = await self._store.read(lambda view: _find(view, public_id), lane=_PROOFS)
        stored = found.stored
        if stored is not None and stored.argon2_hash is None:
            raise invalid(f"secret {public_id} is dead")
        argon2_hash = None if stored is None else stored.argon2_hash
        proved = await self._passwords.verify(argon2_hash, secret, usable=found.usable)
        if stored is None or argon2_hash is None or not proved:
            raise invalid(f"secret {public_id} is {'unknown' if stored is None else 'wrong'}")
        identity = Identity(stored.credential, public_id)
        self._memory.remember(secret, identity)
        if self._passwords.outdated(argon2_hash):
            await self._rehash(public_id, argon2_hash, secret)
        return identity

    async def _rehash(self, secret_id: str, old_hash: str, secret: str) -> None:
        try:
            new_hash = await self._passwords.hash(secret)
            await self._store.write(lambda transaction: transaction.rehash(secret_id, old_hash, new_hash))
        except (ResourceExhausted, Unavailable):
            return  # the next one who sends it may find the pool with less to do, and a disk with room
        _log.info("rehashed secret=%s", secret_id)


def _find(view: View, public_id: str) -> _Found:
    stored = view.facts.secret(public_id)
    facts = None if stored is None else view.facts.credential(stored.credential)
    secret = None if facts is None else next((each for each in facts.secrets if each.id == public_id), None)
    if facts is None or secret is None:
        return _Found(stored, usable=False)
    decisions = (usable(facts, view.now), usable(secret, view.now))
    return _Found(stored, usable=all(isinstance(decision, Allow) for decision in decisions))


class SecretMaker:
    """Makes new secrets, and what is kept of them."""

    def __init__(self, checksum_keys: ChecksumKeys, passwords: Passwords, random: RandomBytes) -> None:
        self._checksum_keys = checksum_keys
        self._passwords = passwords
        self._random = random

    async def make(self, prefix: str) -> tuple[str, SecretRecord]:
        """The text to be shown once, and the record to be kept."""
        new = self._checksum_keys.make(prefix, self._random)
        return new.text, SecretRecord(new.id, await self._passwords.hash(new.text), new.hint, checksum_key=new.checksum_key)

    def make_now(self, prefix: str) -> tuple[str, SecretRecord]:
        """`make` in the calling thread, for programs without an event loop."""
        new = self._checksum_keys.make(prefix, self._random)
        return new.text, SecretRecord(new.id, self._passwords.hash_now(new.text), new.hint, checksum_key=new.checksum_key)
