"""A night behind a bad network: no false reading, no part deleted that is there, no agent silent that answers.

`NIGHT_POLLS` is how many polls: a hundred in `make test`, ten thousand in `make night`. `NIGHT_SEED` repeats chances. Time
is virtual, so that to wait for an answer takes none.
"""

import asyncio
import os
import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from consentry_gateway.agents.file import Agent
from support.clocks import FakeClock
from support.night import INTERVAL, WEATHERS, Gateway, Network, Readings, Service, Tree, Weather, agent_of, found, start
from support.virtual_loop import VirtualLoop

POLLS = int(os.environ.get("NIGHT_POLLS", "100"))
# The short form is the same night each time.
SEED = int(os.environ.get("NIGHT_SEED", "0")) or (
    random.SystemRandom().randrange(1, 1 << 30) if "NIGHT_POLLS" in os.environ else 7
)
AGENTS = (("apc-chain", "2c"), ("eaton-9px", "1"), ("geist-rpdu", "2c"), ("servertech-pro2", "2c"), ("cyberpower-pdu", "1"))
SETTLED = 8
"""So many polls after the weather has become calm all is as if it had never been bad."""

pytestmark = [pytest.mark.slow]


@dataclass(slots=True)
class Told:
    """What the night has seen."""

    polls: int = 0
    readings: int = 0
    restarts: int = 0
    silent: int = 0
    incomplete: int = 0
    weathers: Counter[str] = field(default_factory=Counter)


def test_a_night_behind_a_bad_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    print(f"\nNIGHT_SEED={SEED} NIGHT_POLLS={POLLS}")
    night = Night(tmp_path)
    monkeypatch.setattr("pysnmp.carrier.asyncio.dispatch.time", night.loop.time)
    try:
        night.loop.run_until_complete(night.run())
    finally:
        night.loop.close()
    print(night.told)
    assert night.told.readings > POLLS


class Night:
    """Some agents, polled each minute through changing weather by a gateway that is started again now and then."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._chance = chance = random.Random(SEED)  # noqa: S311 - to be repeated
        self._trees = [Tree(name, f"127.0.0.{place}", chance) for place, (name, _) in enumerate(AGENTS, 1)]
        self._agents = [agent_of(tree, version) for tree, (_, version) in zip(self._trees, AGENTS, strict=True)]
        self._network = Network(self._trees, chance)
        self.loop = VirtualLoop(self._network.deliver)
        self._network.later = self.loop.call_later
        self._clock = FakeClock()
        self._service = Service(self._clock)
        self._number = 0
        self._calm_for = 0
        self.told = Told()

    async def run(self) -> None:
        """All polls, and whether everything is as it was in the end."""
        gateway = self._start()
        left = 3
        while self.told.polls < POLLS:
            if not left:
                left = self._turn()
            left -= 1
            if self._chance.random() < 0.02:
                await self._stop(gateway)
                gateway = self._start()
                self.told.restarts += 1
                self._calm_for = 0
            for agent, tree in zip(self._agents, self._trees, strict=True):
                await self._poll(gateway, agent, tree)
            self._calm_for += self._network.weather.calm
            self._clock.advance(INTERVAL)
        await self._stop(gateway)
        assert {device for tree in self._trees for device in tree.devices} == set(self._service.inventory.devices)

    def _turn(self) -> int:
        """Another weather; for how many minutes."""
        self._calm_for = 0
        if self._network.weather.calm:
            self._network.weather = self._chance.choice(WEATHERS)(self._chance)
            return self._chance.randrange(1, 12)
        self._network.weather = Weather("calm")
        return self._chance.randrange(SETTLED + 2, SETTLED + 8)

    def _start(self) -> Gateway:
        return start(self._folder, self._agents, self._clock, self._chance)

    @staticmethod
    async def _stop(gateway: Gateway) -> None:
        await gateway.collector.close()
        await asyncio.sleep(0)
        gateway.outbox.close()

    async def _poll(self, gateway: Gateway, agent: Agent, tree: Tree) -> None:
        """Poll once, and compare with what the agent says at this moment."""
        tree.move()
        before = self.loop.time()
        poll = await gateway.collector.poll(agent)
        self._clock.advance(self.loop.time() - before)
        told, weather = self.told, self._network.weather
        told.polls += 1
        if told.polls % 1_000 == 0:
            print(told, flush=True)
        told.weathers[weather.name] += 1
        told.silent += not poll.reachable
        told.incomplete += poll.reachable and not poll.complete
        where = f"{agent.device.id}, poll {told.polls}, {weather}, NIGHT_SEED={SEED}"
        _check(found(poll), tree.truth, where)
        assert {device.id for device in poll.devices} <= tree.devices, where
        settled = weather.calm and self._calm_for >= SETTLED
        if settled:
            assert poll.reachable, where
            assert poll.complete, where
            assert found(poll) == tree.truth, where
        await gateway.pipeline.take(poll)
        self._published(gateway, tree.truth, where)
        if settled:
            active = [event.alarm.id for event in self._service.active()]
            assert f"{agent.device.id}.unreachable" not in active, where

    def _published(self, gateway: Gateway, truth: Readings, where: str) -> None:
        """Check what goes out, and take it out of the outbox."""
        for pending in gateway.outbox.after(self._number, 1_000):
            frame = self._service.take(pending.payload, pending.number)
            assert not frame.inventory.deleted_devices, where
            for told in frame.telemetry:
                device, block = told.device.rpartition("/")[2], told.block
                values: Readings = {
                    (device, block.sensors[place]): value
                    for place, value in zip(block.sensor_indexes, block.values, strict=True)
                }
                values |= {(device, block.sensors[text.sensor_index]): text.text for text in block.texts}
                _check(values, truth, where)
                self.told.readings += len(values)
            self._number = pending.number
        gateway.outbox.acknowledge(self._number)


def _check(readings: Readings, truth: Readings, where: str) -> None:
    false = {key: (value, truth.get(key)) for key, value in readings.items() if truth.get(key) != value}
    assert not false, where
