"""Whose turn it is, when many ask the database."""

from consentry_authority.commands.actor import Actor
from consentry_core.callers.policy import Caller
from consentry_core.rpc.server.open_call import current_call


def asking() -> str:
    """The organisation on whose behalf the call that is being answered asks, or the caller if it has none.

    Each service's token has turns of its own: the leases of others do not depend on what it asks. Empty for what nobody has
    been let in for.
    """
    call = current_call.get(None)
    actor = None if call is None else call.caller
    if not isinstance(actor, Actor):
        return ""
    return actor.credential if actor.kind is Caller.SERVICE else actor.organization or actor.credential
