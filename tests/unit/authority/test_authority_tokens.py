"""Tokens: who may issue and delete which."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from consentry_authority.commands.actor import Actor
from consentry_authority.commands.records import SecretRecord, TokenRecord
from consentry_authority.commands.tokens.create_token import NewToken, create_token, permit
from consentry_authority.commands.tokens.delete_token import delete_token
from consentry_authority.commands.tokens.list_tokens import list_tokens
from consentry_core.callers.policy import Caller
from consentry_core.values.errors import InvalidArgument, NotFound, PermissionDenied
from consentry_rule import Instant, TokenRole
from support.stores import ACME, NORTH, OTHER, StoreUnderTest, open_store

OPERATOR = Actor("tokens/op", Caller.OPERATOR)
PARTNER = Actor("tokens/pa", Caller.PARTNER_ADMIN, "partners/acme")
CUSTOMER = Actor("tokens/ca", Caller.CUSTOMER_ADMIN, "customers/north")

# Who may issue what. Everything that is not here is refused.
MAY = {
    (OPERATOR, TokenRole.OPERATOR, ""),
    (OPERATOR, TokenRole.SERVICE, ""),
    (OPERATOR, TokenRole.PARTNER_ADMIN, "partners/acme"),
    (OPERATOR, TokenRole.PARTNER_ADMIN, "partners/other"),
    (OPERATOR, TokenRole.CUSTOMER_ADMIN, "customers/north"),
    (OPERATOR, TokenRole.GATEWAY, "customers/north"),
    (PARTNER, TokenRole.PARTNER_ADMIN, "partners/acme"),
    (CUSTOMER, TokenRole.CUSTOMER_ADMIN, "customers/north"),
    (CUSTOMER, TokenRole.GATEWAY, "customers/north"),
}


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[StoreUnderTest]:
    with open_store(tmp_path) as kept:
        kept.partner(ACME)
        kept.partner(OTHER)
        kept.customer(NORTH)
        yield kept


def create(
    kept: StoreUnderTest,
    actor: Actor,
    role: TokenRole,
    organization: str,
    *,
    named: str = "t1",
    expire_time: Instant | None = None,
) -> TokenRecord:
    audience = "devices" if role is TokenRole.SERVICE else ""
    new = NewToken(named, role, organization, "", expire_time, audience)
    return kept.do(lambda tx: create_token(tx, actor, new, SecretRecord(named, "hash", "ct_hint"))).value


@pytest.mark.parametrize("actor", [OPERATOR, PARTNER, CUSTOMER], ids=lambda actor: actor.kind.name)
@pytest.mark.parametrize("role", TokenRole)
@pytest.mark.parametrize("organization", ["", "partners/acme", "partners/other", "customers/north"])
def test_who_may_issue_what(kept: StoreUnderTest, actor: Actor, role: TokenRole, organization: str) -> None:
    if (actor, role, organization) in MAY:
        token = create(kept, actor, role, organization)
        assert (token.creator, token.role, token.organization) == (actor.credential, role, organization)
    else:
        with pytest.raises((PermissionDenied, InvalidArgument)):
            create(kept, actor, role, organization)
        assert kept.ask(lambda tx: tx.tokens.get("t1")) is None


def test_a_role_must_be_named() -> None:
    with pytest.raises(InvalidArgument) as refused:
        permit(OPERATOR, None, "")
    assert refused.value.violations[0].field == "role"


def test_the_organisation_must_be_there(kept: StoreUnderTest) -> None:
    with pytest.raises(NotFound):
        create(kept, OPERATOR, TokenRole.PARTNER_ADMIN, "partners/nobody")
    with pytest.raises(NotFound):
        create(kept, OPERATOR, TokenRole.GATEWAY, "customers/nobody")


def test_an_end_must_lie_in_the_future(kept: StoreUnderTest) -> None:
    with pytest.raises(InvalidArgument):
        create(kept, OPERATOR, TokenRole.OPERATOR, "", expire_time=kept.clock.now())


def test_administrators_delete_their_own(kept: StoreUnderTest) -> None:
    create(kept, OPERATOR, TokenRole.GATEWAY, "customers/north")
    assert kept.do(lambda tx: delete_token(tx, CUSTOMER, "t1")).changed
    with pytest.raises(NotFound):
        kept.do(lambda tx: delete_token(tx, CUSTOMER, "t1"))
    with pytest.raises(NotFound):
        kept.do(lambda tx: delete_token(tx, OPERATOR, "t1"))
    assert kept.ask(lambda tx: tx.facts.credential("tokens/t1")) is None


def test_another_organisations_token_looks_like_none(kept: StoreUnderTest) -> None:
    create(kept, OPERATOR, TokenRole.GATEWAY, "customers/north")
    answers = []
    for token in ("t1", "none"):
        with pytest.raises(PermissionDenied) as refused:
            kept.do(lambda tx, token=token: delete_token(tx, PARTNER, token))  # type: ignore[misc]
        answers.append((refused.value.message, refused.value.reason))
    assert answers[0] == answers[1]
    with pytest.raises(NotFound):
        kept.do(lambda tx: delete_token(tx, OPERATOR, "none"))


def test_deleted_ones_are_not_listed_and_ended_ones_are(kept: StoreUnderTest) -> None:
    create(kept, OPERATOR, TokenRole.OPERATOR, "", named="t1")
    create(kept, OPERATOR, TokenRole.GATEWAY, "customers/north", named="t2", expire_time=kept.later(5))
    create(kept, OPERATOR, TokenRole.GATEWAY, "customers/north", named="t3")
    kept.do(lambda tx: delete_token(tx, OPERATOR, "t3"))
    kept.clock.advance(10)
    everything = kept.ask(lambda tx: list_tokens(tx, None, after="", limit=10))
    norths = kept.ask(lambda tx: list_tokens(tx, "customers/north", after="", limit=10))
    assert [token.id for token in everything.items] == ["t1", "t2"]
    assert [(token.id, token.hint) for token in norths.items] == [("t2", "ct_hint")]
