"""Credentials at the authority's gate: what lets in, what does not, and that a refusal says no more than it must."""

import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from consentry.authority.v1 import coverage_pb2, keys_pb2, tokens_pb2
from consentry_authority.secrets.format import TOKEN_PREFIX, ChecksumKeys
from consentry_authority.setup.first_start import read_checksum_keys
from consentry_core.protocol.times import to_timestamp
from consentry_core.rpc.client.channels import bearer
from consentry_rule import Instant
from support.authority import RunningAuthority, running_authority, settings_of
from support.clocks import FakeClock
from support.refusals import Refusal, refusal_of

WHO = tokens_pb2.WhoAmIRequest()
UNAUTHENTICATED, PERMISSION_DENIED = grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED


@pytest.fixture
async def authority(tmp_path: Path) -> AsyncIterator[RunningAuthority]:
    async with running_authority(tmp_path) as running:
        yield running


async def refused(authority: RunningAuthority, secret: str) -> Refusal:
    return await refusal_of(authority.tokens.WhoAmI(WHO, metadata=bearer(secret)))


async def test_no_credential(authority: RunningAuthority) -> None:
    refusal = await refusal_of(authority.tokens.WhoAmI(WHO))
    assert (refusal.code, refusal.reason, refusal.domain) == (UNAUTHENTICATED, "CREDENTIAL_MISSING", "consentry")
    assert "Bearer" in refusal.message


async def test_a_credential_given_twice(authority: RunningAuthority) -> None:
    refusal = await refusal_of(authority.tokens.WhoAmI(WHO, metadata=bearer(authority.operator) * 2))
    assert (refusal.code, refusal.reason) == (UNAUTHENTICATED, "CREDENTIAL_INVALID")


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_the_scheme_in_any_case(authority: RunningAuthority, scheme: str) -> None:
    metadata = (("authorization", f"{scheme} {authority.operator}"),)
    assert (await authority.tokens.WhoAmI(WHO, metadata=metadata)).role == tokens_pb2.Token.ROLE_OPERATOR


@pytest.mark.parametrize("value", ["", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "ct_0000000000000000", "Bearer a b"])
async def test_what_is_no_bearer_credential(authority: RunningAuthority, value: str) -> None:
    refusal = await refusal_of(authority.tokens.WhoAmI(WHO, metadata=(("authorization", value),)))
    assert refusal.code == UNAUTHENTICATED
    assert refusal.reason in {"CREDENTIAL_INVALID", "CREDENTIAL_MISSING"}


async def test_malformed_forged_unknown_and_deleted_get_one_answer(authority: RunningAuthority) -> None:
    key = ChecksumKeys([b"x" * 32])
    deleted = await authority.token(tokens_pb2.Token.ROLE_OPERATOR)
    await authority.tokens.WhoAmI(WHO, metadata=bearer(deleted.secret))  # remembered, and yet
    await authority.tokens.DeleteToken(
        tokens_pb2.DeleteTokenRequest(name=deleted.token.name), metadata=bearer(authority.operator)
    )
    mistyped = authority.operator[:-1] + ("0" if authority.operator[-1] != "0" else "1")
    offered = {
        "malformed": "nothing-of-ours",
        "mistyped": mistyped,
        "forged": key.make(TOKEN_PREFIX, secrets.token_bytes).text,
        "upper case": authority.operator.upper(),
        "unknown": unknown_secret(authority),
        "too long": "x" * 4_000,  # above 8 kB the transport itself refuses, at random up to 16
        "deleted": deleted.secret,
    }
    answers = {name: await refused(authority, secret) for name, secret in offered.items()}
    assert [name for name, answer in answers.items() if answer != answers["malformed"]] == []
    assert answers["malformed"].code == UNAUTHENTICATED
    for secret in offered.values():
        assert secret not in answers["malformed"].message


def unknown_secret(authority: RunningAuthority) -> str:
    """One with a good checksum that no database knows."""
    return read_checksum_keys(settings_of(authority.folder)).make(TOKEN_PREFIX, secrets.token_bytes).text


async def test_an_ended_token(authority: RunningAuthority) -> None:
    clock = authority.clock
    assert isinstance(clock, FakeClock)
    ends = Instant(clock.now() + 10 * 10**9)
    token = await authority.token(tokens_pb2.Token.ROLE_OPERATOR, expire_time=ends)
    clock.advance(9.999_999_999)
    assert (await authority.tokens.WhoAmI(WHO, metadata=bearer(token.secret))).expire_time == to_timestamp(ends)
    clock.advance(0.000_000_001)
    refusal = await refused(authority, token.secret)
    assert (refusal.code, refusal.reason) == (UNAUTHENTICATED, "CREDENTIAL_EXPIRED")


async def test_an_ended_disabled_and_deleted_key(authority: RunningAuthority) -> None:
    clock = authority.clock
    assert isinstance(clock, FakeClock)
    await authority.partner("acme")
    admin = bearer(await authority.admin("partners/acme"))
    key = await authority.key("acme")
    ask = coverage_pb2.ListCoveredCustomersRequest()

    await authority.keys.DisableKey(keys_pb2.DisableKeyRequest(name=key.name), metadata=admin)
    refusal = await refusal_of(authority.coverage.ListCoveredCustomers(ask, metadata=bearer(key.secret)))
    assert (refusal.code, refusal.reason) == (PERMISSION_DENIED, "KEY_DISABLED")

    await authority.keys.EnableKey(keys_pb2.EnableKeyRequest(name=key.name), metadata=admin)
    await authority.coverage.ListCoveredCustomers(ask, metadata=bearer(key.secret))

    ends = to_timestamp(Instant(clock.now() + 10**9))
    await authority.keys.UpdateKey(
        keys_pb2.UpdateKeyRequest(
            key=keys_pb2.Key(name=key.name, expire_time=ends), update_mask=FieldMask(paths=["expire_time"])
        ),
        metadata=admin,
    )
    clock.advance(1)
    refusal = await refusal_of(authority.coverage.ListCoveredCustomers(ask, metadata=bearer(key.secret)))
    assert (refusal.code, refusal.reason) == (UNAUTHENTICATED, "CREDENTIAL_EXPIRED")

    await authority.keys.DeleteKey(keys_pb2.DeleteKeyRequest(name=key.name), metadata=admin)
    refusal = await refusal_of(authority.coverage.ListCoveredCustomers(ask, metadata=bearer(key.secret)))
    assert (refusal.code, refusal.reason) == (UNAUTHENTICATED, "CREDENTIAL_INVALID")


async def test_a_secret_is_shown_once_and_then_only_its_hint(authority: RunningAuthority) -> None:
    await authority.partner("acme")
    admin = bearer(await authority.admin("partners/acme"))
    key = await authority.key("acme", keys_pb2.Key.KIND_DEMO)
    found = (await authority.keys.GetKey(keys_pb2.GetKeyRequest(name=key.name), metadata=admin)).key
    assert found == key.key
    assert key.secret.startswith(f"{found.hint}_")
    assert found.hint.startswith("ck_demo_")
    listed = await authority.tokens.ListTokens(tokens_pb2.ListTokensRequest(), metadata=bearer(authority.operator))
    assert all(token.hint.startswith("ct_") for token in listed.tokens)
    everything = str(found) + str(listed)
    for secret in (key.secret, authority.operator, authority.service, authority.gateway):
        assert secret not in everything


async def test_secrets_stand_nowhere_in_the_data_folder_but_in_the_token_files(authority: RunningAuthority) -> None:
    await authority.partner("acme")
    key = await authority.key("acme")
    admin = await authority.admin("partners/acme")
    await authority.tokens.WhoAmI(WHO, metadata=bearer(key.secret))
    for file in authority.folder.iterdir():
        content = file.read_bytes()
        for secret in (key.secret, admin):
            assert secret.encode() not in content
            assert secret.split("_")[-2].encode() not in content, "not even the random part"


async def test_secrets_outlive_a_restart(tmp_path: Path) -> None:
    async with running_authority(tmp_path) as first:
        await first.partner("acme")
        key = await first.key("acme")
    async with running_authority(tmp_path) as second:
        assert (await second.tokens.WhoAmI(WHO, metadata=bearer(key.secret))).name == key.name
