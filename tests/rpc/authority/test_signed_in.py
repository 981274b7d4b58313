"""Administrators whom a real identity provider on this machine signed in."""

import asyncio
import base64
import hmac
import json
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import jwt
import pytest

from consentry.authority.v1 import consent_pb2, directory_pb2, keys_pb2, tokens_pb2
from consentry_authority.admission.oidc import fetching
from consentry_core.process.settings import SettingError
from consentry_core.rpc.client.channels import bearer
from consentry_core.values.clock import SECOND
from support.authority import RunningAuthority, running_authority
from support.clocks import FakeClock
from support.issuer import AUDIENCE, Issuer, running_issuer
from support.refusals import Refusal, refusal


@dataclass
class Place:
    """An authority that trusts an issuer, with partner acme and its valid customer north; and their clock."""

    authority: RunningAuthority
    issuer: Issuer
    clock: FakeClock

    async def who(self, token: str) -> tokens_pb2.WhoAmIResponse:
        """Whose token that is."""
        return await self.authority.tokens.WhoAmI(tokens_pb2.WhoAmIRequest(), metadata=bearer(token))

    async def refused(self, token: str) -> Refusal:
        """How it is refused."""
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self.who(token)
        return refusal(caught.value)

    def partner_admin(self, **claims: Any) -> str:
        """A token of acme's administrator, with other claims."""
        given = {"consentry_role": "partner_admin", "consentry_organization": "partners/acme", **claims}
        return self.issuer.token(**given)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def issuer(clock: FakeClock) -> Iterator[Issuer]:
    with running_issuer(clock) as running:
        yield running


@pytest.fixture
async def place(tmp_path: Path, clock: FakeClock, issuer: Issuer) -> AsyncIterator[Place]:
    async with running_authority(tmp_path, clock=clock, oidc_issuer=issuer.url, oidc_audience=AUDIENCE) as authority:
        await authority.partner("acme")
        await authority.partner("rival")
        await authority.valid_customer("north", "acme")
        yield Place(authority, issuer, clock)


async def test_a_partners_administrator_manages_its_own_keys_and_nobody_elses(place: Place) -> None:
    token = place.partner_admin()
    who = await place.who(token)
    assert (who.name, who.role, who.organization) == (
        "identities/ada%7C1",
        tokens_pb2.Token.ROLE_PARTNER_ADMIN,
        "partners/acme",
    )
    assert who.expire_time.seconds == place.clock.now() // SECOND + 300
    created = await place.authority.keys.CreateKey(
        keys_pb2.CreateKeyRequest(parent="partners/acme", key=keys_pb2.Key(kind=keys_pb2.Key.KIND_DEMO), request_id="once"),
        metadata=bearer(token),
    )
    assert created.key.creator == who.name
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await place.authority.keys.ListKeys(keys_pb2.ListKeysRequest(parent="partners/rival"), metadata=bearer(token))
    assert refusal(caught.value).reason == "NOT_YOUR_ORGANIZATION"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await place.authority.directory.ListPartners(directory_pb2.ListPartnersRequest(), metadata=bearer(token))
    assert refusal(caught.value).reason == "CALLER_NOT_ALLOWED"


async def test_a_customers_administrator_sees_its_consents_and_what_was_done_in_its_name(place: Place) -> None:
    token = place.issuer.token(consentry_role="customer_admin", consentry_organization="customers/north")
    consents = place.authority.consents
    await consents.RevokeConsent(
        consent_pb2.RevokeConsentRequest(customer="customers/north", partner="partners/acme"), metadata=bearer(token)
    )
    events = await consents.ListConsentEvents(
        consent_pb2.ListConsentEventsRequest(parent="customers/north"), metadata=bearer(token)
    )
    assert "identities/ada%7C1" in {event.actor for event in events.consent_events}


async def test_an_operator_operates_whatever_organisation_its_token_names(place: Place) -> None:
    token = place.issuer.token(consentry_role=["somebody", "operator"], consentry_organization="partners/acme")
    who = await place.who(token)
    assert (who.role, who.organization) == (tokens_pb2.Token.ROLE_OPERATOR, "")
    await place.authority.directory.ListPartners(directory_pb2.ListPartnersRequest(), metadata=bearer(token))


async def test_who_was_signed_in_has_no_secret_to_revoke(place: Place) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await place.authority.keys.RevokeSecret(keys_pb2.RevokeSecretRequest(), metadata=bearer(place.partner_admin()))
    assert refusal(caught.value).reason == "NOT_A_SECRET"


def _unsigned(issuer: Issuer) -> str:
    return jwt.encode(issuer.claims(consentry_role="operator"), "", algorithm="none", headers={"kid": issuer.key_id})


def _signed_with_the_public_key(issuer: Issuer) -> str:
    """What a library takes that lets the token choose: the public key, which everybody has, as a shared one."""
    header, claims = {"alg": "HS256", "kid": issuer.key_id}, issuer.claims(consentry_role="operator")
    signed = ".".join(_part(json.dumps(part).encode()) for part in (header, claims))
    return f"{signed}.{_part(hmac.digest(json.dumps(issuer.jwk).encode(), signed.encode(), 'sha256'))}"


def _part(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _with_its_own_key(issuer: Issuer) -> str:
    """A token that brings the key along, and says where to fetch it."""
    real = issuer.jwk, issuer.key, issuer.key_id
    issuer.rotate()
    headers = {"jwk": issuer.jwk, "jku": f"{issuer.url}/mine", "kid": real[2]}
    token = issuer.token(headers, consentry_role="operator")
    issuer.jwk, issuer.key, issuer.key_id = real
    return token


def _changed(issuer: Issuer) -> str:
    head, _, signature = issuer.token(consentry_role="customer_admin", consentry_organization="customers/north").split(".")
    claims = json.dumps(issuer.claims(consentry_role="operator")).encode()
    return ".".join((head, _part(claims), signature))


async def test_what_does_not_count_is_refused_with_one_answer_and_never_logged(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    """The one answer that a wrong secret of ours gets, whatever is wrong."""
    issuer, now = place.issuer, place.clock.now() // SECOND
    await place.who(place.partner_admin())  # it would have counted
    wrong = {
        "no signature": _unsigned(issuer),
        "a shared key": _signed_with_the_public_key(issuer),
        "a key of its own": _with_its_own_key(issuer),
        "changed claims": _changed(issuer),
        "something critical": place.issuer.token({"crit": ["b64"], "b64": True}, consentry_role="operator"),
        "no key id": place.issuer.token({"kid": ""}, consentry_role="operator"),
        "another issuer": place.partner_admin(iss="https://elsewhere.example"),
        "another audience": place.partner_admin(aud="another"),
        "no audience": place.partner_admin(aud=None),
        "ended": place.partner_admin(exp=now - 31),
        "no end": place.partner_admin(exp=None),
        "an end that is no time": place.partner_admin(exp=1e300),
        "an end that is true": place.partner_admin(exp=True),
        "not begun": place.partner_admin(nbf=now + 31),
        "issued later": place.partner_admin(iat=now + 31),
        "never issued": place.partner_admin(iat=None),
        "no subject": place.partner_admin(sub=None),
        "a long subject": place.partner_admin(sub="a" * 256),
        "a subject with a line feed": place.partner_admin(sub="ada\n2026 forged"),
        "a subject with an escape": place.partner_admin(sub="ada\x1b[2J"),
        "no role": place.partner_admin(consentry_role=None),
        "a role that is none": place.partner_admin(consentry_role="gateway"),
        "a role of services": place.partner_admin(consentry_role="service"),
        "two roles": place.partner_admin(consentry_role=["operator", "partner_admin"]),
        "a role that is no text": place.partner_admin(consentry_role={"operator": True}),
        "no organisation": place.partner_admin(consentry_organization=None),
        "an organisation of the other kind": place.partner_admin(consentry_organization="customers/north"),
        "an organisation that is no text": place.partner_admin(consentry_organization=["partners/acme"]),
        "no header": "a.b.c",
        "empty parts": "..",
        "deep": f"{_part(b'[' * 3000)}.e30.x",
        "too long": place.partner_admin(padding="x" * 4600),
    }
    for what, token in wrong.items():
        refused = await place.refused(token)
        assert (refused.code, refused.reason) == (grpc.StatusCode.UNAUTHENTICATED, "CREDENTIAL_INVALID"), what
        assert token not in caplog.text, what
    assert issuer.asked == {"/.well-known/openid-configuration": 1, "/keys": 1}, "nothing that a token says makes us ask"


async def test_clocks_may_differ_by_half_a_minute(place: Place) -> None:
    now = place.clock.now() // SECOND
    for claims in ({"exp": now - 29}, {"nbf": now + 29}, {"iat": now + 29}):
        await place.who(place.partner_admin(**claims))


@pytest.mark.parametrize("algorithm", ["RS256", "EdDSA"])
async def test_keys_rotate_and_the_former_one_ends(place: Place, algorithm: str) -> None:
    former = place.partner_admin()
    await place.who(former)
    place.issuer.rotate(algorithm)
    renewed = place.partner_admin()
    assert (await place.refused(renewed)).code is grpc.StatusCode.UNAUTHENTICATED, "not asked again so soon"
    place.clock.advance(10)
    await place.who(renewed)
    assert (await place.refused(former)).code is grpc.StatusCode.UNAUTHENTICATED


async def test_made_up_key_ids_do_not_make_us_ask_more_often(place: Place) -> None:
    await place.who(place.partner_admin())
    place.clock.advance(10)
    for number in range(50):
        await place.refused(place.issuer.token({"kid": f"made-up-{number}"}, consentry_role="operator"))
    assert place.issuer.asked["/keys"] == 2


@pytest.mark.parametrize("answer", [b"", b"[]", b'{"keys": 1}', b"x" * 300_000, b"[" * 100_000], ids=lambda answer: answer[:8])
async def test_without_its_keys_a_provider_is_not_believed_and_once_had_they_last_a_day(place: Place, answer: bytes) -> None:
    place.issuer.answers["/keys"] = answer
    assert (await place.refused(place.partner_admin())).code is grpc.StatusCode.UNAVAILABLE
    del place.issuer.answers["/keys"]
    place.clock.advance(10)
    await place.who(place.partner_admin())
    place.issuer.answers["/keys"] = answer
    place.clock.advance(3600)
    await place.who(place.partner_admin())
    place.clock.advance(86_400)
    assert (await place.refused(place.partner_admin())).code is grpc.StatusCode.UNAVAILABLE
    await place.authority.tokens.WhoAmI(tokens_pb2.WhoAmIRequest(), metadata=bearer(place.authority.operator))


async def test_discovery_of_another_issuer_or_with_keys_from_anywhere_is_not_believed(place: Place) -> None:
    for document in (
        {"issuer": "https://elsewhere.example", "jwks_uri": f"{place.issuer.url}/keys"},
        {"issuer": place.issuer.url, "jwks_uri": "http://keys.example/keys"},
        {"issuer": place.issuer.url, "jwks_uri": "file:///etc/passwd"},
        {"issuer": place.issuer.url},
    ):
        place.issuer.answers["/.well-known/openid-configuration"] = json.dumps(document).encode()
        place.clock.advance(10)
        assert (await place.refused(place.partner_admin())).code is grpc.StatusCode.UNAVAILABLE
    assert "/keys" not in place.issuer.asked


async def test_keys_that_are_not_for_verifying_are_left_out(place: Place) -> None:
    """Shared keys, private ones, those for encryption, and those of other algorithms."""
    issuer = place.issuer
    jwk = issuer.jwk
    shared = {"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0", "kid": issuer.key_id}
    for one in (shared, {**jwk, "use": "enc"}, {**jwk, "alg": "HS256"}, {**jwk, "d": "AAAA"}, {**jwk, "x": "AAAA"}, None, {}):
        issuer.answers["/keys"] = json.dumps({"keys": [one]}).encode()
        place.clock.advance(10)
        assert (await place.refused(place.partner_admin())).code is grpc.StatusCode.UNAUTHENTICATED, one


async def test_keys_from_a_file_and_roles_by_the_providers_own_words(tmp_path: Path, clock: FakeClock, issuer: Issuer) -> None:
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({"keys": [issuer.jwk]}))
    settings: dict[str, Any] = {
        "oidc_issuer": issuer.url,
        "oidc_audience": AUDIENCE,
        "oidc_jwks": str(file),
        "oidc_role_claim": "groups",
        "oidc_roles": "consentry-ops=operator, acme-admins=partner_admin",
        "oidc_organization_claim": "org",
    }
    async with running_authority(tmp_path / "data", clock=clock, **settings) as authority:
        place = Place(authority, issuer, clock)
        assert (await place.who(issuer.token(groups=["staff", "consentry-ops"]))).role == tokens_pb2.Token.ROLE_OPERATOR
        assert (await place.who(issuer.token(groups="acme-admins", org="partners/acme"))).organization == "partners/acme"
        assert (await place.refused(issuer.token(groups=["operator"]))).code is grpc.StatusCode.UNAUTHENTICATED
    assert issuer.asked == {}


async def test_without_a_provider_no_such_token_counts(tmp_path: Path, clock: FakeClock, issuer: Issuer) -> None:
    async with running_authority(tmp_path, clock=clock) as authority:
        place = Place(authority, issuer, clock)
        assert (await place.refused(issuer.token(consentry_role="operator"))).reason == "CREDENTIAL_INVALID"


@pytest.mark.parametrize(
    "settings",
    [
        {"oidc_issuer": "https://id.example"},
        {"oidc_audience": "consentry"},
        {"oidc_issuer": "http://id.example", "oidc_audience": "consentry"},
        {"oidc_issuer": "https://id.example", "oidc_audience": "consentry", "oidc_jwks": "http://id.example/keys"},
        {"oidc_issuer": "https://id.example", "oidc_audience": "consentry", "oidc_jwks": "ftp://id.example/keys"},
        {"oidc_issuer": "https://id.example", "oidc_audience": "consentry", "oidc_roles": "gateways=gateway"},
    ],
    ids=str,
)
async def test_settings_that_cannot_be_meant_are_refused_at_the_start(tmp_path: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(SettingError):
        async with running_authority(tmp_path, **settings):
            pass


@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/keys"])
async def test_a_provider_that_answers_a_byte_at_a_time_is_hung_up_on(
    clock: FakeClock, issuer: Issuer, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """However it divides what it sends, the whole of a fetch takes no longer than it may."""
    monkeypatch.setattr(fetching, "TIMEOUT_SECONDS", 0.4)
    issuer.drips.add(path)
    began = time.monotonic()
    with pytest.raises(fetching.NotFetched, match=r"not within 0\.4 s"):
        await asyncio.to_thread(fetching.keys_source(issuer.url, ""))
    assert time.monotonic() - began < 3
    issuer.drips.clear()
    assert b"keys" in await asyncio.to_thread(fetching.keys_source(issuer.url, ""))


@pytest.mark.parametrize(
    ("headers", "claims"),
    [
        ({"typ": "JWT"}, {}),
        ({"typ": "at+jwt"}, {"nonce": "n"}),
        ({"typ": "application/AT+JWT"}, {}),
        ({"typ": "JWT"}, {"typ": "Bearer", "nonce": "n"}),
    ],
    ids=["Entra", "RFC 9068", "with media type", "Keycloak"],
)
async def test_access_tokens_of_the_usual_providers_count(
    place: Place, headers: dict[str, Any], claims: dict[str, Any]
) -> None:
    given: dict[str, Any] = {"consentry_role": "partner_admin", "consentry_organization": "partners/acme", **claims}
    assert (await place.who(place.issuer.token(headers, **given))).organization == "partners/acme"


@pytest.mark.parametrize(
    ("headers", "claims"),
    [
        ({}, {"nonce": "n"}),
        ({}, {"at_hash": "h"}),
        ({}, {"c_hash": "h"}),
        ({}, {"typ": "ID"}),
        ({}, {"typ": "Refresh"}),
        ({}, {"typ": ["Bearer"]}),
        ({"typ": "logout+jwt"}, {}),
        ({"typ": "dpop+jwt"}, {}),
    ],
)
async def test_what_is_no_access_token_does_not_count(place: Place, headers: dict[str, Any], claims: dict[str, Any]) -> None:
    """An ID token tells an application who signed in; whoever gets hold of one is not that person."""
    given: dict[str, Any] = {"consentry_role": "partner_admin", "consentry_organization": "partners/acme", **claims}
    refused = await place.refused(place.issuer.token(headers, **given))
    assert (refused.code, refused.reason) == (grpc.StatusCode.UNAUTHENTICATED, "CREDENTIAL_INVALID")


async def test_claims_within_others_are_named_by_the_way_to_them(
    tmp_path: Path, clock: FakeClock, issuer: Issuer, caplog: pytest.LogCaptureFixture
) -> None:
    """Keycloak's roles, and names that hold dots themselves. One that no token has is told of in the log, once."""
    settings: dict[str, Any] = {
        "oidc_issuer": issuer.url,
        "oidc_audience": AUDIENCE,
        "oidc_role_claim": "realm_access.roles",
        "oidc_organization_claim": "https://acme.example/consentry.organization",
    }
    async with running_authority(tmp_path, clock=clock, **settings) as authority:
        place = Place(authority, issuer, clock)
        organization: dict[str, Any] = {"https://acme.example/consentry.organization": "partners/acme"}
        who = await place.who(issuer.token(realm_access={"roles": ["offline_access", "partner_admin"]}, **organization))
        assert (who.role, who.organization) == (tokens_pb2.Token.ROLE_PARTNER_ADMIN, "partners/acme")
        nested: dict[str, Any] = {"https://acme.example/consentry": {"organization": "partners/acme"}}
        assert (
            await place.who(issuer.token(realm_access={"roles": "partner_admin"}, **nested))
        ).organization == "partners/acme"
        literal: dict[str, Any] = {"realm_access.roles": "partner_admin", "realm_access": {"roles": "operator"}}
        assert (await place.who(issuer.token(**literal, **organization))).role == tokens_pb2.Token.ROLE_PARTNER_ADMIN
        assert "has no claim" not in caplog.text
        without: list[dict[str, Any]] = [{"realm_access": {}}, {"realm_access": "roles"}, {}]
        for claims in without:
            await place.refused(issuer.token(**claims, **organization))
        assert caplog.text.count("has no claim realm_access.roles; if none has, correct CONSENTRY_OIDC_ROLE_CLAIM") == 1
