"""How those are refused who may not: in which order, and what is not told. Who may what: `test_role_matrix`."""

from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from consentry.authority.v1 import (
    consent_pb2,
    coverage_pb2,
    directory_pb2,
    enforcement_pb2,
    keys_pb2,
    tokens_pb2,
)
from consentry_authority.admission.policies import POLICIES
from consentry_core.callers.policy import Caller
from consentry_core.rpc.client.channels import bearer
from support.authority import RunningAuthority, running_authority
from support.refusals import Refusal, refusal

FILES = (directory_pb2, tokens_pb2, consent_pb2, keys_pb2, coverage_pb2, enforcement_pb2)
METHODS: Mapping[str, MethodDescriptor] = {
    f"/{service.full_name}/{method.name}": method
    for file in FILES
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}

# The methods whose answer depends on whose resource is named: a request about an organisation, given its id and kind.
SCOPED: Mapping[str, Callable[[str], Message]] = {
    "ListConnections": lambda org: directory_pb2.ListConnectionsRequest(parent=org),
    "CreateToken": lambda org: tokens_pb2.CreateTokenRequest(role=admin_role(org), organization=org),
    "ListTokens": lambda org: tokens_pb2.ListTokensRequest(organization=org),
    "GrantConsent": lambda org: consent_pb2.GrantConsentRequest(customer=org, partner="partners/acme"),
    "RevokeConsent": lambda org: consent_pb2.RevokeConsentRequest(customer=org, partner="partners/acme"),
    "GetConsent": lambda org: consent_pb2.GetConsentRequest(name=f"{org}/consents/acme"),
    "ListConsents": lambda org: consent_pb2.ListConsentsRequest(parent=org),
    "ListConsentEvents": lambda org: consent_pb2.ListConsentEventsRequest(parent=org),
    "ListAccesses": lambda org: consent_pb2.ListAccessesRequest(parent=org),
    "CreateKey": lambda org: keys_pb2.CreateKeyRequest(parent=org, key=keys_pb2.Key(kind=keys_pb2.Key.KIND_DEMO)),
    "GetKey": lambda org: keys_pb2.GetKeyRequest(name=f"{org}/keys/k1"),
    "ListKeys": lambda org: keys_pb2.ListKeysRequest(parent=org),
    "UpdateKey": lambda org: keys_pb2.UpdateKeyRequest(
        key=keys_pb2.Key(name=f"{org}/keys/k1"), update_mask=FieldMask(paths=["display_name"])
    ),
    "AddKeyCustomers": lambda org: keys_pb2.AddKeyCustomersRequest(name=f"{org}/keys/k1", customers=["customers/north"]),
    "RemoveKeyCustomers": lambda org: keys_pb2.RemoveKeyCustomersRequest(name=f"{org}/keys/k1", customers=["customers/north"]),
    "DisableKey": lambda org: keys_pb2.DisableKeyRequest(name=f"{org}/keys/k1"),
    "EnableKey": lambda org: keys_pb2.EnableKeyRequest(name=f"{org}/keys/k1"),
    "DeleteKey": lambda org: keys_pb2.DeleteKeyRequest(name=f"{org}/keys/k1"),
    "RotateKey": lambda org: keys_pb2.RotateKeyRequest(name=f"{org}/keys/k1"),
    "SetRehearsal": lambda org: keys_pb2.SetRehearsalRequest(partner=org),
}
# Its request names no organisation; tested by itself.
BY_ITSELF = {"DeleteToken", "GetEnforcement", "RevokeSecret", "WhoAmI"}

_ADMINISTRATORS = {
    Caller.PARTNER_ADMIN: ("partners/acme", "partners/rival", "partners/nobody"),
    Caller.CUSTOMER_ADMIN: ("customers/north", "customers/south", "customers/nobody"),
}


def admin_role(organization: str) -> tokens_pb2.Token.Role.ValueType:
    token = tokens_pb2.Token
    return token.ROLE_PARTNER_ADMIN if organization.startswith("partners/") else token.ROLE_CUSTOMER_ADMIN


@pytest.fixture
async def authority(tmp_path: Path) -> AsyncIterator[RunningAuthority]:
    async with running_authority(tmp_path) as running:
        for partner in ("acme", "rival"):
            await running.partner(partner)
            await running.key(partner)
        for customer in ("north", "south"):
            await running.valid_customer(customer, "acme")
        yield running


async def secret_of(authority: RunningAuthority, caller: Caller) -> str:
    """A secret of each kind of caller, acting for `acme` or `north` where it acts for anybody."""
    match caller:
        case Caller.KEY:
            return (await authority.key("acme")).secret
        case Caller.OPERATOR:
            return authority.operator
        case Caller.SERVICE:
            return authority.service
        case Caller.GATEWAY:
            return (await authority.token(tokens_pb2.Token.ROLE_GATEWAY, "customers/north")).secret
        case Caller.PARTNER_ADMIN | Caller.CUSTOMER_ADMIN:
            return await authority.admin(_ADMINISTRATORS[caller][0])


async def answer(authority: RunningAuthority, path: str, request: bytes, secret: str) -> Refusal | None:
    """The refusal of a call, or None for one that was answered. Of streams, the first message counts."""
    method, metadata = METHODS[path], bearer(secret)
    channel: Any = authority.channel
    try:
        if method.client_streaming:
            call = channel.stream_stream(path)(iter([request]), metadata=metadata)
        elif method.server_streaming:
            call = channel.unary_stream(path)(request, metadata=metadata)
        else:
            await channel.unary_unary(path)(request, metadata=metadata)
            return None
        await call.read()
        call.cancel()
    except grpc.aio.AioRpcError as error:
        return refusal(error)
    return None


def test_every_method_has_a_policy_and_every_policy_a_method() -> None:
    assert set(POLICIES) == set(METHODS)
    assert all(POLICIES.values()), "a method that nobody may call is a mistake"


def test_every_method_for_administrators_is_tried_on_foreign_resources() -> None:
    for_administrators = {
        path.rpartition("/")[2] for path, callers in POLICIES.items() if callers.intersection(_ADMINISTRATORS)
    }
    assert for_administrators == set(SCOPED) | BY_ITSELF


@pytest.mark.parametrize("caller", Caller, ids=lambda caller: caller.name)
async def test_each_kind_of_caller_reaches_its_methods_and_no_others(authority: RunningAuthority, caller: Caller) -> None:
    """Refused by kind before the message is parsed: what is sent here is no message of any kind."""
    secret = await secret_of(authority, caller)
    let_in = set()
    for path in METHODS:
        if path.endswith(("/WatchCoverage", "/Follow")) and caller in POLICIES[path]:
            let_in.add(path)  # streams that stay open; the other tests of theirs show them at work
            continue
        refused = await answer(authority, path, b"\xff\xff\xff", secret)
        assert refused is not None, path
        if refused.code == grpc.StatusCode.PERMISSION_DENIED:
            assert (refused.reason, refused.domain) == ("CALLER_NOT_ALLOWED", "consentry"), path
        else:
            assert (refused.code, refused.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "MESSAGE_MALFORMED"), path
            let_in.add(path)
    assert let_in == {path for path, callers in POLICIES.items() if caller in callers}


async def test_without_a_credential_nothing_is_reached(authority: RunningAuthority) -> None:
    for path in METHODS:
        refused = await answer(authority, path, b"", "none")
        assert refused is not None, path
        assert (refused.code, refused.reason) == (grpc.StatusCode.UNAUTHENTICATED, "CREDENTIAL_INVALID"), path


@pytest.mark.parametrize("caller", _ADMINISTRATORS, ids=lambda caller: caller.name)
async def test_administrators_reach_their_own_organisation_only(authority: RunningAuthority, caller: Caller) -> None:
    secret = await secret_of(authority, caller)
    for method, request_about in SCOPED.items():
        path = next(path for path in METHODS if path.endswith(f"/{method}"))
        if caller not in POLICIES[path]:
            continue
        own, foreign, nobodys = (request_about(organization).SerializeToString() for organization in _ADMINISTRATORS[caller])
        reached = await answer(authority, path, own, secret)
        assert reached is None or reached.code == grpc.StatusCode.NOT_FOUND, method
        refused = await answer(authority, path, foreign, secret)
        assert refused is not None, method
        assert (refused.code, refused.reason) == (grpc.StatusCode.PERMISSION_DENIED, "NOT_YOUR_ORGANIZATION"), method
        assert refused == await answer(authority, path, nobodys, secret), f"{method}: existing or not, the same answer"


@pytest.mark.parametrize("method", ["ListConnections", "ListTokens"])
@pytest.mark.parametrize("caller", _ADMINISTRATORS, ids=lambda caller: caller.name)
async def test_everything_at_once_is_for_operators(authority: RunningAuthority, caller: Caller, method: str) -> None:
    path = next(path for path in METHODS if path.endswith(f"/{method}"))
    refused = await answer(authority, path, b"", await secret_of(authority, caller))
    assert refused is not None
    assert refused.code == grpc.StatusCode.PERMISSION_DENIED
    assert await answer(authority, path, b"", authority.operator) is None


async def test_tokens_of_others_look_like_tokens_of_nobody(authority: RunningAuthority) -> None:
    theirs = await authority.token(tokens_pb2.Token.ROLE_PARTNER_ADMIN, "partners/rival")
    own = await authority.token(tokens_pb2.Token.ROLE_PARTNER_ADMIN, "partners/acme")
    path, secret = "/consentry.authority.v1.TokenService/DeleteToken", await authority.admin("partners/acme")
    refusals = [
        await answer(authority, path, tokens_pb2.DeleteTokenRequest(name=name).SerializeToString(), secret)
        for name in (theirs.token.name, "tokens/nobody", own.token.name, own.token.name)
    ]
    assert refusals[0] is not None
    assert refusals[0].code == grpc.StatusCode.PERMISSION_DENIED
    assert refusals[0] == refusals[1]
    assert refusals[2] is None
    assert refusals[3] is not None
    assert refusals[3].code == grpc.StatusCode.NOT_FOUND


async def test_ownership_is_checked_before_anything_else_of_the_request(authority: RunningAuthority) -> None:
    """A foreign request that is wrong in other ways too hears of the first thing only."""
    secret = await authority.admin("partners/acme")
    for path, request in (
        ("KeyService/ListKeys", keys_pb2.ListKeysRequest(parent="partners/rival", page_size=-1, page_token="x")),
        ("KeyService/CreateKey", keys_pb2.CreateKeyRequest(parent="partners/rival")),
        ("KeyService/UpdateKey", keys_pb2.UpdateKeyRequest(key=keys_pb2.Key(name="partners/rival/keys/k", etag="x"))),
        ("TokenService/CreateToken", tokens_pb2.CreateTokenRequest(organization="customers/north")),
    ):
        refused = await answer(authority, f"/consentry.authority.v1.{path}", request.SerializeToString(), secret)
        assert refused is not None
        assert refused.code == grpc.StatusCode.PERMISSION_DENIED, path
