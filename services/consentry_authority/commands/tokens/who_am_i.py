"""Tell whose credential the caller holds: what of it is not known to whoever let the caller in."""

from consentry_authority.commands.actor import Actor
from consentry_authority.commands.ports import View
from consentry_core.values.errors import denied
from consentry_rule import Deny, Instant, Reason


def who_am_i(view: View, actor: Actor) -> Instant | None:
    """When what the caller came with ends by itself."""
    if actor.signed_in:
        return actor.expire_time
    facts = view.facts.credential(actor.credential)
    if facts is None:
        raise denied(Deny(Reason.KEY_DELETED))
    return facts.expire_time
