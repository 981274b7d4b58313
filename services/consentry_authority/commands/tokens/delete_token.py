"""End a token at once."""

from consentry_authority.commands.actor import Actor, not_yours, require_own
from consentry_authority.commands.ports import Transaction
from consentry_core.values import names
from consentry_core.values.errors import NotFound


def delete_token(transaction: Transaction, actor: Actor, token: str) -> None:
    """Delete the token. A token's name does not say whose it is, so one that never was is like another organisation's."""
    record = transaction.tokens.get(token)
    if record is None and not actor.operates:
        raise not_yours()
    if record is not None:
        require_own(actor, record.organization)
    if record is None or record.delete_time is not None:
        raise NotFound(f"there is no {names.TOKEN.format(token)}; list tokens to see which there are")
    transaction.tokens.delete(record)
