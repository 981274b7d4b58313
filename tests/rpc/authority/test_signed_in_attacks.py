"""Tokens of an identity provider, or what looks like them, by which somebody tries more than to sign in."""

import base64
import json
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from consentry.authority.v1 import keys_pb2, tokens_pb2
from consentry_core.rpc.client.channels import bearer
from support.authority import RunningAuthority, running_authority
from support.clocks import FakeClock
from support.issuer import AUDIENCE, Issuer, running_issuer
from support.refusals import Refusal, refusal_of


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def place(tmp_path: Path, clock: FakeClock) -> AsyncIterator[tuple[RunningAuthority, Issuer]]:
    """An authority that trusts an issuer, with partner acme."""
    with running_issuer(clock) as issuer:
        async with running_authority(tmp_path, clock=clock, oidc_issuer=issuer.url, oidc_audience=AUDIENCE) as authority:
            await authority.partner("acme")
            yield authority, issuer


async def refused(authority: RunningAuthority, token: str) -> Refusal:
    return await refusal_of(authority.tokens.WhoAmI(tokens_pb2.WhoAmIRequest(), metadata=bearer(token)))


def unsigned(issuer: Issuer, **header: Any) -> str:
    """What anybody can send: any header, and no signature."""
    parts = ({"alg": "ES256", "kid": issuer.key_id, **header}, issuer.claims(consentry_role="operator"))
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    return ".".join((*encoded, "eHh4"))


@pytest.mark.parametrize(
    "header",
    [
        {"alg": ["ES256"]},
        {"alg": {"ES256": 1}},
        {"alg": None},
        {"alg": 5},
        {"kid": ["key-1"]},
        {"kid": {}},
        {"typ": 7},
        {"b64": False},
    ],
    ids=str,
)
async def test_a_header_of_any_types_gets_the_one_answer(
    place: tuple[RunningAuthority, Issuer], header: dict[str, Any]
) -> None:
    """Whoever is not even signed in must not reach the log with a traceback, nor past the refusals' pace."""
    authority, issuer = place
    answer = await refused(authority, unsigned(issuer, **header))
    assert (answer.code, answer.reason) == (grpc.StatusCode.UNAUTHENTICATED, "CREDENTIAL_INVALID")


@pytest.mark.parametrize("claim", ["exp", "iat", "nbf"])
@pytest.mark.parametrize("value", [10**400, -1, float("nan"), float("inf"), "1", [1], None], ids=lambda value: str(value)[:4])
async def test_times_that_are_none_get_the_one_answer(
    place: tuple[RunningAuthority, Issuer], claim: str, value: object
) -> None:
    authority, issuer = place
    claims = {**issuer.claims(consentry_role="partner_admin", consentry_organization="partners/acme"), claim: value}
    issuer.claims = lambda **_: claims  # type: ignore[method-assign] # None stays, where the issuer's own would leave it out
    answer = await refused(authority, issuer.token())
    assert (answer.code, answer.reason) == (grpc.StatusCode.UNAUTHENTICATED, "CREDENTIAL_INVALID")


async def test_an_administrator_of_a_partner_that_is_not_there_creates_no_key(
    place: tuple[RunningAuthority, Issuer],
) -> None:
    authority, issuer = place
    token = issuer.token(consentry_role="partner_admin", consentry_organization="partners/ghost")
    for kind in (keys_pb2.Key.KIND_DEMO, keys_pb2.Key.KIND_ALL_CUSTOMERS):
        request = keys_pb2.CreateKeyRequest(parent="partners/ghost", key=keys_pb2.Key(kind=kind))
        answer = await refusal_of(authority.keys.CreateKey(request, metadata=bearer(token)))
        assert answer.code is grpc.StatusCode.NOT_FOUND


async def test_a_provider_that_does_not_answer_keeps_nobody_out_whose_key_is_known(
    place: tuple[RunningAuthority, Issuer], clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its keys count for a day; each call must not wait for it until its own deadline has passed."""
    authority, issuer = place
    request = tokens_pb2.WhoAmIRequest()
    await authority.tokens.WhoAmI(request, metadata=bearer(issuer.token(consentry_role="operator")))
    clock.advance(3600)
    answer, go_on = issuer.answer, threading.Event()

    def late(path: str) -> bytes | None:
        go_on.wait(20)
        return answer(path)

    monkeypatch.setattr(issuer, "answer", late)
    try:
        metadata = bearer(issuer.token(consentry_role="operator"))
        await authority.tokens.WhoAmI(request, metadata=metadata, timeout=4)
    finally:
        go_on.set()
