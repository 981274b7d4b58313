"""What a customer's administrator sees of what became of its data, through both clients, against a real authority."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from consentry.authority.v1 import consent_pb2, data_class_pb2
from consentry.authority.v1.enforcement_pb2 import AccessCount, ReportAccessesRequest
from consentry_authority.enforcement.barriers import point_name
from consentry_client import Access, AsyncClient, Client, DataClass, PermissionDenied, UnreportedInterval
from consentry_core.protocol.times import to_timestamp
from consentry_core.rpc.client.channels import bearer
from consentry_core.values.clock import SECOND
from consentry_rule import Instant
from support.authority import RunningAuthority, running_authority
from support.clocks import START

NORTH, KEY = "customers/north", "partners/acme/keys/k1"
MORE_THAN_A_PAGE = 130
BEGAN = datetime.fromtimestamp(START // SECOND, UTC)


@pytest.fixture
async def authority(tmp_path: Path) -> AsyncIterator[RunningAuthority]:
    async with running_authority(tmp_path) as running:
        for partner in ("acme", "rival"):
            await running.partner(partner)
        await running.customer("north")
        await running.connect("acme", "north")
        yield running


async def both(authority: RunningAuthority, ask: Callable[[Any], Any], secret: str = "") -> Sequence[Any]:
    """The same list through both clients; by the customer's administrator unless by somebody else."""
    secret = secret or await authority.admin(NORTH)

    def without_an_event_loop() -> list[Any]:
        with Client(authority=authority.address, secret=secret) as client:
            return list(ask(client))

    async with AsyncClient(authority=authority.address, secret=secret) as client:
        found = [each async for each in ask(client)]
    assert found == await asyncio.to_thread(without_an_event_loop)
    return found


def counted(hour: int, data_class: data_class_pb2.DataClass.ValueType = data_class_pb2.DATA_CLASS_TELEMETRY) -> AccessCount:
    begin = to_timestamp(Instant(START + hour * 3600 * SECOND))
    return AccessCount(
        key=KEY, customer=NORTH, data_class=data_class, hour=begin, messages=2, readings=hour, bytes=70, devices=1, refusals=3
    )


async def grant_often(authority: RunningAuthority) -> None:
    """Each time for another purpose."""
    admin = bearer(await authority.admin(NORTH))
    for number in range(MORE_THAN_A_PAGE):
        grant = consent_pb2.GrantConsentRequest(customer=NORTH, partner="partners/acme", purpose=f"purpose {number}")
        await authority.consents.GrantConsent(grant, metadata=admin)


async def test_the_history_of_consents_is_told_over_all_pages(authority: RunningAuthority) -> None:
    await authority.connect("rival", "north")
    await grant_often(authority)
    told = await both(authority, lambda client: client.consent_events(NORTH))
    purposes = [event.purpose for event in told if event.purpose]
    assert purposes == [f"purpose {number}" for number in reversed(range(MORE_THAN_A_PAGE))], "newest first"
    assert told[-1].kind == consent_pb2.ConsentEvent.KIND_REGISTERED
    of_one = await both(authority, lambda client: client.consent_events(NORTH, partner="partners/rival"))
    assert {event.partner for event in of_one} == {"", "partners/rival"}


async def test_what_each_key_read_is_told_over_all_pages(authority: RunningAuthority) -> None:
    async def report(number: int, start: int, end: int, *counts: AccessCount, run: str = "incarnation-0123456789") -> None:
        """From one second to another; what lies between two reports is not reported."""
        request = ReportAccessesRequest(
            incarnation=run,
            service="test",
            number=number,
            start_time=to_timestamp(Instant(START + start * SECOND)),
            end_time=to_timestamp(Instant(START + end * SECOND)),
            counts=counts,
            last=number == 3,
        )
        await authority.enforcement.ReportAccesses(request, metadata=bearer(authority.service))

    refusal = counted(0, data_class_pb2.DATA_CLASS_UNSPECIFIED)
    await report(1, 0, 10, refusal)
    authority.clock.advance(MORE_THAN_A_PAGE * 3600)  # type: ignore[attr-defined]
    hours_of_another = (counted(hour) for hour in range(MORE_THAN_A_PAGE))
    await report(1, 0, MORE_THAN_A_PAGE * 3600, *hours_of_another, run="another-0123456789")
    await report(3, 50, 60)
    lost, *accesses = await both(authority, lambda client: client.accesses(NORTH))
    expected = UnreportedInterval(point_name("incarnation-0123456789"), "test", after(10), after(50))
    assert lost == expected, "first of all, and once"
    assert accesses[0] == Access(
        KEY, DataClass.TELEMETRY, BEGAN + timedelta(hours=MORE_THAN_A_PAGE - 1), 2, MORE_THAN_A_PAGE - 1, 70, 1, 3
    )
    hours = [access.hour for access in accesses if access.data_class is DataClass.TELEMETRY]
    assert hours == [BEGAN + timedelta(hours=hour) for hour in reversed(range(MORE_THAN_A_PAGE))]
    assert [access.hour for access in accesses if access.data_class is None] == [BEGAN]

    start, end = BEGAN + timedelta(hours=5), BEGAN + timedelta(hours=7)
    of_these = await both(authority, lambda client: client.accesses(NORTH, start, end, reader=KEY))
    assert [access.readings for access in of_these] == [6, 5]
    assert await both(authority, lambda client: client.accesses(NORTH, start, reader="partners/rival")) == []


def after(seconds: int) -> datetime:
    return BEGAN + timedelta(seconds=seconds)


async def test_pages_are_asked_for_as_they_are_taken(authority: RunningAuthority) -> None:
    await grant_often(authority)
    async with AsyncClient(authority=authority.address, secret=await authority.admin(NORTH)) as client:
        events = client.consent_events(NORTH)
        first = await anext(events)
        await authority.revoke("north", "acme")
        assert first.purpose == f"purpose {MORE_THAN_A_PAGE - 1}"
        rest = [event async for event in events]
    assert consent_pb2.ConsentEvent.KIND_REVOKED not in {event.kind for event in rest}, "pages go on from where they were"
    assert len(rest) >= MORE_THAN_A_PAGE - 1


@pytest.mark.parametrize("method", ["consent_events", "accesses"])
async def test_a_key_is_not_told_of_it(authority: RunningAuthority, method: str) -> None:
    key = await authority.key("acme")
    with pytest.raises(PermissionDenied):
        await both(authority, lambda client: getattr(client, method)(NORTH), key.secret)
