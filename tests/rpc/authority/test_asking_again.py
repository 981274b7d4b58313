"""Who makes a call again that has done its work gets the same receipt again, whatever others have changed meanwhile.

An enforcement point that acknowledges only what it is told to keeps every change pending for as long as a test needs it.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from consentry.authority.v1 import consent_pb2, data_class_pb2, directory_pb2, enforcement_pb2, keys_pb2, tokens_pb2
from consentry_core.rpc.client.channels import bearer
from consentry_core.values.clock import SystemClock
from support.authority import PLAN_PAID, IssuedKey, RunningAuthority, running_authority
from support.members import SilentMember, silent_member
from support.refusals import refusal_of

Enforcement = enforcement_pb2.Enforcement
PENDING, ENFORCED = Enforcement.STATE_PENDING, Enforcement.STATE_ENFORCED
_Key = keys_pb2.Key
AT_ONCE = Duration()
PATIENCE = 10.0
SOON = Timestamp(seconds=int(time.time()) + 3600)
SOONER = Timestamp(seconds=int(time.time()) + 1800)
NORTH_ACME: Mapping[str, Any] = {"customer": "customers/north", "partner": "partners/acme"}


@pytest.fixture
async def authority(tmp_path: Path) -> AsyncIterator[RunningAuthority]:
    """An authority with partner acme, its valid customers north and south, and a key over both."""
    async with running_authority(tmp_path, clock=SystemClock()) as running:
        await running.partner("acme")
        await running.valid_customer("north", "acme")
        await running.valid_customer("south", "acme")
        yield running


@pytest.fixture
async def member(authority: RunningAuthority) -> AsyncIterator[SilentMember]:
    """An enforcement point, after everything else is there."""
    async with silent_member(authority) as silent:
        yield silent


async def call(authority: RunningAuthority, request: Message) -> Any:
    """Make a call as whoever may, without waiting."""
    method = type(request).__name__.removesuffix("Request")
    stub: Any = authority.directory
    who = authority.operator
    if isinstance(request, consent_pb2.GrantConsentRequest | consent_pb2.RevokeConsentRequest):
        stub, who = authority.consents, await authority.admin("customers/north")
    elif hasattr(authority.keys, method):
        stub, who = authority.keys, await authority.admin("partners/acme")
    if "enforcement_timeout" in request.DESCRIPTOR.fields_by_name:
        request.enforcement_timeout.CopyFrom(AT_ONCE)  # type: ignore[attr-defined]
    return await getattr(stub, method)(request, metadata=bearer(who))


async def receipt(authority: RunningAuthority, request: Message) -> Enforcement:
    answer = await call(authority, request)
    assert isinstance(answer.enforcement, Enforcement)
    return answer.enforcement


def revoke() -> Message:
    return consent_pb2.RevokeConsentRequest(**NORTH_ACME)


def grant(**fields: Any) -> Message:
    return consent_pb2.GrantConsentRequest(**NORTH_ACME, **fields)


def subscribe(end: Timestamp | None = None) -> Message:
    subscription = directory_pb2.Subscription(plan=PLAN_PAID, expire_time=end)
    return directory_pb2.SetSubscriptionRequest(customer="customers/north", subscription=subscription)


def cancel() -> Message:
    return directory_pb2.CancelSubscriptionRequest(customer="customers/north")


def disconnect() -> Message:
    return directory_pb2.DisconnectCustomerRequest(**NORTH_ACME)


def update(key: IssuedKey, *paths: str, **fields: Any) -> Message:
    request = keys_pb2.UpdateKeyRequest(key=_Key(name=key.name, **fields))
    request.update_mask.paths.extend(paths)
    return request


def disable(key: IssuedKey) -> Message:
    return keys_pb2.DisableKeyRequest(name=key.name)


def rehearse(*, rehearsing: bool = True) -> Message:
    return keys_pb2.SetRehearsalRequest(partner="partners/acme", rehearsing=rehearsing)


ONLY_ALARMS = {"data_classes": [data_class_pb2.DATA_CLASS_ALARMS]}
ONLY_SOUTH = {"customers": ["customers/south"]}
EVERYBODY = {"customers": ["customers/north", "customers/south"]}


@dataclass(frozen=True)
class Asked:
    """A call that takes access away; what others do then about the same subjects; and what gives that access back."""

    call: Message
    others: Sequence[Message]
    back: Sequence[Message]


def cases(listed: IssuedKey, demo: IssuedKey) -> dict[str, Asked]:
    """One of each method that takes away and can be repeated, and each field of a key that can."""
    connect = directory_pb2.ConnectCustomerRequest(**NORTH_ACME)
    enable = keys_pb2.EnableKeyRequest(name=listed.name)
    renamed = update(listed, "display_name", display_name="other")
    of_acme, of_best = {"audiences": ["acme"]}, {"audiences": ["acme", "best"]}
    return {
        "RevokeConsent": Asked(revoke(), [cancel(), disconnect()], [connect, subscribe(), grant()]),
        "GrantConsent": Asked(grant(**ONLY_ALARMS), [cancel(), subscribe()], [grant()]),
        "DisconnectCustomer": Asked(disconnect(), [cancel(), subscribe()], [connect, grant()]),
        "CancelSubscription": Asked(cancel(), [revoke(), grant(), disconnect()], [subscribe()]),
        "SetSubscription": Asked(subscribe(SOON), [revoke(), grant()], [subscribe()]),
        "DisableKey": Asked(disable(listed), [renamed, update(listed, "customers", **ONLY_SOUTH)], [enable]),
        "SetRehearsal": Asked(rehearse(), [disable(demo)], [rehearse(rehearsing=False)]),
        "UpdateKey customers": Asked(
            update(listed, "customers", **ONLY_SOUTH), [disable(listed), renamed], [update(listed, "customers", **EVERYBODY)]
        ),
        "UpdateKey expire_time": Asked(
            update(listed, "expire_time", expire_time=SOON),
            [disable(listed), update(listed, "customers", **ONLY_SOUTH)],
            [update(listed, "expire_time")],
        ),
        "UpdateKey allowed_networks": Asked(
            update(listed, "allowed_networks", allowed_networks=["127.0.0.0/8"]),
            [disable(listed), renamed],
            [update(listed, "allowed_networks")],
        ),
        "UpdateKey audiences": Asked(
            update(listed, "audiences", **of_acme), [disable(listed), renamed], [update(listed, "audiences", **of_best)]
        ),
        "UpdateKey two": Asked(
            update(listed, "customers", "expire_time", **ONLY_SOUTH, expire_time=SOON),
            [disable(listed), renamed],
            [update(listed, "expire_time")],
        ),
    }


CASES = tuple(cases(IssuedKey("", "", _Key()), IssuedKey("", "", _Key())))


@pytest.mark.parametrize("name", CASES)
async def test_asking_again_gives_the_same_receipt(authority: RunningAuthority, name: str) -> None:
    """Not that of what others have changed since; and that of the later change, when it was given back and taken again."""
    listed = await authority.key("acme", _Key.KIND_SPECIFIC_CUSTOMERS, ["north", "south"])
    demo = await authority.key("acme", _Key.KIND_DEMO)
    asked = cases(listed, demo)[name]
    async with silent_member(authority) as member:
        first = await receipt(authority, asked.call)
        assert first.state == PENDING
        assert await receipt(authority, asked.call) == first
        for other in asked.others:
            theirs = await receipt(authority, other)
            assert (theirs.state, theirs.revision != first.revision) == (PENDING, True)
        assert await receipt(authority, asked.call) == first
        await member.acknowledge(first.revision)
        async with asyncio.timeout(PATIENCE):
            while (enforced := await receipt(authority, asked.call)).state == PENDING:
                pass  # the acknowledgement is on its way
        assert (enforced.revision, len(enforced.points)) == (first.revision, 1), "whatever of the others' is pending"
        for back in asked.back:
            await call(authority, back)
        later = await receipt(authority, asked.call)
        assert (later.revision != first.revision, later.state) == (True, PENDING)
        assert await receipt(authority, asked.call) == later


async def test_a_rotation_that_is_sent_again_gives_the_same_receipt(authority: RunningAuthority) -> None:
    key = await authority.key("acme")
    rotate = keys_pb2.RotateKeyRequest(name=key.name, request_id="r-1")
    async with silent_member(authority):
        first = await receipt(authority, rotate)
        theirs = await receipt(authority, disable(key))
        assert (first.state, theirs.state) == (PENDING, PENDING)
        assert await receipt(authority, rotate) == first


async def test_a_grant_that_is_sent_again_is_answered_about_the_consent_as_it_is(authority: RunningAuthority) -> None:
    """Its own receipt, until somebody changes the consent: the answer shows the consent, and says how far that is enforced."""
    narrow = grant(**ONLY_ALARMS, request_id="r-1")
    async with silent_member(authority) as member:
        first = await receipt(authority, narrow)
        await receipt(authority, cancel())
        assert await receipt(authority, narrow) == first
        await member.acknowledge(first.revision)
        revoked = await receipt(authority, revoke())
        answer = await call(authority, narrow)
        assert answer.consent.state == consent_pb2.Consent.STATE_REVOKED
        assert (answer.enforcement, revoked.state) == (revoked, PENDING)


async def test_a_change_that_took_nothing_away_has_the_same_receipt_again(authority: RunningAuthority) -> None:
    """There was nothing left to take. What is taken away later, from the same subjects, is not its own."""
    await receipt(authority, cancel())
    first = await receipt(authority, revoke())
    assert (first.state, list(first.points)) == (ENFORCED, [])
    await receipt(authority, subscribe())
    await receipt(authority, cancel())
    assert await receipt(authority, revoke()) == first


async def test_what_was_never_otherwise_is_enforced_whatever_is_pending(
    authority: RunningAuthority, member: SilentMember
) -> None:
    """A subscription as the customer was registered with, a list as the key was created with."""
    assert member is not None
    key = await authority.key("acme", _Key.KIND_SPECIFIC_CUSTOMERS, ["south"])
    for theirs in (revoke(), disable(key)):
        assert (await receipt(authority, theirs)).state == PENDING
    for as_it_is in (subscribe(), update(key, "customers", **ONLY_SOUTH), rehearse(rehearsing=False)):
        answer = await receipt(authority, as_it_is)
        assert (answer.state, list(answer.points)) == (ENFORCED, [])


async def test_what_is_asked_besides_is_a_change_of_its_own(authority: RunningAuthority, member: SilentMember) -> None:
    """A shorter end than the one that is there: the change before it does not stand for it."""
    assert member is not None
    first = await receipt(authority, subscribe(SOON))
    second = await receipt(authority, subscribe(SOONER))
    assert (first.state, second.state, first.revision != second.revision) == (PENDING, PENDING, True)
    assert await receipt(authority, subscribe(SOONER)) == second


async def test_what_is_deleted_or_killed_gets_no_second_answer(authority: RunningAuthority, member: SilentMember) -> None:
    """There is nothing any more that could be asked about: how far it is enforced is in `GetEnforcement`."""
    assert member is not None
    key, killed = await authority.key("acme"), await authority.key("acme")
    token = await authority.token(tokens_pb2.Token.ROLE_GATEWAY, "customers/north")
    delete_token = tokens_pb2.DeleteTokenRequest(name=token.token.name, enforcement_timeout=AT_ONCE)
    revoke_secret = keys_pb2.RevokeSecretRequest(enforcement_timeout=AT_ONCE)
    operator = bearer(authority.operator)
    for ask, code in (
        (lambda: call(authority, keys_pb2.DeleteKeyRequest(name=key.name)), grpc.StatusCode.NOT_FOUND),
        (lambda: authority.tokens.DeleteToken(delete_token, metadata=operator), grpc.StatusCode.NOT_FOUND),
        (lambda: authority.keys.RevokeSecret(revoke_secret, metadata=bearer(killed.secret)), grpc.StatusCode.UNAUTHENTICATED),
    ):
        first = (await ask()).enforcement
        assert first.state == PENDING
        assert (await refusal_of(ask())).code == code
        asked = enforcement_pb2.GetEnforcementRequest(revision=first.revision)
        assert (await authority.enforcement.GetEnforcement(asked, metadata=operator)).enforcement == first
