"""A service's token in bad hands: what its holder can say to the authority, and what that does to others."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from consentry.authority.v1 import consent_pb2, enforcement_pb2, tokens_pb2
from consentry.authority.v1.data_class_pb2 import DATA_CLASS_TELEMETRY
from consentry.authority.v1.enforcement_pb2 import AccessCount, FollowRequest, ReportAccessesRequest
from consentry_core.protocol.times import to_timestamp
from consentry_core.rpc.client.channels import bearer
from consentry_core.values.clock import SECOND
from consentry_rule import Instant
from support.authority import RunningAuthority, running_authority
from support.clocks import START, FakeClock
from support.pair import PATIENCE
from support.refusals import Refusal, refusal_of

INCARNATION = "incarnation-0123456789"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def authority(tmp_path: Path, clock: FakeClock) -> AsyncIterator[RunningAuthority]:
    async with running_authority(tmp_path, clock=clock) as running:
        await running.partner("acme")
        await running.valid_customer("north", "acme")
        yield running


async def another_service(authority: RunningAuthority, **fields: Any) -> str:
    """The secret of another service's token."""
    request = tokens_pb2.CreateTokenRequest(role=tokens_pb2.Token.ROLE_SERVICE, audience="other", **fields)
    return (await authority.tokens.CreateToken(request, metadata=bearer(authority.operator))).secret


async def follow(
    authority: RunningAuthority, *, incarnation: str = INCARNATION, service: str = "test", secret: str = ""
) -> Any:
    """A stream on which a lease was asked for, and granted."""
    call: Any = authority.enforcement.Follow(metadata=bearer(secret or authority.service))
    await call.write(FollowRequest(hello=FollowRequest.Hello(incarnation=incarnation, service=service)))
    await renew(call)
    return call


async def renew(call: Any) -> None:
    """Ask for a lease, and wait until it is granted."""
    await call.write(FollowRequest(renewal=FollowRequest.Renewal(stamp_nano=1)))
    async with asyncio.timeout(PATIENCE):
        while not (await call.read()).HasField("lease"):
            pass


async def refused(call: Any) -> Refusal:
    """How a stream ends."""
    async with asyncio.timeout(PATIENCE):
        return await refusal_of(_to_its_end(call))


async def _to_its_end(call: Any) -> None:
    while await call.read():
        pass


def at(seconds: float) -> Instant:
    return Instant(START + round(seconds * SECOND))


async def report(authority: RunningAuthority, *counts: AccessCount, end: float = 10, secret: str = "", **fields: Any) -> None:
    said: dict[str, Any] = {"incarnation": INCARNATION, "service": "test", "number": 1, **fields}
    request = ReportAccessesRequest(counts=counts, start_time=to_timestamp(at(0)), end_time=to_timestamp(at(end)), **said)
    await authority.enforcement.ReportAccesses(request, metadata=bearer(secret or authority.service))


async def told(authority: RunningAuthority) -> consent_pb2.ListAccessesResponse:
    metadata = bearer(await authority.admin("customers/north"))
    return await authority.consents.ListAccesses(consent_pb2.ListAccessesRequest(parent="customers/north"), metadata=metadata)


async def test_nobody_is_told_the_name_by_which_an_enforcement_point_speaks(
    authority: RunningAuthority, clock: FakeClock
) -> None:
    """Who knows it can acknowledge and leave in its place; receipts, and what was not reported, go to many."""
    guard = await follow(authority)
    metadata = bearer(await authority.admin("customers/north"))
    request = consent_pb2.RevokeConsentRequest(customer="customers/north", partner="partners/acme")
    request.enforcement_timeout.SetInParent()
    receipt = (await authority.consents.RevokeConsent(request, metadata=metadata)).enforcement
    clock.advance(100)
    points = await authority.enforcement.ListEnforcementPoints(
        enforcement_pb2.ListEnforcementPointsRequest(), metadata=bearer(authority.operator)
    )
    unreported = (await told(authority)).unreported_intervals
    shown = {receipt.points[0].name, points.enforcement_points[0].name, unreported[0].enforcement_point}
    assert len(shown) == 1, "one name wherever it is shown"
    assert INCARNATION not in shown.pop()
    guard.cancel()


async def hello(authority: RunningAuthority, secret: str) -> Any:
    """A stream on which nothing but a hello and a farewell is said."""
    call: Any = authority.enforcement.Follow(metadata=bearer(secret))
    await call.write(FollowRequest(hello=FollowRequest.Hello(incarnation=INCARNATION, service="test")))
    await call.write(FollowRequest(farewell=FollowRequest.Farewell()))
    return call


async def test_a_service_says_nothing_in_the_place_of_another_ones_enforcement_point(authority: RunningAuthority) -> None:
    """Its name stands in the database. A farewell for it would have a revocation ENFORCED while it goes on serving."""
    victim = await follow(authority)
    thief = await another_service(authority)
    answer = await refused(await hello(authority, thief))
    assert (answer.code, answer.reason) == (grpc.StatusCode.PERMISSION_DENIED, "NOT_YOUR_INCARNATION")
    assert (await refusal_of(report(authority, secret=thief, last=True))).reason == "NOT_YOUR_INCARNATION"
    request = consent_pb2.RevokeConsentRequest(customer="customers/north", partner="partners/acme")
    request.enforcement_timeout.FromMilliseconds(50)
    metadata = bearer(await authority.admin("customers/north"))
    enforcement = (await authority.consents.RevokeConsent(request, metadata=metadata)).enforcement
    assert enforcement.state == enforcement_pb2.Enforcement.STATE_PENDING
    victim.cancel()


async def test_an_enforcement_point_stays_its_tokens_when_it_has_gone(authority: RunningAuthority) -> None:
    thief = await another_service(authority)
    await _to_its_end(await hello(authority, authority.service))
    assert (await refused(await hello(authority, thief))).reason == "NOT_YOUR_INCARNATION"
    assert (await refusal_of(report(authority, secret=thief))).reason == "NOT_YOUR_INCARNATION"
    await report(authority)


async def test_an_enforcement_point_stays_its_tokens_after_a_restart(tmp_path: Path) -> None:
    async with running_authority(tmp_path) as authority:
        (await follow(authority)).cancel()
        thief = await another_service(authority)
    async with running_authority(tmp_path) as authority:
        assert (await refused(await hello(authority, thief))).reason == "NOT_YOUR_INCARNATION"
        await _to_its_end(await hello(authority, authority.service))


async def test_only_what_was_told_can_be_acknowledged(authority: RunningAuthority) -> None:
    """Whoever acknowledged the changes of tomorrow would hold up no barrier any more."""
    epoch = (await authority.store.read(lambda view: view.facts.head())).epoch
    for revision in ((epoch, 1_000), (epoch, 2**64 - 1), ("another", 1), ("x" * 100_000, 1)):
        guard = await follow(authority, incarnation=f"{INCARNATION}-{revision[0][:10]}-{revision[1]}")
        said = FollowRequest.Acknowledgement(revision=enforcement_pb2.Revision(epoch=revision[0], number=revision[1]))
        await guard.write(FollowRequest(acknowledgement=said))
        answer = await refused(guard)
        assert (answer.code, answer.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ("acknowledgement.revision",))


@pytest.mark.parametrize("fields", [{"incarnation": "x" * 101}, {"incarnation": "x" * 15}, {"service": "x" * 101}], ids=str)
async def test_names_are_of_a_length_that_receipts_have_room_for(authority: RunningAuthority, fields: dict[str, str]) -> None:
    call: Any = authority.enforcement.Follow(metadata=bearer(authority.service))
    said = {"incarnation": INCARNATION, "service": "test", **fields}
    hello = FollowRequest.Hello(incarnation=said["incarnation"], service=said["service"])
    await call.write(FollowRequest(hello=hello))
    assert (await refused(call)).code is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_service_that_is_limited_to_partners_reports_of_their_keys_only(authority: RunningAuthority) -> None:
    """Or it could tell customers that anybody has read their data."""
    secret = await another_service(authority, partners=["partners/acme"])
    counts = [
        AccessCount(
            key=f"partners/{partner}/keys/k1", customer="customers/north", data_class=DATA_CLASS_TELEMETRY,
            hour=to_timestamp(at(0)), messages=1, readings=1_000_000,
        )
        for partner in ("acme", "rival")
    ]  # fmt: skip
    answer = await refusal_of(report(authority, *counts, secret=secret))
    assert (answer.code, answer.reason) == (grpc.StatusCode.PERMISSION_DENIED, "KEY_OUT_OF_REACH")
    assert not (await told(authority)).accesses
    await report(authority, counts[0], secret=secret)
    (access,) = (await told(authority)).accesses
    assert access.key == "partners/acme/keys/k1"


async def test_made_up_numbers_leave_the_customers_log_readable(authority: RunningAuthority) -> None:
    """Thousands of the largest there are: more than fits into the 64 bits of a column, and of a sum."""
    count = AccessCount(
        key="partners/acme/keys/k1", customer="customers/north", data_class=DATA_CLASS_TELEMETRY, hour=to_timestamp(at(0)),
        messages=2**50, readings=2**50, bytes=2**50, devices=2**50, refusals=2**50,
    )  # fmt: skip
    for number in range(1, 7):
        await report(authority, *[count] * 500, number=number)
    for other in range(3):
        await report(authority, *[count] * 500, incarnation=f"{INCARNATION}-{other}")
    (access,) = (await told(authority)).accesses
    assert access.bytes > 2**62


async def test_who_goes_on_serving_after_its_last_report_shows(authority: RunningAuthority, clock: FakeClock) -> None:
    guard = await follow(authority)
    await report(authority, last=True)
    clock.advance(40)
    assert not (await told(authority)).unreported_intervals
    for _ in range(3):
        clock.advance(20)
        await renew(guard)
    (interval,) = (await told(authority)).unreported_intervals
    assert (interval.start_time, interval.HasField("end_time")) == (to_timestamp(at(10)), False)
    guard.cancel()


async def test_nobody_reports_for_a_time_to_come(authority: RunningAuthority, clock: FakeClock) -> None:
    """It would never be seen to have fallen silent."""
    guard = await follow(authority)
    assert (await refusal_of(report(authority, end=61))).code is grpc.StatusCode.UNAVAILABLE
    clock.advance(100)
    assert (await told(authority)).unreported_intervals
    await report(authority, end=101)
    assert not (await told(authority)).unreported_intervals
    guard.cancel()
