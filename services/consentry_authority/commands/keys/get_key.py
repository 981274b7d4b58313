"""Look a key up."""

from consentry_authority.commands.ports import View
from consentry_authority.commands.records import KeyRecord
from consentry_core.values import names
from consentry_core.values.errors import Aborted, NotFound
from consentry_rule import KeyId, PartnerId


def get_key(view: View, partner: PartnerId, key: KeyId, *, etag: str = "") -> KeyRecord:
    """The key. NotFound when it is deleted or never was; Aborted when an etag was sent that is not its own."""
    record = view.keys.get(partner, key)
    if record is None:
        raise NotFound(f"there is no {names.KEY.format(partner, key)}; list keys to see which there are")
    if etag and etag != etag_of(record):
        raise Aborted(f"{record.name} was changed since you read it; read it again and decide anew")
    return record


def etag_of(key: KeyRecord) -> str:
    """Differs between any two states of a key."""
    return f"v{key.version}"
