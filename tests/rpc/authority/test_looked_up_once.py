"""What every call asks of the database: looked up once for all who wait, until a commit touches it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from consentry.authority.v1 import coverage_pb2, enforcement_pb2, keys_pb2, tokens_pb2
from consentry_authority.storage.repositories.facts import SqlFacts
from consentry_core.rpc.client.channels import bearer
from support.authority import RunningAuthority, running_authority
from support.refusals import refusal_of

MANY = 64
ASK = coverage_pb2.ListCoveredCustomersRequest()


@pytest.fixture
async def authority(tmp_path: Path) -> AsyncIterator[RunningAuthority]:
    async with running_authority(tmp_path) as running:
        await running.partner("acme")
        await running.valid_customer("north", "acme")
        yield running


@contextmanager
def looked_up(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The credentials whose facts were read."""
    names: list[str] = []
    before = SqlFacts.credential

    def credential(self: SqlFacts, name: str, **how: Any) -> Any:
        if how.get("numbered", True):  # else it is a change that looks at what it touches
            names.append(name)
        return before(self, name, **how)

    with monkeypatch.context() as patched:
        patched.setattr(SqlFacts, "credential", credential)
        yield names


async def covered(authority: RunningAuthority, secret: str) -> list[str]:
    response = await authority.coverage.ListCoveredCustomers(ASK, metadata=bearer(secret))
    return [customer.name for customer in response.customers]


async def who(authority: RunningAuthority, secret: str) -> str:
    return (await authority.tokens.WhoAmI(tokens_pb2.WhoAmIRequest(), metadata=bearer(secret))).name


async def test_many_who_come_at_once_are_looked_up_once(authority: RunningAuthority, monkeypatch: pytest.MonkeyPatch) -> None:
    admin = await authority.admin("customers/north")
    await who(authority, admin)
    token = await authority.token(tokens_pb2.Token.ROLE_OPERATOR)
    with looked_up(monkeypatch) as names:
        await asyncio.gather(*(who(authority, token.secret) for _ in range(MANY)))
    assert names.count(token.token.name) <= 1 + MANY + 2, "WhoAmI itself reads its caller once a call"


async def test_a_commit_that_did_not_touch_it_leaves_it(authority: RunningAuthority, monkeypatch: pytest.MonkeyPatch) -> None:
    key = await authority.key("acme")
    await authority.partner("other")
    other = await authority.key("other")
    await covered(authority, key.secret)
    with looked_up(monkeypatch) as names:
        await authority.revoke("north", "acme")
        await authority.keys.DisableKey(
            keys_pb2.DisableKeyRequest(name=other.name), metadata=bearer(await authority.admin("partners/other"))
        )
        assert await covered(authority, key.secret) == []
    assert key.name not in names


async def withdraw(authority: RunningAuthority, key: str, what: str, metadata: Any) -> None:
    calls = authority.keys
    if what == "disabled":
        await calls.DisableKey(keys_pb2.DisableKeyRequest(name=key), metadata=metadata)
    elif what == "rotated":
        await calls.RotateKey(keys_pb2.RotateKeyRequest(name=key), metadata=metadata)
    elif what == "deleted":
        await calls.DeleteKey(keys_pb2.DeleteKeyRequest(name=key), metadata=metadata)
    else:
        await calls.SetRehearsal(keys_pb2.SetRehearsalRequest(partner="partners/acme", rehearsing=True), metadata=metadata)


@pytest.mark.parametrize("what", ["disabled", "rotated", "deleted", "rehearsed"])
async def test_every_commit_that_touches_it_is_heard_of(authority: RunningAuthority, what: str) -> None:
    key = await authority.key("acme", keys_pb2.Key.KIND_DEMO)
    assert await covered(authority, key.secret) == ["customers/demo"]
    await withdraw(authority, key.name, what, bearer(await authority.admin("partners/acme")))
    try:
        assert await covered(authority, key.secret) == []
        assert what == "rehearsed"
    except grpc.aio.AioRpcError as error:
        expected = grpc.StatusCode.PERMISSION_DENIED if what == "disabled" else grpc.StatusCode.UNAUTHENTICATED
        assert error.code() == expected  # noqa: PT017 - one of the four is not refused


async def verify(authority: RunningAuthority, secret: str) -> enforcement_pb2.VerifyCredentialResponse:
    request = enforcement_pb2.VerifyCredentialRequest(secret=secret)
    return await authority.enforcement.VerifyCredential(request, metadata=bearer(authority.service))


async def rotate(authority: RunningAuthority, key: str, secret: str) -> None:
    await withdraw(authority, key, "rotated", bearer(await authority.admin("partners/acme")))


async def delete(authority: RunningAuthority, key: str, secret: str) -> None:
    await withdraw(authority, key, "deleted", bearer(await authority.admin("partners/acme")))


async def kill(authority: RunningAuthority, key: str, secret: str) -> None:
    await authority.keys.RevokeSecret(keys_pb2.RevokeSecretRequest(), metadata=bearer(secret))


@pytest.mark.parametrize("end", [rotate, delete, kill])
async def test_a_secret_that_was_verified_is_refused_once_it_is_dead(
    authority: RunningAuthority, end: Callable[[RunningAuthority, str, str], Any]
) -> None:
    """Also while it is remembered whose it was."""
    key = await authority.key("acme")
    verified = await verify(authority, key.secret)
    assert verified.credential == key.name
    await end(authority, key.name, key.secret)
    refusal = await refusal_of(verify(authority, key.secret))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAUTHENTICATED, "SECRET_INVALID")


async def test_what_is_verified_tells_the_newest_revision(authority: RunningAuthority) -> None:
    """Although nothing of it was touched: the guard decides from facts that are at least as new."""
    key = await authority.key("acme")
    before = await verify(authority, key.secret)
    changed = await authority.revoke("north", "acme")
    after = await verify(authority, key.secret)
    assert after.revision.number == int(changed.enforcement.revision.rpartition(".")[2]) > before.revision.number
