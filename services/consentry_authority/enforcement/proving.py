"""What a service has verified, shown by itself, without I/O.

A service follows only what it has verified. It may have done so on another connection, before the authority was restarted, or
at another replica. So the authority remembers nothing: with each verification it hands out a proof, a tag over the service's
token and the credential under a key that all replicas on the database have. Whoever holds a database could make proofs, and
needs none: everything that is followed stands in it.

A proof does not end. It says what has happened, and decides nothing else: whether the credential still counts is in the facts
that are followed, and whether the service may follow at all is asked of its token at every turn. A database that was put back
without that key gets another from `consentry init`; services that are refused what they hold verify anew.
"""

import hashlib
import hmac
from collections.abc import Iterable

from consentry_core.protocol.follow import FromGuard, Interest, Proofs
from consentry_core.values import names
from consentry_core.values.errors import InvalidArgument, PermissionDenied
from consentry_core.values.reasons import ErrorReason
from consentry_rule import Deny, Token, reaches

_TAG_BYTES = 16


class Prover:
    """Makes proofs under `key`, and knows them again."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def prove(self, service: str, credential: str) -> bytes:
        """That the service with this token, by name, has verified the credential."""
        message = len(service).to_bytes(4) + service.encode() + credential.encode()
        return hashlib.blake2b(message, key=self._key, digest_size=_TAG_BYTES, person=b"verified").digest()

    def holds(self, service: str, credential: str, proof: bytes) -> bool:
        """Whether this is that proof."""
        return hmac.compare_digest(self.prove(service, credential), proof)


class Proved:
    """What was proved on one `Follow` stream, and may be followed there. `service` is its token's name, `facts` what it is."""

    def __init__(self, prover: Prover, service: str, facts: Token) -> None:
        self._prover = prover
        self._service = service
        self._facts = facts
        self._credentials: set[str] = set()
        self._partners: set[str] = set()

    def received(self, message: FromGuard) -> None:
        """The guard said something. PermissionDenied for a wrong proof, and for interest in what was not proved."""
        match message:
            case Proofs():
                self._take(message)
            case Interest():
                self._check(message.names)
            case _:
                pass

    def _take(self, message: Proofs) -> None:
        for index, (credential, proof) in enumerate(message.proofs):
            if not names.KEY.matches(credential) and not names.TOKEN.matches(credential):
                raise InvalidArgument(
                    f"proofs.proofs[{index}].credential",
                    "must be the name of a key or a token",
                    reason=ErrorReason.NAME_INVALID,
                )
            if not self._prover.holds(self._service, credential, proof):
                raise _not_verified()
            self._credentials.add(credential)
            if names.KEY.matches(credential):
                self._partners.add(names.PARTNER.format(names.KEY.parse(credential, "credential")[0]))

    def _check(self, wanted: Iterable[str]) -> None:
        """Of names that have been checked, of which thousands come in one message."""
        for name in wanted:
            if name in self._credentials:
                continue
            partner = f"partners/{name.rpartition('/')[2]}" if name.startswith("customers/") else name
            if partner not in self._partners or isinstance(reaches(self._facts, partner), Deny):
                raise _not_verified()


def _not_verified() -> PermissionDenied:
    return PermissionDenied(
        "a service can follow only what it has verified with its own token; verify the credential, or one of the partner's "
        "keys, and show the proof first",
        reason=ErrorReason.NOT_VERIFIED,
    )
