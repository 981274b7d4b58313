"""Who is asking, and what is theirs. The one place where ownership is checked."""

from dataclasses import dataclass

from consentry_core.callers.identity import Identity
from consentry_core.callers.policy import Caller
from consentry_core.values.errors import PermissionDenied
from consentry_rule import Address, Instant

SIGNED_IN = "identities/"
"""What the names of those begin with whom an identity provider signed in."""


@dataclass(frozen=True, slots=True)
class Actor:
    """An authenticated caller: its credential's resource name, what it is, and the organisation that it acts for (or empty).

    `secret_id` says which of the credential's secrets it came with, `address` from where. One that an identity provider signed
    in has no credential here, and no secret: it is named `identities/{subject}`, and `expire_time` is its token's.
    """

    credential: str
    kind: Caller
    organization: str = ""
    secret_id: str = ""
    address: Address | None = None
    expire_time: Instant | None = None

    @property
    def identity(self) -> Identity:
        """The credential, and the secret that it came with."""
        return Identity(self.credential, self.secret_id)

    @property
    def signed_in(self) -> bool:
        """Whether an identity provider vouches for it."""
        return self.credential.startswith(SIGNED_IN)

    @property
    def operates(self) -> bool:
        """Whether it runs the platform, so that every organisation is its business."""
        return self.kind is Caller.OPERATOR


def require_own(actor: Actor, organization: str) -> None:
    """PermissionDenied unless the organisation is the actor's own. Operators may act for all.

    Called before anything about the organisation is looked up: another's resource gets this answer whether it exists or not.
    """
    if not actor.operates and organization != actor.organization:
        raise not_yours()


def not_yours() -> PermissionDenied:
    """The one answer about everything that belongs to others, or to nobody."""
    return PermissionDenied("this is not your organisation's; name a resource of your own", reason="NOT_YOUR_ORGANIZATION")
