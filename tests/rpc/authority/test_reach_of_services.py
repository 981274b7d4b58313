"""What a service's token reaches: its audience, the partners that it is limited to, and only what it has verified."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from consentry.authority.v1 import enforcement_pb2, keys_pb2, tokens_pb2
from consentry.devices.v1 import inventory_pb2
from consentry_core.rpc.client.channels import bearer
from support.authority import AuthorityCalls, IssuedKey, RunningAuthority, running_authority
from support.pair import PATIENCE, Pair, running_pair
from support.refusals import Refusal, refusal

_Request = enforcement_pb2.FollowRequest
_SERVICE = tokens_pb2.Token.ROLE_SERVICE


@pytest.fixture
async def authority(tmp_path: Path) -> AsyncIterator[RunningAuthority]:
    """With partners acme and rival, and north, which is valid for both."""
    async with running_authority(tmp_path) as running:
        for partner in ("acme", "rival"):
            await running.partner(partner)
        await running.valid_customer("north", "acme")
        await running.connect("rival", "north")
        await running.consent("north", "rival")
        yield running


async def issued(authority: AuthorityCalls, **fields: Any) -> tokens_pb2.CreateTokenResponse:
    """A new token."""
    return await authority.tokens.CreateToken(tokens_pb2.CreateTokenRequest(**fields), metadata=bearer(authority.operator))


async def service_token(authority: AuthorityCalls, audience: str = "devices", partners: Sequence[str] = ()) -> str:
    """Its secret."""
    return (await issued(authority, role=_SERVICE, audience=audience, partners=partners)).secret


async def limited_key(authority: AuthorityCalls, *audiences: str) -> IssuedKey:
    """A key of acme's."""
    key = keys_pb2.Key(kind=keys_pb2.Key.KIND_ALL_CUSTOMERS, audiences=audiences)
    response = await authority.keys.CreateKey(
        keys_pb2.CreateKeyRequest(parent="partners/acme", key=key),
        metadata=bearer(await authority.admin("partners/acme")),
    )
    return IssuedKey(response.key.name, response.secret, response.key)


async def set_audiences(authority: AuthorityCalls, key: str, *audiences: str) -> keys_pb2.UpdateKeyResponse:
    """Another list."""
    return await authority.keys.UpdateKey(
        keys_pb2.UpdateKeyRequest(key=keys_pb2.Key(name=key, audiences=audiences), update_mask=FieldMask(paths=["audiences"])),
        metadata=bearer(await authority.admin("partners/acme")),
    )


async def verified(authority: AuthorityCalls, service: str, secret: str) -> enforcement_pb2.VerifyCredentialResponse:
    """Whose secret it is, as a service is told."""
    request = enforcement_pb2.VerifyCredentialRequest(secret=secret)
    return await authority.enforcement.VerifyCredential(request, metadata=bearer(service))


async def refused(authority: AuthorityCalls, service: str, secret: str) -> Refusal:
    """How a service is refused to verify it."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await verified(authority, service, secret)
    return refusal(caught.value)


async def followed(
    authority: AuthorityCalls,
    service: str,
    names: Sequence[str],
    *proofs: enforcement_pb2.VerifyCredentialResponse,
) -> list[str] | Refusal:
    """What a guard that wants these names and shows these proofs is told of, by name; a deleted credential is left out."""
    call: Any = authority.enforcement.Follow(metadata=bearer(service))
    shown = [_Request.Proofs.Proof(credential=one.credential, proof=one.proof) for one in proofs]
    told: list[str] = []
    try:
        await call.write(_Request(hello=_Request.Hello(incarnation=secrets.token_hex(10), service="test")))
        await call.write(_Request(proofs=_Request.Proofs(proofs=shown)))
        await call.write(_Request(interest=_Request.Interest(number=1, names=names)))
        await call.done_writing()
        async for response in call:
            told += [one.name for one in response.facts.credentials if one.kind]
            told += [one.name for one in response.facts.standings]
    except grpc.aio.AioRpcError as error:
        return refusal(error)
    return told


async def test_a_service_names_an_audience_and_nobody_else_does(authority: RunningAuthority) -> None:
    made = await issued(authority, role=_SERVICE, audience="devices", partners=["partners/rival", "partners/acme"])
    assert made.token.audience == "devices"
    assert made.token.partners == ["partners/acme", "partners/rival"]
    role = tokens_pb2.Token
    for fields, reason in (
        ({"role": role.ROLE_SERVICE}, "AUDIENCE_INVALID"),
        ({"role": role.ROLE_SERVICE, "audience": "Devices"}, "AUDIENCE_INVALID"),
        ({"role": role.ROLE_SERVICE, "audience": "a,b"}, "AUDIENCE_INVALID"),
        ({"role": role.ROLE_SERVICE, "audience": "devices", "partners": ["customers/north"]}, "NAME_INVALID"),
        ({"role": role.ROLE_SERVICE, "audience": "devices", "partners": ["partners/nobody"]}, "NOT_FOUND"),
        ({"role": role.ROLE_SERVICE, "audience": "devices", "partners": ["partners/acme"] * 101}, "PARTNERS_INVALID"),
        ({"role": role.ROLE_OPERATOR, "audience": "devices"}, "AUDIENCE_INVALID"),
        ({"role": role.ROLE_OPERATOR, "partners": ["partners/acme"]}, "PARTNERS_INVALID"),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await issued(authority, **fields)
        assert refusal(caught.value).reason == reason, fields


@pytest.mark.parametrize("wrong", ["", "Devices", "1st", "a" * 64, "a,b", "a b", "\N{CYRILLIC SMALL LETTER A}"])
async def test_an_audience_of_a_key_that_none_can_be_is_refused(authority: RunningAuthority, wrong: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await limited_key(authority, "devices", wrong)
    assert refusal(caught.value).fields == ("key.audiences[1]",)


async def test_a_key_is_valid_for_the_services_that_it_is_limited_to(authority: RunningAuthority) -> None:
    """To any other it is as good as none, and it is told apart from a wrong one only in the audit log."""
    devices, billing = await service_token(authority), await service_token(authority, "billing")
    for key, by_devices, by_billing in (
        (await limited_key(authority), True, True),
        (await limited_key(authority, "devices"), True, False),
        (await limited_key(authority, "billing", "devices"), True, True),
        (await limited_key(authority, "elsewhere"), False, False),
    ):
        for service, valid in ((devices, by_devices), (billing, by_billing)):
            if valid:
                assert (await verified(authority, service, key.secret)).credential == key.name
            else:
                assert await refused(authority, service, key.secret) == await refused(authority, service, "wrong")


async def test_a_limited_service_verifies_its_partners_credentials_only(authority: RunningAuthority) -> None:
    limited = await service_token(authority, partners=["partners/acme"])
    ours, theirs = await authority.key("acme"), await authority.key("rival")
    assert (await verified(authority, limited, ours.secret)).credential == ours.name
    assert (await verified(authority, limited, await authority.admin("partners/acme"))).credential
    for secret in (theirs.secret, await authority.admin("partners/rival"), authority.gateway, authority.operator):
        assert (await refused(authority, limited, secret)).reason == "SECRET_INVALID"


async def test_a_service_follows_what_it_has_verified_and_nothing_else(authority: RunningAuthority) -> None:
    service = await service_token(authority)
    ours, another, theirs = await authority.key("acme"), await authority.key("acme"), await authority.key("rival")
    proof = await verified(authority, service, ours.secret)
    standing = "customers/north/consents/acme"
    assert await followed(authority, service, [ours.name, standing, "partners/acme"], proof) == [ours.name, standing, standing]
    for wanted in (another.name, theirs.name, "partners/rival", "customers/north/consents/rival", "tokens/nobody"):
        told = await followed(authority, service, [ours.name, wanted], proof)
        assert isinstance(told, Refusal), wanted
        assert (told.code, told.reason) == (grpc.StatusCode.PERMISSION_DENIED, "NOT_VERIFIED"), wanted
    assert isinstance(await followed(authority, service, [ours.name]), Refusal), "nothing was shown"


async def test_proofs_are_the_tokens_own_and_cannot_be_made_up(authority: RunningAuthority) -> None:
    service, other = await service_token(authority), await service_token(authority)
    key, another = await authority.key("acme"), await authority.key("acme")
    proof = await verified(authority, service, key.secret)
    moved = enforcement_pb2.VerifyCredentialResponse(credential=another.name, proof=proof.proof)
    made_up = [
        enforcement_pb2.VerifyCredentialResponse(credential=key.name, proof=content)
        for content in (b"", b"\0" * 16, proof.proof[:-1], proof.proof + b"\0")
    ]
    assert isinstance(await followed(authority, other, [key.name], proof), Refusal)
    for wrong in (moved, *made_up):
        told = await followed(authority, service, [], wrong)
        assert isinstance(told, Refusal)
        assert told.reason == "NOT_VERIFIED"


async def test_what_was_verified_stays_so_over_a_restart(tmp_path: Path) -> None:
    """The authority remembers nothing of it: so it is at another replica, too."""
    async with running_authority(tmp_path) as authority:
        await authority.partner("acme")
        key = await authority.key("acme")
        proof = await verified(authority, authority.service, key.secret)
    async with running_authority(tmp_path) as again:
        assert await followed(again, again.service, [key.name], proof) == [key.name]


async def test_what_a_key_is_not_limited_to_any_more_is_told_it_is_gone(authority: RunningAuthority) -> None:
    service, key = await service_token(authority), await limited_key(authority, "devices")
    proof = await verified(authority, service, key.secret)
    narrowed = await set_audiences(authority, key.name, "billing")
    assert narrowed.key.audiences == ["billing"]
    assert narrowed.enforcement.revision
    assert await followed(authority, service, [key.name], proof) == []
    await set_audiences(authority, key.name)
    assert await followed(authority, service, [key.name], proof) == [key.name]


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    """The pair, with partner acme and its valid customer north."""
    async with running_pair(tmp_path) as running:
        await running.authority.partner("acme")
        await running.authority.valid_customer("north", "acme")
        yield running


async def listed(pair: Pair, key: IssuedKey) -> grpc.StatusCode:
    """How the device-data service answers the key."""
    try:
        request = inventory_pb2.ListDevicesRequest(parent="customers/north")
        await pair.inventory.ListDevices(request, metadata=bearer(key.secret))
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


async def test_the_device_data_service_is_devices_and_a_change_of_that_is_enforced_there(pair: Pair) -> None:
    """On a key that is in use: the answer of the change comes when its open calls have ended."""
    key, other = await limited_key(pair.authority, "devices"), await limited_key(pair.authority, "billing")
    assert await listed(pair, key) is grpc.StatusCode.OK
    assert await listed(pair, other) is grpc.StatusCode.UNAUTHENTICATED
    async with pair.watch(key.secret) as reader:
        await reader.until("synced")
        changed = await set_audiences(pair.authority, key.name, "billing")
        assert changed.enforcement.state == enforcement_pb2.Enforcement.STATE_ENFORCED
        assert len(changed.enforcement.points) == 1
        assert (await reader.error()).code() is grpc.StatusCode.UNAUTHENTICATED
    assert await listed(pair, key) is grpc.StatusCode.UNAUTHENTICATED
    await set_audiences(pair.authority, key.name, "billing", "devices")
    async with asyncio.timeout(PATIENCE):  # what gives access is no barrier: the guard hears of it a moment later
        while await listed(pair, key) is not grpc.StatusCode.OK:
            pass
