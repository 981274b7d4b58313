"""UPSs through Network UPS Tools: a `upsd` of ours that can be as bad as it likes, and the real one where it is installed."""

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from consentry_gateway.agents.trust import Trust
from consentry_gateway.app import CollectSettings, start
from consentry_gateway.sources.nut.access import NutAccess
from consentry_gateway.sources.nut.client import MOST_BYTES
from consentry_gateway.sources.nut.source import NutSource
from consentry_gateway.sources.polling import Reports
from support.agents import MADE_UP, told
from support.asking import Asked
from support.certificates import Certificates, fingerprint_of, server_context
from support.clocks import FakeClock
from support.publishing import ScriptedService
from support.publishing import serving as serving_devices
from support.upsd import UPS, Upsd, serving

PASSWORD = "s3cret upsd"


@contextlib.asynccontextmanager
async def asking(port: int, access: NutAccess | None = None, *, host: str = "127.0.0.1") -> AsyncIterator[Asked]:
    """The gateway's side."""
    reports = Reports(FakeClock())
    source = NutSource(FakeClock(), reports=reports, timeout=5)
    try:
        yield Asked("nut", source, reports, access or NutAccess("rack-3"), port, host=host)
    finally:
        await source.close()


@pytest.fixture
async def upsd() -> AsyncIterator[Upsd]:
    async with serving(Upsd()) as upsd:
        yield upsd


async def test_all_that_is_read_of_a_ups(upsd: Upsd) -> None:
    async with asking(upsd.port) as it:
        assert told(await it.poll()) == (MADE_UP / "nut-5px.expected").read_text(encoding="utf-8")
        await it.poll()
    assert (upsd.connections, upsd.heard) == (1, ["LIST VAR rack-3"] * 2)  # and nothing logs in


async def test_the_only_ups_need_not_be_named_and_one_of_several_must_be(upsd: Upsd) -> None:
    async with asking(upsd.port, NutAccess()) as it:
        assert (await it.poll()).device.serial_number == UPS["device.serial"]
        upsd.upses["other"] = dict(UPS)
        assert not (await it.poll()).reachable


async def test_a_pdu_is_one(upsd: Upsd) -> None:
    upsd.upses["rack-3"] = {
        "device.type": "pdu", "driver.name": "snmp-ups", "device.model": "ePDU", "input.realpower": "1200",
        "ambient.1.name": "Door", "ambient.1.temperature": "41.5", "ambient.1.temperature.high": "40", "ups.status": "OL",
    }  # fmt: skip
    async with asking(upsd.port) as it:
        poll = await it.poll()
        assert [(device.type.value, device.display_name) for device in poll.devices] == [
            ("rack_pdu", "ePDU"), ("environmental_sensor", "Door"),
        ]  # fmt: skip
        assert await it.alarms() == ["it-probe-1: High Temperature"]


async def test_what_the_flags_of_its_status_say_is_raised_and_cleared(upsd: Upsd) -> None:
    variables = upsd.upses["rack-3"]
    async with asking(upsd.port) as it:
        for status, expected in [
            ("OL CHRG", []),
            ("OB DISCHRG", ["Power Failure"]),
            ("OB DISCHRG LB", ["Low Battery", "Power Failure"]),
            ("WAIT", ["Low Battery", "Power Failure"]),  # a driver that does not know yet
            ("", ["Low Battery", "Power Failure"]),
            ("FSD OB LB", ["Low Battery", "Power Failure", "Shutdown Imminent"]),
            ("WAIT", ["Low Battery", "Power Failure", "Shutdown Imminent"]),
            ("OL CHRG RB", ["Replace Battery"]),
            ("", ["Replace Battery"]),
            ("OL OVER", ["Overload"]),
            ("WAIT", ["Overload"]),
            ("OL BYPASS", ["On Bypass"]),
            ("OFF", ["Output Off"]),
            ("ALARM OL", ["UPS Alarm"]),
            ("OL BOOST", []),
            ("OL CAL", []),
        ]:
            variables["ups.status"] = status
            assert await it.alarms() == [f"it: {label}" for label in expected], status
        variables["ups.alarm"] = "Fan failure!"
        assert await it.alarms() == ["it: Fan failure!"]
        del variables["ups.alarm"]
        assert await it.alarms() == []
        assert (await it.values())["battery.calibration"] == "yes"


async def test_what_nobody_can_believe_is_no_reading_and_what_is_odd_is_read(upsd: Upsd) -> None:
    variables = upsd.upses["rack-3"]
    variables |= {"battery.charge": "-1", "ups.temperature": "655.35", "ups.load": "nan", "input.voltage": "1e999"}
    variables |= {"device.model": 'Büro \\"A\\"', "ups.test.result": "Whatever", "ups.realpower": "0"}
    async with asking(upsd.port) as it:
        values = await it.values()
        assert not {"battery.charge", "ups.temperature", "ups.load", "input.voltage", "ups.test.result"} & values.keys()
        assert values["ups.realpower"] == 0
        assert (await it.poll()).device.model_name == 'Büro "A"'


REFUSALS = [
    ({"refuse": "DATA-STALE"}, "it has heard nothing of the UPS for a while"),
    ({"refuse": "DRIVER-NOT-CONNECTED"}, "its driver for the UPS does not run"),
    ({"refuse": "ACCESS-DENIED"}, "it refuses this user and password, or this gateway's address"),
    ({"refuse": "MADE-UP"}, "it answers MADE-UP"),
    ({"upses": {}}, "it knows no UPS of this name"),
    ({"say": b"220 mail.example ESMTP\n"}, "what it says is not the protocol of upsd"),
    ({"say": b"\xff\xfe\n"}, "what it says is not the protocol of upsd"),
    ({"say": b"BEGIN LIST VAR rack-3\nVAR rack-3\nEND LIST VAR rack-3\n"}, "what it says is not the protocol of upsd"),
    ({"say": b"x" * (3 * MOST_BYTES)}, "what it says is not the protocol of upsd"),
    ({"say": b"BEGIN LIST VAR rack-3\n" + b"VAR rack-3 a.b \"c\"\n" * MOST_BYTES}, "what it says is not the protocol of upsd"),
]  # fmt: skip


@pytest.mark.parametrize(("bad", "reason"), REFUSALS, ids=lambda each: str(each)[:40])
async def test_why_there_is_no_answer_is_told_once_in_words(
    upsd: Upsd, bad: dict[str, object], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    for name, value in bad.items():
        setattr(upsd, name, value)
    async with asking(upsd.port) as it:
        for _ in range(3):
            assert not (await it.poll()).reachable
        told = [record.getMessage() for record in caplog.records]
        assert told == [f"agent device=it silent: 127.0.0.1 port {upsd.port}: {reason}"]
        upsd.refuse, upsd.say, upsd.upses = "", None, {"rack-3": UPS}
        assert (await it.poll()).reachable


async def test_a_wrong_password_is_told_and_shown_nowhere(upsd: Upsd, caplog: pytest.LogCaptureFixture) -> None:
    """By a upsd that looks at it. The one of NUT takes any, and looks when somebody logs in, which the gateway does not."""
    caplog.set_level("DEBUG")
    upsd.password = PASSWORD
    async with asking(upsd.port, NutAccess("rack-3", "monitor", "wr0ng")) as it:
        for _ in range(3):
            assert not (await it.poll()).reachable
        assert "refuses this user and password" in caplog.text
        await upsd.cut()  # nothing is left open
    async with asking(upsd.port, NutAccess("rack-3", "monitor", PASSWORD)) as it:
        assert (await it.poll()).reachable
        assert PASSWORD not in repr(it.agent)
    assert not {word for word in ("wr0ng", PASSWORD, "monitor") if word in caplog.text}


async def test_it_goes_and_comes_back(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    upsd = Upsd()
    async with serving(upsd), asking(upsd.port) as it:
        first = await it.poll()
        await upsd.cut()  # only the connection ends
        assert (await it.poll()).reachable
    async with asking(upsd.port) as it:
        async with serving(upsd):
            first = await it.poll()
        gone = await it.poll()
        assert (gone.reachable, gone.devices[0], gone.readings) == (False, first.devices[0], ())
        assert await it.alarms() == ["it: Device Communication Alert"]
        assert f"silent: 127.0.0.1 port {upsd.port}: nobody listens" in caplog.text
        async with serving(upsd):
            assert await it.alarms() == []
        assert "silent: over" in caplog.text


async def test_an_answer_that_ends_within_itself_is_none(upsd: Upsd) -> None:
    async with asking(upsd.port) as it:
        upsd.say = b'BEGIN LIST VAR rack-3\nVAR rack-3 battery.charge "1"\n'
        asked = asyncio.create_task(it.poll())
        for connection in (1, 2):  # it is asked again, once
            while upsd.connections < connection or upsd.heard.count("LIST VAR rack-3") < connection:  # noqa: ASYNC110 - a turn
                await asyncio.sleep(0)
            await upsd.cut()
        assert not (await asked).reachable


async def test_a_name_without_an_address_is_told(caplog: pytest.LogCaptureFixture) -> None:
    async with asking(3493, host="no-such-host.invalid") as it:
        assert not (await it.poll()).reachable
    assert "there is no address of this name" in caplog.text


async def test_tls_is_begun_before_the_password_is_said(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    certificate, key = certificates.loopback()
    async with serving(Upsd(password=PASSWORD, tls=server_context(certificate, key))) as upsd:
        for trust in (Trust(certificates.ca), Trust(fingerprint=fingerprint_of(certificate)), Trust(insecure=True)):
            async with asking(upsd.port, NutAccess("rack-3", "monitor", PASSWORD, trust)) as it:
                assert told(await it.poll()) == (MADE_UP / "nut-5px.expected").read_text(encoding="utf-8")
            assert [line.split()[0] for line in upsd.heard] == ["STARTTLS", "USERNAME", "PASSWORD", "LIST"]
            upsd.heard.clear()


async def test_without_the_tls_that_was_asked_for_nothing_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    certificates = Certificates(tmp_path)
    certificate, key = certificates.loopback()
    wrong = Trust(Certificates(tmp_path / "other").ca)
    for upsd, trust, reason in [
        (Upsd(), Trust(certificates.ca), "it has no TLS"),
        (Upsd(tls=server_context(certificate, key)), wrong, "TLS fails: CERTIFICATE_VERIFY_FAILED"),
        (Upsd(tls=server_context(certificate, key)), Trust(fingerprint=bytes(32)), "not the one of the fingerprint"),
        (Upsd(tls=server_context(certificate, key), eager=b"OK\n" * 9), Trust(certificates.ca), "not the protocol of upsd"),
    ]:
        async with serving(upsd), asking(upsd.port, NutAccess("rack-3", "monitor", PASSWORD, trust)) as it:
            assert not (await it.poll()).reachable
        assert reason in caplog.text
        assert not any("monitor" in line or "LIST" in line for line in upsd.heard)


REAL = shutil.which("upsd", path=f"/lib/nut:/usr/lib/nut:/usr/libexec/nut:{os.environ.get('PATH', '')}:/usr/sbin")
DRIVER = shutil.which("dummy-ups", path="/lib/nut:/usr/lib/nut:/usr/libexec/nut:/usr/lib/ups/driver")


@pytest.fixture
def real_upsd(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """The real one with the driver dummy-ups: its port, and the file with the variables of its UPS."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    device = tmp_path / "rack-3.dev"
    said = {**UPS, "ups.model": UPS["device.model"]}  # its driver takes the model from there
    device.write_text("".join(f"{name}: {value}\n" for name, value in said.items() if not name.startswith("driver.")))
    (tmp_path / "nut.conf").write_text("MODE=standalone\n")
    (tmp_path / "ups.conf").write_text(f"[rack-3]\n driver = dummy-ups\n port = {device}\n pollinterval = 1\n")
    (tmp_path / "upsd.conf").write_text(f"LISTEN 127.0.0.1 {port}\n")
    (tmp_path / "upsd.users").write_text("[monitor]\n password = right\n upsmon secondary\n")
    user = ["-u", "root"] if os.geteuid() == 0 else []
    environment = os.environ | {name: str(tmp_path) for name in ("NUT_CONFPATH", "NUT_STATEPATH", "NUT_ALTPIDPATH")}
    with (tmp_path / "log").open("wb") as log:
        processes = [
            subprocess.Popen([str(program), *user, "-F", *more], env=environment, stdout=log, stderr=log, cwd=tmp_path)
            for program, more in ((DRIVER, ["-a", "rack-3"]), (REAL, []))
        ]
    try:
        yield port, device
    finally:
        for process in processes:
            process.terminate()
            process.wait(10)


@pytest.mark.slow
@pytest.mark.skipif(REAL is None or DRIVER is None, reason="nut-server is not installed")
async def test_the_real_one_is_read_likewise(real_upsd: tuple[int, Path]) -> None:
    """What our upsd says is what the real one says, a wrong password included, which it does not look at."""
    port, device = real_upsd
    async with asking(port, NutAccess("", "monitor", "wrong, and nobody looks at it")) as it, asyncio.timeout(30):
        while (await it.values()).get("output.status") != "online":  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.1)  # until it listens, and its driver has read its file
        assert told(await it.poll()) == (MADE_UP / "nut-5px.expected").read_text(encoding="utf-8")
        assert await it.alarms() == []
        device.write_text(device.read_text().replace("OL CHRG", "OB DISCHRG LB"))
        os.utime(device, (1, 1))
        while await it.alarms() != ["it: Low Battery", "it: Power Failure"]:  # noqa: ASYNC110 - likewise
            await asyncio.sleep(0.1)  # until the driver has looked at its file again


async def test_it_goes_the_whole_way_to_the_service(upsd: Upsd, tmp_path: Path) -> None:
    """Read, judged, put on disk and published, beside an agent of another source that does not answer."""
    service = ScriptedService()
    (tmp_path / "agents.toml").write_text(
        f'[[agents]]\nid = "ups"\nsource = "nut"\nhost = "127.0.0.1"\nport = {upsd.port}\nups = "rack-3"\n'
        '[[agents]]\nid = "meter"\nsource = "modbus"\nhost = "127.0.0.1"\nport = 1\nmap = "schneider-pm5000"\n'
        '[[agents]]\nid = "server"\nsource = "redfish"\nhost = "127.0.0.1"\nport = 1\n'
    )
    upsd.upses["rack-3"]["ups.status"] = "OB DISCHRG"
    async with serving_devices(service) as address, asyncio.timeout(20):
        settings = CollectSettings(
            devices=address, token="ct_made_up", customer="customers/north", gateway="hall", interval=0.2,
            data_dir=tmp_path / "gateway", agents=tmp_path / "agents.toml", unreachable_after=2,
        )  # fmt: skip
        gateway = await start(settings)
        try:
            await service.committed_count(1)
            while len(labels := {alarm.label for frame in service.frames() for alarm in frame.alarms}) < 2:
                await service.committed_count(len(service.frames()) + 1)
        finally:
            await gateway.stop()
    assert labels == {"Power Failure", "Device Communication Alert"}
    devices = {device.name: device.model_name for frame in service.frames() for device in frame.inventory.devices}
    assert devices["customers/north/devices/ups"] == UPS["device.model"]
    assert {"customers/north/devices/meter", "customers/north/devices/server"} <= devices.keys()
    assert any(frame.telemetry for frame in service.frames())
