"""Agents that answer in odd ways: whatever they can say is read, what is not is told once, and nothing is taken for gone."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest

from consentry_gateway.agents.file import Agent
from consentry_gateway.reading.model import Device, DeviceId, Poll
from consentry_gateway.simulator import recorded
from consentry_gateway.sources.polling import Collector
from consentry_gateway.sources.snmp.access import SnmpAccess
from support.agents import AUTH_PASSWORD, PRIV_PASSWORD, snmp_collector, told
from support.snmp_proxy import BULK, GEN_ERR, GET, NEXT, TOO_BIG, Answer, Pass, Proxy, failing, kind_of, proxying, variables

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("snmp")]

NAMES = ("apc-8932", "eaton-93e-80")


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    collector = snmp_collector(timeout=1.0)
    yield collector
    await collector.close()


@pytest.fixture
async def proxy(recorded_agents: recorded.RecordedAgents) -> AsyncIterator[Proxy]:
    async with proxying(recorded.HOST, recorded_agents.port) as proxy:
        yield proxy


def behind(proxy: Proxy, name: str, version: str = "2c") -> Agent:
    return Agent(Device(DeviceId("it"), ""), recorded.HOST, proxy.port, SnmpAccess(name, version))


async def expected(name: str, agents: recorded.RecordedAgents) -> str:
    """What is told of an agent that nothing stands before."""
    collector = snmp_collector()
    try:
        return told(await collector.poll(Agent(Device(DeviceId("it"), ""), recorded.HOST, agents.port, SnmpAccess(name))))
    finally:
        await collector.close()


def no_bulk(question: bytes) -> Answer | type[Pass]:
    return None if kind_of(question) == BULK else Pass


def bulk_fails(status: int) -> Callable[[bytes], Answer | type[Pass]]:
    return lambda question: failing(question, status) if kind_of(question) == BULK else Pass


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("ask", [no_bulk, bulk_fails(GEN_ERR), bulk_fails(TOO_BIG)], ids=["silent", "genErr", "tooBig"])
async def test_an_agent_without_getbulk_is_read_by_getnext_and_remembered(
    name: str, ask: object, proxy: Proxy, collector: Collector
) -> None:
    proxy.ask = ask  # type: ignore[assignment]
    poll = await collector.poll(behind(proxy, name))
    assert poll.complete
    assert told(poll) == told(await collector.poll(behind(proxy, name)))
    assert len(poll.readings) == len((await clean(name, proxy, collector)).readings)
    asked = proxy.count(BULK)
    proxy.ask = ask  # type: ignore[assignment]
    await collector.poll(behind(proxy, name))
    assert proxy.count(BULK) == asked


async def clean(name: str, proxy: Proxy, collector: Collector, device: str = "other") -> Poll:
    """The poll of the same agent when nothing is in its way."""
    proxy.ask = lambda _: Pass
    return await collector.poll(replace(behind(proxy, name), device=Device(DeviceId(device), "")))


@pytest.mark.parametrize("name", NAMES)
async def test_an_agent_that_drops_large_gets_is_asked_smaller_ones(name: str, proxy: Proxy, collector: Collector) -> None:
    proxy.ask = lambda question: None if kind_of(question) == GET and variables(question) > 4 else Pass
    polls = [await collector.poll(behind(proxy, name)) for _ in range(2)]
    dropped = sum(1 for question in proxy.asked if kind_of(question) == GET and variables(question) > 4)
    await collector.poll(behind(proxy, name))
    assert dropped == sum(1 for question in proxy.asked if kind_of(question) == GET and variables(question) > 4)
    assert len(polls[1].readings) == len((await clean(name, proxy, collector)).readings)


async def test_an_agent_whose_tables_cannot_be_had_tells_its_scalars_and_loses_no_part(
    proxy: Proxy, collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    whole = await collector.poll(behind(proxy, "apc-8932"))
    proxy.ask = lambda question: failing(question, GEN_ERR) if kind_of(question) in {BULK, NEXT} else Pass
    caplog.clear()
    polls = [await collector.poll(behind(proxy, "apc-8932")) for _ in range(3)]
    assert whole.complete
    assert {(poll.reachable, poll.complete, poll.device.model_name) for poll in polls} == {(True, False, "AP8932")}
    warned = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warned) == 1
    assert "error 5" in warned[0].getMessage()


async def test_one_value_that_cannot_be_decoded_takes_no_other_with_it(
    proxy: Proxy, collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    good = await collector.poll(behind(proxy, "eaton-93e-80"))
    # Alarms present, a Gauge32, become a number below zero.
    proxy.reply = lambda answer: answer.replace(b"\x42\x01\x00", b"\x42\x01\xff")
    caplog.clear()
    polls = [await collector.poll(behind(proxy, "eaton-93e-80")) for _ in range(2)]
    metrics = [{reading.sensor.metric for reading in poll.readings} for poll in (good, *polls)]
    assert metrics[1] == metrics[2] == metrics[0] - {"ups.alarms"}
    warned = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len([message for message in warned if "1.3.6.1.2.1.33.1.6.1.0 (a negative number" in message]) == 1
    assert len(warned) == len(set(warned))


async def test_an_object_that_silences_an_agent_is_left_out_named_and_tried_again(
    proxy: Proxy, collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    charge = bytes.fromhex("2b0601020121010204")  # upsEstimatedChargeRemaining, without its instance
    proxy.ask = lambda question: None if charge in question else Pass
    polls = [await collector.poll(behind(proxy, "santak-array")) for _ in range(3)]
    metrics = [{reading.sensor.metric for reading in poll.readings} for poll in polls]
    assert "ups.load" in metrics[-1]
    assert "battery.charge" not in metrics[-1]
    assert not polls[-1].complete
    (warned,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert "1.3.6.1.2.1.33.1.2.4.0: no answer when it is asked for" in warned
    proxy.ask = lambda _: Pass
    again = [await collector.poll(behind(proxy, "santak-array")) for _ in range(6)]
    assert again[-1].complete
    assert metrics[-1] | {"battery.charge"} == {reading.sensor.metric for reading in again[-1].readings}


@pytest.mark.parametrize("name", NAMES)
async def test_version_1_says_as_much_as_version_2(
    name: str, recorded_agents: recorded.RecordedAgents, proxy: Proxy, collector: Collector
) -> None:
    poll = await collector.poll(behind(proxy, name, "1"))
    assert told(poll) == await expected(name, recorded_agents)
    assert proxy.count(BULK) == 0


@pytest.mark.parametrize(("user", "auth", "priv"), [("modern", "sha256", "aes128"), ("strong", "sha512", "aes256")])
async def test_version_3_with_authentication_and_privacy_says_as_much(
    user: str, auth: str, priv: str, recorded_agents: recorded.RecordedAgents, collector: Collector
) -> None:
    access = SnmpAccess("", "3", user, auth, AUTH_PASSWORD, priv, PRIV_PASSWORD, "apc-8932")
    agent = Agent(Device(DeviceId("it"), ""), recorded.HOST, recorded_agents.port, access, timeout=1.0)
    assert told(await collector.poll(agent)) == await expected("apc-8932", recorded_agents)
    assert AUTH_PASSWORD not in repr(agent)


async def test_wrong_passwords_and_users_of_version_3_are_told_as_such(
    recorded_agents: recorded.RecordedAgents, collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    right = SnmpAccess("", "3", "modern", "sha256", AUTH_PASSWORD, "aes128", PRIV_PASSWORD, "apc-8932")
    wrong = {"password": replace(right, auth_password="another-one"), "user": replace(right, user="nobody")}
    for name, access in wrong.items():
        agent = Agent(Device(DeviceId(name), ""), recorded.HOST, recorded_agents.port, access, timeout=1.0)
        assert not (await collector.poll(agent)).reachable
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert "digest" in said[0].lower()
    assert "user" in said[1].lower()
    assert "another-one" not in "".join(said)


async def test_an_agent_is_reached_at_an_address_of_ipv6(
    recorded_agents: recorded.RecordedAgents, collector: Collector
) -> None:
    async with proxying(recorded.HOST, recorded_agents.port, at="::1") as proxy:
        poll = await collector.poll(Agent(Device(DeviceId("it"), ""), "::1", proxy.port, SnmpAccess("apc-8932")))
    assert told(poll) == await expected("apc-8932", recorded_agents)


async def test_why_an_agent_is_silent_is_told_in_words_and_once(
    recorded_agents: recorded.RecordedAgents, proxy: Proxy, collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    proxy.ask = lambda question: Pass if question[4:5] == b"\0" else None  # version 1 alone
    there = Agent(Device(DeviceId("it"), ""), recorded.HOST, recorded_agents.port, SnmpAccess("apc-8932"))
    silent = {
        "wrong-community": replace(there, access=SnmpAccess("wrong")),
        "no-name": replace(there, host="no-such-host.invalid"),
        "refused": replace(there, port=9),
        "version-1": replace(there, port=proxy.port),
    }
    agents = [replace(agent, device=Device(DeviceId(name), "")) for name, agent in silent.items()]
    for _ in range(3):
        await asyncio.gather(*(collector.poll(agent) for agent in agents))
    said = {
        str(record.args[0]): record.getMessage()  # type: ignore[index]
        for record in caplog.records
        if record.levelno >= logging.WARNING and record.args
    }
    assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) == len(silent)
    assert "does not know this community" in said["wrong-community"]
    assert "no address for no-such-host.invalid" in said["no-name"]
    assert "nobody listens" in said["refused"]
    assert "SNMPv1 only" in said["version-1"]
    assert not [message for message in said.values() if "wrong " in message]


async def test_an_agent_of_no_known_family_is_told_once_with_what_it_says_it_is(
    proxy: Proxy, collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    proxy.reply = lambda answer: answer.replace(b"\x2b\x06\x01\x04\x01\x82\x3e", b"\x2b\x06\x01\x04\x01\x82\x3f")
    for _ in range(4):
        poll = await collector.poll(behind(proxy, "apc-8932"))
        assert (poll.reachable, poll.readings) == (True, ())
    (warned,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert "sysObjectID" in warned
    assert "APC Web/SNMP" in warned


async def test_another_device_at_the_address_is_recognised_anew(proxy: Proxy, collector: Collector) -> None:
    agent = behind(proxy, "apc-7902b")
    assert (await collector.poll(agent)).device.model_name == "AP7902B"
    proxy.swap((b"apc-7902b", b"eaton-9px"))
    poll = await collector.poll(agent)
    assert (poll.device.model_name, poll.device.serial_number) == ("Eaton 9PX 2200i RT 3U", "GX13G45099")
    assert any(reading.sensor.metric == "ups.load" for reading in poll.readings)


async def test_a_tree_of_its_own_that_an_agent_has_later_is_read_from_then_on(proxy: Proxy, collector: Collector) -> None:
    agent = behind(proxy, "eaton-93e-80")
    proxy.swap((b"\x85\x41\x01", b"\x85\x42\x01"), (b"\x84\x16\x01", b"\x84\x17\x01"))  # 705.1 and 534.1 are not there yet
    early = await collector.poll(agent)
    proxy.swap()
    late = await collector.poll(agent)
    assert (early.device.serial_number, late.device.serial_number) == ("", "4K234LXX06")
    assert {reading.sensor.metric for reading in early.readings} < {
        "battery.runtime", *(reading.sensor.metric for reading in late.readings)
    }  # fmt: skip
