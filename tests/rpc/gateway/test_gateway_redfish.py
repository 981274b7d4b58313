"""Redfish services, as good and as bad as they can be. `test_gateway_redfish_emulator` asks one that is not ours."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from consentry_gateway.agents.trust import Trust
from consentry_gateway.reading.model import DeviceId
from consentry_gateway.sources.polling import Reports
from consentry_gateway.sources.redfish.access import RedfishAccess
from consentry_gateway.sources.redfish.session import MOST_BYTES, path_of
from consentry_gateway.sources.redfish.source import RedfishSource
from support import redfish_service
from support.agents import MADE_UP, told
from support.asking import Asked
from support.certificates import Certificates, fingerprint_of, server_context
from support.clocks import FakeClock
from support.redfish_service import PASSWORD, USER, Service, link, newer, older, raw, resource, serving

PLAIN = RedfishAccess(USER, PASSWORD, scheme="http")
THERMAL, POWER = "/Chassis/1U/Thermal", "/Chassis/1U/Power"


@contextlib.asynccontextmanager
async def asking(
    port: int,
    access: RedfishAccess = PLAIN,
    *,
    clock: FakeClock | None = None,
    on_news: Callable[[DeviceId], None] = lambda _: None,
) -> AsyncIterator[Asked]:
    """The gateway's side."""
    reports = Reports(FakeClock())
    source = RedfishSource(clock or FakeClock(), reports=reports, on_news=on_news)
    try:
        yield Asked("redfish", source, reports, access, port)
    finally:
        await source.close()


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with serving(Service()) as service:
        yield service


@pytest.mark.parametrize("resources", [older, newer])
async def test_all_that_is_read_of_a_service(
    service: Service, resources: Callable[[], dict[str, redfish_service.Json]]
) -> None:
    service.resources = resources()
    async with asking(service.port) as it:
        poll = await it.poll()
        assert told(poll) == (MADE_UP / f"redfish-{resources.__name__}.expected").read_text(encoding="utf-8")
        assert poll.complete


async def test_a_session_is_begun_once_and_again_when_it_ended_and_deleted_at_the_end(service: Service) -> None:
    async with asking(service.port) as it:
        assert (await it.poll()).reachable
        assert (await it.poll()).reachable
        assert service.begun == 1
        service.tokens.clear()  # it has run out
        poll = await it.poll()
        assert (poll.reachable, poll.complete, service.begun) == (True, True, 2)
    assert service.tokens == set()
    assert service.heard[-1] == "DELETE /redfish/v1/SessionService/Sessions/2"


async def test_without_sessions_the_password_goes_with_every_request(service: Service) -> None:
    service.basic = True
    service.resources["/"] = {name: value for name, value in service.resources["/"].items() if name != "Links"}
    async with asking(service.port) as it:
        assert told(await it.poll()) == (MADE_UP / "redfish-older.expected").read_text(encoding="utf-8")
    assert service.begun == 0


async def test_a_wrong_password_is_told_in_words_and_not_tried_at_every_poll(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    clock = FakeClock()
    async with asking(service.port, RedfishAccess(USER, "wr0ng-password", scheme="http"), clock=clock) as it:
        for _ in range(5):
            assert not (await it.poll()).reachable
        assert service.begun == 1  # the account is not locked
        told = [record.getMessage() for record in caplog.records if "silent" in record.getMessage()]
        refused = "refuses this user and password; they are tried again after some minutes"
        assert told == [f"agent device=it silent: 127.0.0.1 port {service.port} {refused}"]
        clock.advance(301)
        assert not (await it.poll()).reachable
        assert service.begun == 2
    assert "wr0ng" not in caplog.text + repr(it.agent)


async def test_a_service_that_wants_a_password_that_nobody_gave(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    async with asking(service.port, RedfishAccess(scheme="http")) as it:
        assert not (await it.poll()).reachable
    assert "wants a user and a password" in caplog.text


async def test_what_is_wrong_is_raised_and_cleared(service: Service) -> None:
    found = service.resources
    async with asking(service.port) as it:
        own = ["it-chassis-shelf: Device Alarm"]
        assert await it.alarms() == own
        found["/Chassis/Shelf"]["Status"]["Health"] = "OK"
        assert await it.alarms() == []
        for path, name, place, changes, label in [
            (THERMAL, "Temperatures", 0, {"ReadingCelsius": 61}, "High Temperature"),
            (THERMAL, "Temperatures", 2, {"ReadingCelsius": 9}, "Low Temperature"),
            (THERMAL, "Fans", 0, {"Status": {"State": "Enabled", "Health": "Critical"}}, "Device Fault"),
            (POWER, "PowerSupplies", 1, {"Status": {"State": "Enabled", "Health": "Critical"}}, "Power Supply Failed"),
            (POWER, "Voltages", 0, {"ReadingVolts": 13.5}, "Overvoltage"),
        ]:
            before = dict(found[path][name][place])
            found[path][name][place] |= changes
            assert await it.alarms() == [f"it: {label}"], label
            found[path][name][place] = before
            assert await it.alarms() == [], label
        found["/Chassis/1U"]["Status"] = {"State": "Enabled", "Health": "Critical"}
        assert await it.alarms() == ["it: Device Fault"]
        found["/Chassis/1U"]["Status"] = {"State": "Enabled", "Health": None}  # it does not say
        assert await it.alarms() == ["it: Device Fault"]


@pytest.mark.parametrize(
    "bad",
    [
        raw(b"{}", 500),
        raw(b"{}", 403),
        raw(b"", 302, {"Location": "http://127.0.0.1:1/redfish/v1/"}),
        raw(b"no json"),
        raw(b"[1]"),
        raw(b"[" * 100_000),
        raw(b'{"Temperatures": [' + b" " * MOST_BYTES + b"]}"),
        raw(b"\x1f\x8b", 200, {"Content-Encoding": "gzip"}),
    ],
    ids=["broken", "forbidden", "elsewhere", "no JSON", "no resource", "deep", "large", "packed"],
)
async def test_a_resource_that_cannot_be_read_is_unread_and_takes_nothing_else_away(
    service: Service, bad: Callable[[object], object], caplog: pytest.LogCaptureFixture
) -> None:
    service.resources[THERMAL]["Temperatures"][0]["ReadingCelsius"] = 65
    async with asking(service.port) as it:
        before = {reading.sensor.metric for reading in (await it.poll()).readings}
        raised = await it.alarms()
        service.instead[THERMAL] = bad  # type: ignore[assignment]
        poll = await it.poll()
        now = {reading.sensor.metric for reading in poll.readings}
        assert (poll.reachable, poll.complete) == (True, False)
        lost = before - now
        assert lost >= {name for name in before if "fan" in name or "temperature" in name}
        assert await it.alarms() == raised
        assert "not read: temperature: " in caplog.text
        service.instead.clear()
        assert (await it.poll()).complete


async def test_a_thermal_that_is_gone_is_gone(service: Service) -> None:
    del service.resources[THERMAL]
    async with asking(service.port) as it:
        poll = await it.poll()
        assert poll.complete
        assert not any("temperature" in reading.sensor.metric for reading in poll.readings)


async def test_no_chassis_takes_the_place_of_another(service: Service) -> None:
    """While the agent's own cannot be read, or is not there, the other one is what it was."""
    async with asking(service.port) as it:
        first = await it.poll()
        service.instead["/Chassis/1U"] = raw(b"{}", 500)
        poll = await it.poll()
        assert (poll.reachable, poll.complete, poll.readings) == (True, False, ())
        assert poll.device == first.device
        service.instead["/Chassis/1U"] = raw(b"{}", 404)
        poll = await it.poll()
        assert {reading.sensor.device for reading in poll.readings} == {"it-chassis-shelf"}
        service.instead.clear()
        assert (await it.poll()).devices == first.devices


async def test_links_lead_nowhere_else(service: Service) -> None:
    elsewhere: list[str] = []

    async def heard(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        elsewhere.append("connected")
        writer.close()

    other = await asyncio.start_server(heard, "127.0.0.1", 0)
    port = other.sockets[0].getsockname()[1]
    try:
        for target in (
            f"http://127.0.0.1:{port}/redfish/v1/Thermal",
            f"//127.0.0.1:{port}/",
            f"@127.0.0.1:{port}/",
            "/etc/passwd",
        ):
            service.resources["/Chassis/1U"]["Thermal"] = {"@odata.id": target}
            async with asking(service.port) as it:
                assert not (await it.poll()).complete
        assert elsewhere == []
        assert not any("passwd" in line for line in service.heard)
    finally:
        other.close()
        await other.wait_closed()
    assert path_of({"@odata.id": "/redfish/v1/Chassis/../../../x"}) is None
    assert path_of({"@odata.id": "/redfish/v1/Chassis/1 HTTP/1.1\r\nX: y"}) is None
    assert path_of(link("/Chassis/1")) == "/redfish/v1/Chassis/1"


async def test_a_service_without_end_is_read_to_an_end(service: Service) -> None:
    """A collection whose pages go round, with more members than anybody has, each a chassis with endless lists."""
    service.instead["/Chassis"] = resource(
        {"Members": [link("/Chassis/1U")] * 5_000, "Members@odata.nextLink": "/redfish/v1/Chassis"}
    )
    service.resources[THERMAL]["Temperatures"] = [{"Name": "CPU", "ReadingCelsius": 40}] * 5_000
    async with asking(service.port) as it:
        poll = await it.poll()
    assert len(service.heard) < 420
    assert poll.reachable
    assert len({reading.sensor.device for reading in poll.readings}) <= 16
    assert len(poll.readings) < 16 * 128 * 2


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (raw(b"{}"), "is no Redfish service"),
        (raw(b"<html>"), "is no Redfish service: its answer is no JSON"),
        (raw(b"", 301, {"Location": "/elsewhere"}), "is no Redfish service: it leads somewhere else"),
        (raw(b"", 503), "is no Redfish service: status 503"),
    ],
)
async def test_what_is_no_redfish_service_is_told(
    service: Service, answer: Callable[[object], object], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    service.instead["/"] = answer  # type: ignore[assignment]
    async with asking(service.port) as it:
        for _ in range(3):
            assert not (await it.poll()).reachable
    assert [reason in record.getMessage() for record in caplog.records if "silent" in record.getMessage()] == [True]


async def test_it_goes_and_comes_back(caplog: pytest.LogCaptureFixture) -> None:
    service = Service()
    service.resources["/Chassis/Shelf"]["Status"]["Health"] = "OK"
    async with contextlib.AsyncExitStack() as stack:
        async with serving(service):
            it = await stack.enter_async_context(asking(service.port))
            first = await it.poll()
        gone = await it.poll()
        assert (gone.reachable, gone.devices, gone.readings) == (False, first.devices, ())
        assert await it.alarms() == ["it: Device Communication Alert"]
        assert f"silent: 127.0.0.1 port {service.port}: nobody listens" in caplog.text
        service.tokens.clear()
        async with serving(service):
            assert await it.alarms() == []


async def test_an_event_is_a_hint_to_poll_now(service: Service) -> None:
    news: asyncio.Queue[DeviceId] = asyncio.Queue()
    async with asking(service.port, on_news=news.put_nowait) as it, asyncio.timeout(10):
        await it.poll()
        service.news.put_nowait(b": nothing, only to keep it open\n\n")
        service.news.put_nowait(b'id: 1\ndata: {"Events": []}\n\n')
        assert await news.get() == it.agent.device.id
        assert service.heard.count("GET /redfish/v1/EventService/SSE") == 1
        await it.poll()
        assert service.heard.count("GET /redfish/v1/EventService/SSE") == 1


async def test_a_stream_that_ended_is_opened_again_after_a_while(service: Service) -> None:
    clock = FakeClock()
    async with asking(service.port, clock=clock) as it, asyncio.timeout(10):
        for expected in (1, 1, 2):
            await it.poll()
            service.news.put_nowait(b"")  # the end
            while service.heard.count("GET /redfish/v1/EventService/SSE") < expected:  # noqa: ASYNC110 - a turn
                await asyncio.sleep(0)
            clock.advance(31)
            for _ in range(20):
                await asyncio.sleep(0)


async def test_whose_certificate_it_is_matters(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    certificates = Certificates(tmp_path)
    certificate, key = certificates.loopback()
    other = Certificates(tmp_path / "other")
    async with serving(Service(), server_context(certificate, key)) as service:
        for trust in (Trust(certificates.ca), Trust(fingerprint=fingerprint_of(certificate)), Trust(insecure=True)):
            async with asking(service.port, RedfishAccess(USER, PASSWORD, trust)) as it:
                assert (await it.poll()).reachable
        service.heard.clear()
        for trust, reason in [
            (Trust(), "its certificate is not trusted"),
            (Trust(other.ca), "its certificate is not trusted"),
            (Trust(fingerprint=bytes(32)), "its certificate is not the one of the fingerprint"),
        ]:
            async with asking(service.port, RedfishAccess(USER, PASSWORD, trust)) as it:
                assert not (await it.poll()).reachable
            assert reason in caplog.text
            caplog.clear()
        assert service.heard == []  # nothing was said to a stranger, the password least of all
    async with serving(Service()) as service, asking(service.port, RedfishAccess(USER, PASSWORD, Trust(certificates.ca))) as it:
        assert not (await it.poll()).reachable
        assert "does it speak TLS at this port?" in caplog.text


async def test_a_name_without_an_address_is_told(caplog: pytest.LogCaptureFixture) -> None:
    async with asking(443) as it:
        it.agent = replace(it.agent, host="no-such-host.invalid")
        assert not (await it.poll()).reachable
    assert "no-such-host.invalid port 443: there is no address of this name" in caplog.text
