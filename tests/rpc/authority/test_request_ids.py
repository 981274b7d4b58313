"""Creating calls that are sent twice under one `request_id` are carried out once."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message

from consentry.authority.v1 import consent_pb2, directory_pb2, keys_pb2, tokens_pb2
from consentry_core.rpc.client.channels import bearer
from support.authority import RunningAuthority, running_authority
from support.clocks import FakeClock
from support.refusals import Refusal, refusal_of

_DAY = 24 * 3600.0
KIND_DEMO = keys_pb2.Key.KIND_DEMO


@pytest.fixture
async def authority(tmp_path: Path) -> AsyncIterator[RunningAuthority]:
    """An authority with partner acme and its valid customer north."""
    async with running_authority(tmp_path) as running:
        await running.partner("acme")
        await running.valid_customer("north", "acme")
        yield running


def create_key(request_id: str, display_name: str = "") -> keys_pb2.CreateKeyRequest:
    key = keys_pb2.Key(kind=KIND_DEMO, display_name=display_name)
    return keys_pb2.CreateKeyRequest(parent="partners/acme", key=key, request_id=request_id)


async def as_admin(authority: RunningAuthority, request: Message) -> Any:
    """Send a KeyService request as acme's administrator."""
    method = getattr(authority.keys, type(request).__name__.removesuffix("Request"))
    return await method(request, metadata=bearer(await authority.admin("partners/acme")))


async def refused(authority: RunningAuthority, request: Message) -> Refusal:
    return await refusal_of(as_admin(authority, request))


async def keys_of(authority: RunningAuthority) -> list[str]:
    listed = await as_admin(authority, keys_pb2.ListKeysRequest(parent="partners/acme", show_invalid=True))
    return [key.name for key in listed.keys]


async def test_a_key_that_is_created_again_is_the_same_and_its_secret_is_not_shown(authority: RunningAuthority) -> None:
    first = await as_admin(authority, create_key("r-1"))
    again = await as_admin(authority, create_key("r-1"))
    assert (first.secret_already_shown, bool(first.secret)) == (False, True)
    assert (again.secret_already_shown, again.secret) == (True, "")
    assert again.key == first.key
    assert (await as_admin(authority, create_key("r-2"))).key.name != first.key.name


async def test_two_that_come_at_once_make_one_key(authority: RunningAuthority) -> None:
    answers = await asyncio.gather(*(as_admin(authority, create_key("r")) for _ in range(5)))
    assert len({answer.key.name for answer in answers}) == 1
    assert sorted(bool(answer.secret) for answer in answers) == [False] * 4 + [True]
    assert len(await keys_of(authority)) == 1


async def test_another_request_under_the_same_id_is_refused(authority: RunningAuthority) -> None:
    key = (await as_admin(authority, create_key("r"))).key
    for other in (create_key("r", "another"), keys_pb2.RotateKeyRequest(name=key.name, request_id="r")):
        told = await refused(authority, other)
        assert (told.code, told.reason, told.fields) == (
            grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_ID_REUSED", ("request_id",),
        )  # fmt: skip
    assert await keys_of(authority) == [key.name]


@pytest.mark.parametrize("request_id", [" ", "a b", "x" * 101, "\N{SNOWMAN}", "line\n"])
async def test_what_cannot_be_an_id(authority: RunningAuthority, request_id: str) -> None:
    told = await refused(authority, create_key(request_id))
    assert (told.reason, told.fields) == ("REQUEST_ID_INVALID", ("request_id",))


async def test_an_id_is_its_organisations_own(authority: RunningAuthority) -> None:
    """Another administrator goes on where the first one left; another organisation's ids are others."""
    first = await as_admin(authority, create_key("r"))
    colleague = (await authority.token(tokens_pb2.Token.ROLE_PARTNER_ADMIN, "partners/acme")).secret
    again = await authority.keys.CreateKey(create_key("r"), metadata=bearer(colleague))
    assert again.key.name == first.key.name
    await authority.partner("rival")
    request = keys_pb2.CreateKeyRequest(parent="partners/rival", key=keys_pb2.Key(kind=KIND_DEMO), request_id="r")
    theirs = await authority.keys.CreateKey(request, metadata=bearer(await authority.admin("partners/rival")))
    assert theirs.secret


async def test_a_request_that_was_refused_can_be_sent_again(authority: RunningAuthority) -> None:
    await authority.customer("late")
    key = keys_pb2.Key(kind=keys_pb2.Key.KIND_SPECIFIC_CUSTOMERS, customers=["customers/late"])
    request = keys_pb2.CreateKeyRequest(parent="partners/acme", key=key, request_id="r")
    assert (await refused(authority, request)).code == grpc.StatusCode.FAILED_PRECONDITION
    await authority.connect("acme", "late")
    await authority.consent("late", "acme")
    assert (await as_admin(authority, request)).secret


async def test_a_day_later_it_still_counts_and_a_week_later_it_does_not(authority: RunningAuthority) -> None:
    clock = authority.clock
    assert isinstance(clock, FakeClock)
    first = await as_admin(authority, create_key("r"))
    clock.advance(_DAY)
    assert (await as_admin(authority, create_key("r"))).key.name == first.key.name
    clock.advance(6 * _DAY)
    assert (await as_admin(authority, create_key("r"))).key.name != first.key.name


async def test_a_rotation_that_is_sent_again_does_not_end_the_secret_that_it_made(authority: RunningAuthority) -> None:
    key = await authority.key("acme")
    request = keys_pb2.RotateKeyRequest(name=key.name, etag=key.key.etag, request_id="r")
    first = await as_admin(authority, request)
    again = await as_admin(authority, request)
    assert (again.secret, again.secret_already_shown, again.key) == ("", True, first.key)
    assert again.enforcement == first.enforcement
    await authority.tokens.WhoAmI(tokens_pb2.WhoAmIRequest(), metadata=bearer(first.secret))


async def test_a_grant_that_is_sent_again_does_not_undo_a_revocation(authority: RunningAuthority) -> None:
    metadata = bearer(await authority.admin("customers/north"))
    request = consent_pb2.GrantConsentRequest(
        customer="customers/north", partner="partners/acme", purpose="again", request_id="r"
    )
    assert (await authority.consents.GrantConsent(request, metadata=metadata)).consent.state == consent_pb2.Consent.STATE_ACTIVE
    revoked = (await authority.revoke("north", "acme")).consent
    assert (await authority.consents.GrantConsent(request, metadata=metadata)).consent == revoked


async def test_the_directory_and_tokens(authority: RunningAuthority) -> None:
    operator = bearer(authority.operator)
    partner = directory_pb2.CreatePartnerRequest(partner_id="newcomer", request_id="p")
    customer = directory_pb2.CreateCustomerRequest(customer_id="newcomer", request_id="c")
    token = tokens_pb2.CreateTokenRequest(
        role=tokens_pb2.Token.ROLE_PARTNER_ADMIN, organization="partners/acme", request_id="t"
    )
    created: Any
    again: Any
    for method, request in (
        (authority.directory.CreatePartner, partner),
        (authority.directory.CreateCustomer, customer),
    ):
        call: Any = method
        created, again = await call(request, metadata=operator), await call(request, metadata=operator)
        assert again == created
        request.ClearField("request_id")
        assert (await refusal_of(call(request, metadata=operator))).code == grpc.StatusCode.ALREADY_EXISTS
    created, again = [await authority.tokens.CreateToken(token, metadata=operator) for _ in range(2)]
    assert (again.token, again.secret, again.secret_already_shown) == (created.token, "", True)
    await authority.tokens.DeleteToken(tokens_pb2.DeleteTokenRequest(name=created.token.name), metadata=operator)
    told = await refusal_of(authority.tokens.CreateToken(token, metadata=operator))
    assert told.code == grpc.StatusCode.NOT_FOUND, "what came of it is gone, and does not come again"
