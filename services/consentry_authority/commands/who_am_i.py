"""Tell whose credential the caller holds."""

from consentry_authority.commands.actor import Actor
from consentry_authority.commands.ports import View
from consentry_core.errors import denied
from consentry_rule import Deny, Key, Reason, Token


def who_am_i(view: View, actor: Actor) -> Key | Token:
    """The facts of the caller's credential."""
    facts = view.facts.credential(actor.credential)
    if facts is None:
        raise denied(Deny(Reason.KEY_DELETED))
    return facts
