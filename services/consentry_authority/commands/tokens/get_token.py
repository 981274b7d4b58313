"""Look a token up."""

from consentry_authority.commands.ports import View
from consentry_authority.commands.records import TokenRecord
from consentry_core.values import names
from consentry_core.values.errors import NotFound


def get_token(view: View, token: str) -> TokenRecord:
    """The token. NotFound when it is deleted or never was."""
    record = view.tokens.get(token)
    if record is None or record.delete_time is not None:
        raise NotFound(f"there is no {names.TOKEN.format(token)}; list tokens to see which there are")
    return record
