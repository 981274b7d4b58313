"""What an agent is taken for when not all that it is known by could be read: for nothing coarser than it is."""

import asyncio
from collections.abc import Callable, Iterator

import pytest

from consentry_gateway.agents.file import Agent
from consentry_gateway.reading.model import Device, DeviceId, DeviceType, Poll, Value
from consentry_gateway.reading.recognition import SYS_OBJECT_ID
from consentry_gateway.sources.polling import Collector, Reports
from consentry_gateway.sources.snmp.access import SnmpAccess
from consentry_gateway.sources.snmp.source import SnmpSource
from support.agents import answers_of
from support.clocks import FakeClock
from support.snmp_agent import AnsweringAgent, oid_of
from support.snmp_proxy import GEN_ERR, failing
from support.virtual_loop import VirtualLoop

NAME = "eaton-9px"
FINEST, BESIDE = "1.3.6.1.4.1.705.1.5.1.0", "1.3.6.1.4.1.534.1.4.5.0"
"""The probes of its finest profile, and of the one beside that."""
NOT_THERE = "1.3.6.1.4.1.534.6.6.7.1.2.1.2.0"
"""That of a family that goes before, which it is not of."""
CHARGE = {"1.3.6.1.4.1.705.1.5.2.0": 97, "1.3.6.1.4.1.534.1.2.4.0": 98}
"""Each of its trees says something else, so that it shows which is read."""
IT = Device(DeviceId("it"), "")


class Polled:
    """A gateway that polls an agent. `oids` are what a question must not ask for, else `bad` is its answer."""

    def __init__(self) -> None:
        self._agent = AnsweringAgent(answers_of(NAME))
        self._agent.tell(CHARGE)
        self.oids: tuple[str, ...] = ()
        self.bad: Callable[[bytes], bytes | None] = silent
        self.loop = VirtualLoop(self._deliver)
        self.collector = self._started()

    def restart(self) -> None:
        """The gateway is started again, and remembers the device."""
        remembered = self.polls(1)[0].devices
        self.loop.run_until_complete(self.collector.close())
        self.collector = self._started()
        self.collector.remember(remembered)

    def polls(self, times: int) -> list[Poll]:
        """So many polls, one after the other."""
        agent = Agent(IT, "127.0.0.1", 161, SnmpAccess("public"))
        return [self.loop.run_until_complete(self.collector.poll(agent)) for _ in range(times)]

    def close(self) -> None:
        """Nothing is left open."""
        self.loop.run_until_complete(self.collector.close())
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()

    @staticmethod
    def _started() -> Collector:
        clock = FakeClock()
        reports = Reports(clock)
        return Collector(clock, {"snmp": SnmpSource(clock, reports=reports)}, reports=reports)

    def _deliver(self, question: bytes, _: object, answered: Callable[[bytes], None]) -> None:
        if len(question) < 10:
            return
        bad = any(oid_of([int(part) for part in oid.split(".")]) in question for oid in self.oids)
        answer = self.bad(question) if bad else self._agent.answer(question)
        if answer is not None:
            self.loop.call_later(0.001, answered, answer)


def silent(_: bytes) -> None:
    """No answer."""


def fails(question: bytes) -> bytes:
    """An error, of which nobody knows what it is about."""
    return failing(question, GEN_ERR)


@pytest.fixture
def polled(monkeypatch: pytest.MonkeyPatch) -> Iterator[Polled]:
    polled = Polled()
    monkeypatch.setattr("pysnmp.carrier.asyncio.dispatch.time", polled.loop.time)
    yield polled
    polled.close()


def values(poll: Poll) -> dict[str, Value]:
    return {reading.sensor.metric: reading.value for reading in poll.readings}


@pytest.mark.parametrize("bad", [silent, fails])
@pytest.mark.parametrize("oid", [FINEST, BESIDE, SYS_OBJECT_ID])
def test_while_a_probe_is_lost_no_coarser_profile_is_read(
    polled: Polled, oid: str, bad: Callable[[bytes], bytes | None]
) -> None:
    polled.oids, polled.bad = (oid,), bad
    early = polled.polls(3)
    assert [values(poll) for poll in early] == [{}] * 3
    assert not any(poll.reachable and poll.complete for poll in early)
    polled.oids = ()
    late = polled.polls(3)
    assert values(late[0])["battery.charge"] == 97
    assert values(late[0])["battery.charger.status"] == "resting"
    assert late[-1].complete


def test_a_probe_that_is_never_answered_is_not_there_after_some_polls(polled: Polled) -> None:
    polled.oids = (NOT_THERE,)
    *early, last = polled.polls(4)
    assert [values(poll) for poll in early] == [{}] * 3
    polled.restart()
    polled.oids = ()
    assert values(last) == values(polled.polls(1)[0])
    assert last.device.type is DeviceType.UPS


def test_a_probe_of_no_family_that_it_could_be_of_is_not_waited_for(polled: Polled) -> None:
    polled.oids = ("1.3.6.1.4.1.318.1.1.1.1.1.1.0",)
    assert values(polled.polls(1)[0])["battery.charge"] == 97


def test_until_it_is_certain_a_device_is_what_it_was(polled: Polled) -> None:
    polled.restart()
    polled.oids = (FINEST,)
    (poll,) = polled.polls(1)
    assert (poll.reachable, poll.complete, poll.readings) == (True, False, ())
    assert (poll.device.type, poll.device.model_name) == (DeviceType.UPS, "Eaton 9PX 2200i RT 3U")


def test_after_silence_an_agent_that_can_be_what_it_was_is_that(polled: Polled) -> None:
    polled.polls(1)
    polled.oids = (SYS_OBJECT_ID, FINEST)
    assert not any(poll.reachable for poll in polled.polls(2))
    polled.oids = (FINEST,)
    assert values(polled.polls(1)[0])["battery.charge"] == 97
