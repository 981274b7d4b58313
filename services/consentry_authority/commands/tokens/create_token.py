"""Issue a token."""

from collections.abc import Sequence
from dataclasses import dataclass

from consentry_authority.commands import checks
from consentry_authority.commands.actor import Actor, require_own
from consentry_authority.commands.directory.get_customer import get_customer
from consentry_authority.commands.directory.get_partner import get_partner
from consentry_authority.commands.keys import key_terms
from consentry_authority.commands.ports import Transaction
from consentry_authority.commands.records import SecretRecord, TokenRecord
from consentry_core.callers.policy import Caller
from consentry_core.values import names
from consentry_core.values.errors import FailedPrecondition, InvalidArgument, PermissionDenied
from consentry_rule import CustomerId, Instant, PartnerId, TokenRole

_ORGANIZATION_OF = {
    TokenRole.OPERATOR: None,
    TokenRole.SERVICE: None,
    TokenRole.PARTNER_ADMIN: names.PARTNER,
    TokenRole.CUSTOMER_ADMIN: names.CUSTOMER,
    TokenRole.GATEWAY: names.CUSTOMER,
}

_MAY_ISSUE = {
    Caller.OPERATOR: frozenset(TokenRole),
    Caller.PARTNER_ADMIN: frozenset({TokenRole.PARTNER_ADMIN}),
    Caller.CUSTOMER_ADMIN: frozenset({TokenRole.CUSTOMER_ADMIN, TokenRole.GATEWAY}),
}


_MOST_PARTNERS = 100


@dataclass(frozen=True, slots=True)
class NewToken:
    """What a token is to be. `role` None: none was named."""

    id: str
    role: TokenRole | None
    organization: str
    display_name: str
    expire_time: Instant | None
    audience: str = ""
    partners: Sequence[str] = ()


def permit(actor: Actor, role: TokenRole | None, organization: str) -> TokenRole:
    """The role, if the actor may issue it for that organisation. Looks nothing up, so it goes before anything that costs."""
    require_own(actor, organization)
    if role is None:
        raise InvalidArgument("role", "must be named", reason="ROLE_REQUIRED")
    if role not in _MAY_ISSUE.get(actor.kind, frozenset()):
        raise PermissionDenied("your role cannot issue a token of this role; ask an operator", reason="ROLE_NOT_ALLOWED")
    expected = _ORGANIZATION_OF[role]
    if expected is None and organization:
        raise InvalidArgument("organization", "must be empty for this role", reason="ORGANIZATION_INVALID")
    if expected is not None and not expected.matches(organization):
        raise InvalidArgument(
            "organization", f"must be of the form {expected.pattern} for this role", reason="ORGANIZATION_INVALID"
        )
    return role


def create_token(
    transaction: Transaction, actor: Actor, new: NewToken, secret: SecretRecord, *, most: int | None = None
) -> TokenRecord:
    """The new token. NotFound when its organisation, or a partner that it is limited to, is not there.

    FailedPrecondition when the organisation has `most` tokens already. Operators can issue one all the same: else who holds one
    administrator's token could keep the organisation from getting another.
    """
    role = permit(actor, new.role, new.organization)
    if most is not None and not actor.operates and transaction.tokens.count(new.organization) >= most:
        raise FailedPrecondition(
            f"your organisation has {most} tokens, as many as it may; delete some", reason="TOKENS_EXCEEDED"
        )
    _check_reach(role, new)
    token = TokenRecord(
        id=new.id,
        role=role,
        organization=new.organization,
        display_name=checks.display_name(new.display_name, "display_name"),
        create_time=transaction.now,
        creator=actor.credential,
        hint=secret.hint,
        expire_time=checks.future(new.expire_time, transaction.now, "expire_time"),
        audience=new.audience,
        partners=frozenset(new.partners),
    )
    for organization in (new.organization, *sorted(token.partners)):
        _check_there(transaction, organization)
    transaction.tokens.add(token, secret)
    return token


def _check_reach(role: TokenRole, new: NewToken) -> None:
    """Services name an audience, and may be limited to partners; nobody else does."""
    if role is TokenRole.SERVICE:
        key_terms.audience(new.audience, "audience")
    elif new.audience:
        raise InvalidArgument("audience", "must be empty for this role", reason="AUDIENCE_INVALID")
    elif new.partners:
        raise InvalidArgument("partners", "must be empty for this role", reason="PARTNERS_INVALID")
    if len(new.partners) > _MOST_PARTNERS:
        raise InvalidArgument("partners", f"must be at most {_MOST_PARTNERS}", reason="PARTNERS_INVALID")


def _check_there(transaction: Transaction, organization: str) -> None:
    if names.PARTNER.matches(organization):
        get_partner(transaction, PartnerId(*names.PARTNER.parse(organization, "organization")))
    elif organization:
        get_customer(transaction, CustomerId(*names.CUSTOMER.parse(organization, "organization")))
