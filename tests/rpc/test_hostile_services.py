"""One service's token in bad hands, used as fast as it goes: what it is refused, and that nobody else waits for it."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from consentry.authority.v1 import consent_pb2, enforcement_pb2, keys_pb2, tokens_pb2
from consentry.authority.v1.data_class_pb2 import DATA_CLASS_TELEMETRY
from consentry.authority.v1.enforcement_pb2 import AccessCount, FollowRequest, ReportAccessesRequest
from consentry_authority.enforcement.barriers import point_name
from consentry_authority.rpc import following
from consentry_core.protocol.follow import NAMES_AT_ONCE
from consentry_core.protocol.times import from_timestamp, to_timestamp
from consentry_core.rpc.client.channels import bearer
from consentry_core.values.clock import SECOND
from consentry_rule import Instant
from support.authority import RunningAuthority, running_authority
from support.clocks import START, FakeClock
from support.pair import PATIENCE
from support.refusals import Refusal, refusal_of

PACE = 1.25
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
HONEST = "honest-0123456789abcdef"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is refused is told so at once."""
    monkeypatch.setattr(following, "_TURNED_AWAY_AFTER", 0)


@pytest.fixture
async def authority(tmp_path: Path, clock: FakeClock) -> AsyncIterator[RunningAuthority]:
    async with running_authority(tmp_path, clock=clock, members_per_token=3) as running:
        await running.partner("acme")
        await running.valid_customer("north", "acme")
        yield running


async def another_service(authority: RunningAuthority) -> str:
    """The secret of another service's token."""
    request = tokens_pb2.CreateTokenRequest(role=tokens_pb2.Token.ROLE_SERVICE, audience="other")
    return (await authority.tokens.CreateToken(request, metadata=bearer(authority.operator))).secret


async def opened(authority: RunningAuthority, incarnation: str, secret: str = "", *more: FollowRequest) -> Any:
    """A stream on which hello was said, and more."""
    call: Any = authority.enforcement.Follow(metadata=bearer(secret or authority.service))
    await call.write(FollowRequest(hello=FollowRequest.Hello(incarnation=incarnation, service="test")))
    for message in more:
        await call.write(message)
    return call


def renewal(stamp: int = 1) -> FollowRequest:
    return FollowRequest(renewal=FollowRequest.Renewal(stamp_nano=stamp))


async def told(call: Any) -> enforcement_pb2.FollowResponse:
    async with asyncio.timeout(PATIENCE):
        response: enforcement_pb2.FollowResponse = await call.read()
    return response


async def lease(call: Any) -> int:
    """The stamp of the next lease."""
    while True:
        response = await told(call)
        if response.HasField("lease"):
            return response.lease.stamp_nano


async def refused(call: Any) -> Refusal:
    """How a stream ends."""

    async def to_its_end() -> None:
        while await call.read():
            pass

    async with asyncio.timeout(PATIENCE):
        return await refusal_of(to_its_end())


async def member(authority: RunningAuthority, number: int, secret: str = "") -> Any:
    call = await opened(authority, f"incarnation-{number:08}", secret, renewal())
    await lease(call)
    return call


# Renewals


async def test_who_renews_as_fast_as_it_can_is_granted_a_lease_now_and_then(
    authority: RunningAuthority, clock: FakeClock
) -> None:
    """Each is a write that goes before others'. The newest one counts, once it is due."""
    guard = await opened(authority, HONEST, "", renewal(1))
    assert await lease(guard) == 1
    before = await leases(authority)
    for stamp in range(2, 200):
        await guard.write(renewal(stamp))
    await guard.write(FollowRequest(acknowledgement=FollowRequest.Acknowledgement()))
    assert (await refused(guard)).fields == ("acknowledgement.revision",), "all that was said before it has been taken"
    assert await leases(authority) == before
    guard = await opened(authority, HONEST, "", renewal(200))
    clock.advance(PACE)
    await guard.write(renewal(201))
    granted, due = await lease(guard), 1
    if granted == 200:  # taken only once the clock had moved, and due at once: the next one is not
        clock.advance(PACE)
        granted, due = await lease(guard), 2
    assert granted == 201
    assert await leases(authority) == before + due
    guard.cancel()


async def leases(authority: RunningAuthority) -> int:
    """How many were granted."""

    def count(connection: Any) -> int:
        return int(connection.exec_driver_sql("SELECT coalesce(sum(leases), 0) FROM members").scalar_one())

    return await authority.store.read_aside(count)


async def test_who_reconnects_has_its_next_lease_when_it_is_due_and_its_former_stream_ends(
    authority: RunningAuthority, clock: FakeClock
) -> None:
    """Its former connection may be dead without anybody knowing: it must not count against it."""
    former = await opened(authority, HONEST, "", renewal(1))
    assert await lease(former) == 1
    guard = await opened(authority, HONEST, "", renewal(2))
    answer = await refused(former)
    assert (answer.code, answer.reason) == (grpc.StatusCode.UNAVAILABLE, "FOLLOWED_ANEW")
    clock.advance(PACE)  # before a lease that lasts for four of these is over
    assert await lease(guard) == 2
    guard.cancel()


# Streams and members


async def test_a_token_has_so_many_enforcement_points_and_others_are_not_concerned(authority: RunningAuthority) -> None:
    points = [await member(authority, number) for number in range(3)]
    answer = await refused(await opened(authority, "incarnation-of-one-more"))
    assert (answer.code, answer.reason, answer.retry_after) == (EXHAUSTED, "MEMBERS_EXCEEDED", 5)
    assert "--members-per-token" in answer.message
    others = [await member(authority, number, await another_service(authority)) for number in range(10, 12)]
    for call in (*points, *others):
        call.cancel()


async def test_streams_that_say_nothing_count_too(authority: RunningAuthority) -> None:
    silent = [authority.enforcement.Follow(metadata=bearer(authority.service)) for _ in range(7)]
    refusals = [asyncio.create_task(refused(call)) for call in silent]
    (first, *more), _ = await asyncio.wait(refusals, return_when=asyncio.FIRST_COMPLETED, timeout=PATIENCE)
    assert (first.result().code, first.result().reason, more) == (EXHAUSTED, "MEMBERS_EXCEEDED", [])
    for task in refusals:
        task.cancel()
    for call in silent:
        call.cancel()


async def test_new_incarnations_without_end_are_refused_and_known_ones_come_back(authority: RunningAuthority) -> None:
    """What is written of each is kept for a year: hello and hang up, or farewell, or a report, in a loop."""
    farewell = FollowRequest(farewell=FollowRequest.Farewell())
    for number in range(6):
        call = await opened(authority, f"incarnation-{number:08}", "", farewell)
        while await call.read():
            pass
    answer = await refused(await opened(authority, "incarnation-of-one-more", "", farewell))
    assert (answer.code, answer.reason) == (EXHAUSTED, "INCARNATIONS_EXCEEDED")
    assert answer.retry_after
    assert (await refusal_of(report(authority, "incarnation-of-one-more"))).reason == "INCARNATIONS_EXCEEDED"
    (await member(authority, 0)).cancel()
    (await member(authority, 17, await another_service(authority))).cancel()


# What is said on a stream


@pytest.mark.parametrize("said", ["interest", "forget", "uses", "proofs"])
async def test_a_message_holds_only_so_much(authority: RunningAuthority, said: str) -> None:
    names = [f"customers/c{number:04}/consents/acme" for number in range(NAMES_AT_ONCE + 1)]
    message = {
        "interest": FollowRequest(interest=FollowRequest.Interest(number=1, names=names)),
        "forget": FollowRequest(forget=FollowRequest.Forget(names=names)),
        "uses": FollowRequest(uses=FollowRequest.Uses(uses=[FollowRequest.Uses.Use(secret_id=name) for name in names])),
        "proofs": FollowRequest(proofs=FollowRequest.Proofs(proofs=[FollowRequest.Proofs.Proof(proof=b"x")] * len(names))),
    }[said]
    answer = await refused(await opened(authority, HONEST, "", message))
    assert (answer.code, answer.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "TOO_MANY")


async def test_a_message_has_only_so_many_bytes(authority: RunningAuthority) -> None:
    message = FollowRequest(forget=FollowRequest.Forget(names=["x" * 300_000]))
    answer = await refused(await opened(authority, HONEST, "", message))
    assert (answer.code, answer.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "MESSAGE_TOO_LARGE")


@pytest.mark.alone
async def test_one_tokens_interests_hold_up_neither_anothers_lease_nor_a_revocation(tmp_path: Path, clock: FakeClock) -> None:
    """All that they make the authority read waits in that token's lane; of the threads that read it has one."""
    async with running_authority(tmp_path, clock=clock) as authority:
        await authority.partner("acme")
        await authority.valid_customer("north", "acme")
        key = await authority.key("acme", keys_pb2.Key.KIND_ALL_CUSTOMERS)
        hostile, order, go_on = await another_service(authority), list[str](), threading.Event()
        verify = enforcement_pb2.VerifyCredentialRequest(secret=key.secret)
        verified = await authority.enforcement.VerifyCredential(verify, metadata=bearer(hostile))
        proof = FollowRequest.Proofs.Proof(credential=verified.credential, proof=verified.proof)
        honest = await opened(authority, HONEST)
        await told(honest)
        streams = []
        for number in range(20):
            names = [f"customers/c{number:02}{each:04}/consents/acme" for each in range(NAMES_AT_ONCE)]
            interest = FollowRequest(interest=FollowRequest.Interest(number=1, names=names))
            proofs = FollowRequest(proofs=FollowRequest.Proofs(proofs=[proof]))
            streams.append(await opened(authority, f"hostile-{number:016}", hostile, proofs, interest))
        reader = authority.store._database._readers
        held = [asyncio.create_task(authority.store.read_aside(lambda _: go_on.wait(PATIENCE))) for _ in range(4)]

        async def drain(stream: Any) -> None:
            while not (response := await told(stream)).facts.interest or response.facts.more:
                pass
            order.append("hostile")

        async def renew() -> None:
            await honest.write(renewal())
            await lease(honest)
            order.append("lease")

        async def revoke() -> None:
            request = consent_pb2.RevokeConsentRequest(customer="customers/north", partner="partners/acme")
            request.enforcement_timeout.SetInParent()
            await authority.consents.RevokeConsent(request, metadata=bearer(await authority.admin("customers/north")))
            order.append("revoked")

        drained = [asyncio.create_task(drain(stream)) for stream in streams]
        async with asyncio.timeout(PATIENCE):
            while not reader._lanes:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.005)
        others = [asyncio.create_task(renew()), asyncio.create_task(revoke())]
        go_on.set()
        await asyncio.wait_for(asyncio.gather(*held, *others, *drained), PATIENCE)
        assert order.index("lease") < 10
        assert order.index("revoked") < 10
        for stream in (honest, *streams):
            stream.cancel()


async def test_a_commit_that_concerns_nobody_is_told_without_reading(tmp_path: Path, clock: FakeClock) -> None:
    """Hundreds of streams are told of every commit: its revision, which is known already."""
    async with running_authority(tmp_path, clock=clock) as authority:
        await authority.partner("acme")
        streams = [await opened(authority, f"incarnation-{number:08}") for number in range(20)]
        for stream in streams:
            await told(stream)
        reads, read = 0, authority.store.read

        async def counted(question: Any, *, lane: str | None = None) -> Any:
            nonlocal reads
            reads += 1
            return await read(question, lane=lane)

        authority.store.read = counted  # type: ignore[method-assign]
        await authority.customer("south")  # makes no change that a guard decides by
        await authority.connect("acme", "south")
        facts = [(await told(stream)).facts for stream in streams]
        assert all(not each.standings and each.revision.number for each in facts)
        assert reads < len(streams) / 2
        for stream in streams:
            stream.cancel()


# Reports


def at(seconds: float) -> Instant:
    return Instant(START + round(seconds * SECOND))


async def report(authority: RunningAuthority, incarnation: str, *, secret: str = "", **fields: Any) -> None:
    said: dict[str, Any] = {"number": 1, "start": 0, "end": 1, "counts": (), **fields}
    request = ReportAccessesRequest(
        incarnation=incarnation,
        service="test",
        number=said["number"],
        counts=said["counts"],
        start_time=to_timestamp(at(said["start"])),
        end_time=to_timestamp(at(said["end"])),
    )
    await authority.enforcement.ReportAccesses(request, metadata=bearer(secret or authority.service))


async def unreported(authority: RunningAuthority) -> list[consent_pb2.UnreportedInterval]:
    metadata = bearer(await authority.admin("customers/north"))
    request = consent_pb2.ListAccessesRequest(parent="customers/north")
    answer = await authority.consents.ListAccesses(request, metadata=metadata)
    assert answer.ByteSize() < 2**20
    return list(answer.unreported_intervals)


async def test_no_flood_of_reports_makes_what_was_not_reported_disappear(tmp_path: Path, clock: FakeClock) -> None:
    """1,101 later ones did: another service's interval, and its own."""
    async with running_authority(tmp_path, clock=clock) as authority:
        await authority.customer("north")
        honest = await another_service(authority)
        clock.advance(10_000)
        for number, start, end in ((1, 0, 10), (2, 50, 60)):
            await report(authority, HONEST, secret=honest, number=number, start=start, end=end)
        times = 22
        for incarnation in range(1_101 // (times - 1) + 1):
            clock.advance(1)  # or it would be refused
            for number in range(1, times + 1):
                await report(
                    authority, f"hostile-{incarnation:016}", number=number, start=100 + 10 * number, end=101 + 10 * number
                )
        intervals = await unreported(authority)
        (its,) = [each for each in intervals if each.enforcement_point == point_name(HONEST)]
        assert (from_timestamp(its.start_time, ""), from_timestamp(its.end_time, "")) == (at(10), at(50))
        (older,) = [each for each in intervals if not each.enforcement_point]
        assert from_timestamp(older.start_time, "") == at(111), "from the first of them on"
        assert len(intervals) <= 1_000


async def test_a_token_reports_so_much_and_no_more_and_others_go_on(authority: RunningAuthority, clock: FakeClock) -> None:
    counts = [
        AccessCount(
            key=f"partners/acme/keys/k{number}", customer="customers/north", data_class=DATA_CLASS_TELEMETRY,
            hour=to_timestamp(at(0)), messages=1,
        )
        for number in range(500)
    ]  # fmt: skip
    for number in range(1, 21):
        await report(authority, HONEST, number=number, counts=counts)
    answer = await refusal_of(report(authority, HONEST, number=21, counts=counts))
    assert (answer.code, answer.reason) == (EXHAUSTED, "REPORTS_EXCEEDED")
    assert answer.retry_after
    await report(authority, f"{HONEST}-2", secret=await another_service(authority), counts=counts)
    clock.advance(answer.retry_after)
    await report(authority, HONEST, number=21, counts=counts)
