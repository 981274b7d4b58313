"""Issue an API key."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from consentry_authority.commands import checks
from consentry_authority.commands.actor import Actor
from consentry_authority.commands.directory.get_partner import get_partner
from consentry_authority.commands.keys import key_terms
from consentry_authority.commands.keys.get_key import get_key
from consentry_authority.commands.keys.key_customers import check_list, require_valid
from consentry_authority.commands.ports import Transaction
from consentry_authority.commands.records import KeyRecord, SecretRecord
from consentry_core.values.errors import FailedPrecondition
from consentry_rule import NO_QUOTA, CustomerId, Instant, KeyId, KeyKind, PartnerId, Quota


@dataclass(frozen=True, slots=True)
class NewKey:
    """What a key is to be."""

    partner: PartnerId
    id: KeyId
    kind: KeyKind
    display_name: str
    customers: Sequence[CustomerId]
    expire_time: Instant | None
    labels: Mapping[str, str] = field(default_factory=dict)
    networks: Sequence[str] = ()
    quota: Quota = NO_QUOTA
    audiences: Sequence[str] = ()


def create_key(
    transaction: Transaction, actor: Actor, new: NewKey, secret: SecretRecord, *, most: int | None = None
) -> KeyRecord:
    """The new key. Each customer on the list of a KIND_SPECIFIC_CUSTOMERS key must be valid at this moment.

    NotFound when there is no such partner: an identity provider can name one as its administrator's. FailedPrecondition when it
    has `most` keys already.
    """
    get_partner(transaction, new.partner)
    if most is not None and transaction.keys.count(new.partner) >= most:
        raise FailedPrecondition(f"your organisation has {most} keys, as many as it may; delete some", reason="KEYS_EXCEEDED")
    key = KeyRecord(
        partner=new.partner,
        id=new.id,
        display_name=checks.display_name(new.display_name, "key.display_name"),
        kind=new.kind,
        create_time=transaction.now,
        creator=actor.credential,
        hint=secret.hint,
        customers=check_list(new.kind, new.customers),
        expire_time=checks.future(new.expire_time, transaction.now, "key.expire_time"),
        labels=key_terms.labels(new.labels, "key.labels"),
        networks=key_terms.networks(new.networks, "key.allowed_networks"),
        quota=key_terms.quota(new.quota, "key.quota"),
        audiences=key_terms.audiences(new.audiences, "key.audiences"),
    )
    require_valid(transaction, key.partner, key.customers)
    transaction.keys.add(key, secret)
    return get_key(transaction, key.partner, key.id)
