"""Whose turn it is, when many ask the database."""

from typing import Final

from consentry_authority.commands.actor import Actor
from consentry_core.rpc.open_call import current_call
from consentry_core.rpc.policy import Caller

_SERVICES: Final = "services"


def asking() -> str:
    """The organisation on whose behalf the call that is being answered asks, or the caller if it has none.

    Services have a turn of their own: leases depend on what they ask. Empty for what nobody has been let in for.
    """
    call = current_call.get(None)
    actor = None if call is None else call.caller
    if not isinstance(actor, Actor):
        return ""
    return _SERVICES if actor.kind is Caller.SERVICE else actor.organization or actor.credential
