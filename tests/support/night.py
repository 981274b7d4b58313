"""A night of a gateway behind a bad network: what its agents say, what the network makes of it, what is published.

Agents, network and time are within the process (`support.virtual_loop`); what asks, decodes, judges and writes is what is
shipped. Every frame goes through the checks of the device-data service, against an inventory that grows by it.
"""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from consentry.devices.v1 import gateway_pb2
from consentry_devices.domain.alarms import AlarmEvent
from consentry_devices.domain.frames import take_in
from consentry_devices.domain.inventory import Inventory
from consentry_devices.rpc.gateway.frames import to_frame
from consentry_gateway.agents.file import Agent
from consentry_gateway.outbox import memory
from consentry_gateway.outbox.holding import Holding
from consentry_gateway.outbox.outbox import Draft, Outbox
from consentry_gateway.outbox.pipeline import Pipeline
from consentry_gateway.profiles import Metric, Profile
from consentry_gateway.publishing.frames import FrameWriter
from consentry_gateway.reading.decode import decode
from consentry_gateway.reading.model import Device, DeviceId, Poll, Value
from consentry_gateway.reading.presence import Places, Presence
from consentry_gateway.reading.raw import Answers, Raw
from consentry_gateway.reading.recognition import recognise
from consentry_gateway.sources.polling import Collector, Reports
from consentry_gateway.sources.snmp.access import SnmpAccess
from consentry_gateway.sources.snmp.source import SnmpSource
from consentry_rule import CustomerId, Instant
from support.agents import answers_of
from support.clocks import FakeClock
from support.snmp_agent import BULK, GET, AnsweringAgent, oid_of
from support.snmp_proxy import GEN_ERR, TOO_BIG, failing, kind_of, variables

NORTH = CustomerId("north")
INTERVAL = 60.0
_OBJECT_ID = oid_of((1, 3, 6, 1, 2, 1, 1, 2, 0))
Readings = dict[tuple[str, str], Value]


@dataclass(slots=True)
class Weather:
    """What the network and the agent do to datagrams: the chances of each, and what the agent does not bear."""

    name: str
    lose: float = 0.0
    delay: float = 0.0
    twice: float = 0.0
    patch: float = 0.0
    no_bulk: bool = False
    bulk_fails: int = 0
    most_asked: int = 1_000

    @property
    def calm(self) -> bool:
        """Whether nothing happens."""
        return self.name == "calm"


WEATHERS: tuple[Callable[[random.Random], Weather], ...] = (
    lambda chance: Weather("loss", lose=chance.uniform(0.02, 0.6)),
    lambda chance: Weather("cut", lose=1.0),
    lambda chance: Weather("late and out of order", delay=chance.uniform(0.1, 0.9), twice=0.2),
    lambda chance: Weather("patched", patch=chance.uniform(0.05, 0.7)),
    lambda chance: Weather("no bulk", no_bulk=True),
    lambda chance: Weather("bulk fails", bulk_fails=chance.choice((GEN_ERR, TOO_BIG))),
    lambda chance: Weather("small questions only", most_asked=chance.choice((1, 4, 8))),
    lambda chance: Weather("all of it", lose=0.15, delay=0.15, twice=0.1, patch=0.15),
)


class Tree:
    """What one agent says, and what that means. Its numbers change from one moment to the next."""

    def __init__(self, name: str, host: str, chance: random.Random) -> None:
        self._chance = chance
        self.host = host
        self.answers: dict[str, Raw] = dict(answers_of(name))
        self.profiles = recognise(self.answers)
        self._base = {oid: raw for oid in _moving(self.profiles, self.answers) if isinstance(raw := self.answers[oid], int)}
        self.agent = AnsweringAgent(self.answers)
        self.device = Device(DeviceId(name), "")
        self.truth: Readings = {}
        self.devices: frozenset[DeviceId] = frozenset()
        self.move()

    def move(self) -> None:
        """Time goes on: other numbers."""
        changed: dict[str, Raw] = {oid: base - self._chance.randrange(4) for oid, base in self._base.items()}
        self.answers |= changed
        self.agent.tell(changed)
        poll = decode(self.profiles, self.device, self.answers, Instant(0))
        self.truth = {(reading.sensor.device, reading.sensor.id): reading.value for reading in poll.readings}
        self.devices = frozenset(device.id for device in poll.devices)


def _moving(profiles: tuple[Profile, ...], answers: Answers) -> list[str]:
    """The numbers that may be others at any time: quantities that are far from what a device says for "none"."""

    def metrics() -> list[Metric]:
        return [
            metric for profile in profiles for metric in (*profile.metrics, *(m for t in profile.tables for m in t.metrics))
        ]

    sources = [source for metric in metrics() if metric.texts is None for source in metric.sources]
    kept = {oid for metric in metrics() for source in metric.all_sources() for oid in source.others()}
    found = []
    for oid, raw in answers.items():
        of = [source for source in sources if oid == source.oid or oid.startswith(f"{source.oid}.")]
        steady = any(oid == other or oid.startswith(f"{other}.") for other in kept)
        if of and not steady and isinstance(raw, int) and 10 < raw < 60_000 and raw not in {1092, 255, 240, 273}:
            found.append(oid)
    return found


@dataclass(slots=True)
class Service:
    """What a device-data service makes of frames: it takes them or the night fails."""

    clock: FakeClock
    inventory: Inventory = field(default_factory=Inventory)
    alarms: dict[str, AlarmEvent] = field(default_factory=dict)

    def take(self, payload: bytes, number: int) -> gateway_pb2.PublishRequest.Frame:
        """Take a frame in."""
        message = gateway_pb2.PublishRequest.Frame.FromString(payload)
        message.number = number
        frame = to_frame(message, NORTH, self.clock.now())
        happened = take_in(frame, "gateway", self.inventory, self)
        for event in (*happened.ended, *happened.alarms):
            self.alarms[event.alarm.id] = event
        return message

    def newest(self, alarm: str) -> AlarmEvent | None:
        """See `KnownAlarms`."""
        return self.alarms.get(alarm)

    def active_of(self, devices: object) -> list[AlarmEvent]:
        """See `KnownAlarms`."""
        return [event for event in self.active() if event.alarm.device in devices]  # type: ignore[operator]

    def active(self) -> list[AlarmEvent]:
        """The alarms that are active."""
        return [event for event in self.alarms.values() if event.alarm.clear_time is None]

    def counts(self) -> tuple[int, int]:
        """See `KnownAlarms`."""
        return len(self.active()), len(self.alarms)


class Network:
    """Between the gateway and the agents."""

    def __init__(self, trees: Iterable[Tree], chance: random.Random) -> None:
        self._trees = {tree.host: tree for tree in trees}
        self._chance = chance
        self.weather = Weather("calm")
        self.later: Callable[[float, Callable[[], None]], object]

    def deliver(self, question: bytes, to: tuple[str, int], answered: Callable[[bytes], None]) -> None:
        """A question comes, and perhaps its answer goes."""
        weather, chance = self.weather, self._chance
        if len(question) < 10 or chance.random() < weather.lose:
            return
        kind = kind_of(question)
        if kind == BULK and weather.no_bulk:
            return
        if kind == GET and variables(question) > weather.most_asked:
            return
        if kind == BULK and weather.bulk_fails:
            answer = failing(question, weather.bulk_fails)
        else:
            answer = self._trees[to[0]].agent.answer(question)
        if chance.random() < weather.lose:
            return
        if chance.random() < weather.patch:
            answer = _patched(answer, question, chance)
        for _ in range(2 if chance.random() < weather.twice else 1):
            wait = chance.uniform(0.0, 8.0) if chance.random() < weather.delay else 0.001
            self.later(wait, lambda answer=answer: answered(answer))  # type: ignore[misc]


def _patched(answer: bytes, question: bytes, chance: random.Random) -> bytes:
    """An answer that was damaged in a way that can be seen: cut off, of an unknown type, below zero, out of place, an error."""
    how = chance.randrange(6)
    if how == 0:
        return answer[: chance.randrange(2, len(answer))]
    if how == 1:
        return failing(question, chance.choice((GEN_ERR, TOO_BIG)))
    changed = bytearray(answer)
    gauges = [place for place in range(30, len(answer) - 2) if answer[place] == 0x42 and 0 < answer[place + 1] < 5]
    if how == 2 and gauges:
        place = chance.choice(gauges)
        changed[place + 2] |= 0x80
    elif how == 3 and gauges:
        changed[chance.choice(gauges)] = 0x49
    elif how == 4:
        if variables(question) == 1 and _OBJECT_ID in question:
            return answer  # its value is an OID as well, and nobody could see that it is another one
        return answer.replace(b"\x2b\x06\x01\x04", b"\x2b\x06\x01\x03")  # OIDs that nobody asked for
    else:
        return b"\x30\x03\x02\x01\x01"
    return bytes(changed)


@dataclass(slots=True)
class Gateway:
    """What runs between two restarts."""

    outbox: Outbox
    collector: Collector
    pipeline: Pipeline


class Shelf:
    """The outbox, without a thread of its own."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    async def put(self, drafts: list[Draft], remember: dict[str, str | None]) -> None:
        """See `pipeline.Sink`."""
        self._outbox.append(drafts, remember)


def start(folder: Path, agents: list[Agent], clock: FakeClock, chance: random.Random) -> Gateway:
    """A gateway as `app` makes it, without a publisher."""
    outbox = Outbox(folder, chance.randbytes)
    reports = Reports(clock)
    collector = Collector(clock, {"snmp": SnmpSource(clock, reports=reports, timeout=2.0, retries=1)}, reports=reports)
    devices = memory.remembered_devices(outbox.recall(memory.DEVICES))
    collector.remember(devices)
    pipeline = Pipeline(
        FrameWriter(NORTH, ()),
        Shelf(outbox),
        presence=Presence([agent.device.id for agent in agents], memory.remembered_present(outbox.recall(memory.PRESENT))),
        places=Places(()),
        holding=Holding(memory.remembered_lost(outbox.recall(memory.LOST))),
        alarms=memory.remembered_alarms(outbox.recall(memory.ALARMS)),
        devices=devices,
    )
    return Gateway(outbox, collector, pipeline)


def agent_of(tree: Tree, version: str) -> Agent:
    """The agent that says what a tree says."""
    return Agent(tree.device, tree.host, 161, SnmpAccess("public", version))


def found(poll: Poll) -> Readings:
    """The values of a poll."""
    return {(reading.sensor.device, reading.sensor.id): reading.value for reading in poll.readings}
