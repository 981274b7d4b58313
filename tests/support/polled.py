"""A gateway that polls one SNMP agent, in virtual time and without sockets: what is waited for takes no time."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from consentry_gateway.agents.file import Agent
from consentry_gateway.reading.model import Device, DeviceId, Poll
from consentry_gateway.reading.raw import Answers
from consentry_gateway.sources.polling import Collector, Reports
from consentry_gateway.sources.snmp.access import SnmpAccess
from consentry_gateway.sources.snmp.source import SnmpSource
from support.clocks import FakeClock
from support.snmp_agent import AnsweringAgent
from support.snmp_proxy import Answer, Pass
from support.virtual_loop import VirtualLoop


class Polled:
    """`ask` decides about each question, as that of `snmp_proxy.Proxy`. Set it at any time."""

    def __init__(self, answers: Answers) -> None:
        self.ask: Callable[[bytes], Answer | type[Pass]] = lambda _: Pass
        self._agent = AnsweringAgent(answers)
        self._loop = VirtualLoop(self._deliver)
        self._collector = _started()

    def time(self) -> float:
        """Seconds of the loop."""
        return self._loop.time()

    def restart(self) -> None:
        """Poll, and start the gateway again, which remembers the device."""
        (poll,) = self.polls(1)
        self._loop.run_until_complete(self._collector.close())
        self._collector = _started()
        self._collector.remember(poll.devices)

    def polls(self, times: int) -> list[Poll]:
        """So many polls, one after the other."""
        agent = Agent(Device(DeviceId("it"), ""), "127.0.0.1", 161, SnmpAccess("public"))
        return [self._loop.run_until_complete(self._collector.poll(agent)) for _ in range(times)]

    def close(self) -> None:
        """Nothing is left open."""
        self._loop.run_until_complete(self._collector.close())
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    def _deliver(self, question: bytes, _: object, answered: object) -> None:
        if len(question) < 10:
            return
        answer = self.ask(question)
        if answer is Pass:
            answer = self._agent.answer(question)
        if answer is not None:
            self._loop.call_later(0.001, answered, answer)  # type: ignore[arg-type]


@contextmanager
def polling(answers: Answers) -> Iterator[Polled]:
    """A gateway, and the agent that says this."""
    polled = Polled(answers)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pysnmp.carrier.asyncio.dispatch.time", polled.time)
        yield polled
        polled.close()


def _started() -> Collector:
    clock = FakeClock()
    reports = Reports(clock)
    return Collector(clock, {"snmp": SnmpSource(clock, reports=reports)}, reports=reports)
