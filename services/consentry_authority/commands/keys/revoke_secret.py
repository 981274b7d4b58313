"""Kill a secret, by the one who holds it."""

from consentry_authority.commands.actor import Actor
from consentry_authority.commands.ports import Transaction
from consentry_core.rpc.bearer import invalid
from consentry_core.values.errors import PermissionDenied


def revoke_secret(transaction: Transaction, actor: Actor) -> str:
    """The hint of the secret that the actor came with, and that lets nobody in any more.

    Unauthenticated for one that is dead already: two who hold it may be killing it at the same time. PermissionDenied for who
    came with none.
    """
    if actor.signed_in:
        raise PermissionDenied("an identity provider signed you in; sign out there", reason="NOT_A_SECRET")
    hint = transaction.kill_secret(actor.credential, actor.secret_id)
    if hint is None:
        raise invalid()
    return hint
