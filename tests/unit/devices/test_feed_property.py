"""Whatever happens in whichever order: who comes back after every cut misses nothing in silence, and is told nothing twice.

Each customer has one sensor, whose readings count up. So what a reader is told of a customer, from when it enters on, must
count up without a hole, unless a gap says so; and folded readings must count up.
"""

import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from consentry.devices.v1 import feed_pb2
from consentry_core.protocol.marks import MarkedKey
from consentry_devices.domain.alarms import Alarm
from consentry_devices.feed import folding
from consentry_rule import CustomerId, DataClass, Instant, KeyKind
from support.device_frames import NORTH, NOW, SECOND, SOUTH
from support.devices import ACME, RuleCall
from support.watched_feed import LIVE, Request, WatchedFeed, change_consent, consent_to, watched_memory

EAST = CustomerId("east")
CUSTOMERS = (NORTH, SOUTH, EAST)
CLASSES = ((), (), (DataClass.TELEMETRY,), (DataClass.INVENTORY,), (DataClass.TELEMETRY, DataClass.ALARMS))
DELIVERIES: tuple[dict[str, Any], ...] = (
    {},
    {"delivery": Request.DELIVERY_LATEST},
    {"delivery": Request.DELIVERY_SAMPLE, "sample_interval": Duration(seconds=100)},
)


@dataclass
class Told:
    """What a reader knows of a customer, and whether it was told that something is missing."""

    member: bool = False
    last: int | None = None
    gap: bool = False


@dataclass
class Client:
    """A reader through all its streams."""

    told: dict[str, Told] = field(default_factory=dict)
    cursor: str = ""
    seen: Counter[str] = field(default_factory=Counter)

    def hear(self, response: feed_pb2.WatchResponse, *, folds: bool) -> None:
        """Check a message against everything before it."""
        self.cursor = response.cursor
        event = response.WhichOneof("event")
        assert event is not None
        self.seen[event] += 1
        if event in {"customer_added", "customer_removed", "gap"}:
            told = self.told.setdefault(getattr(response, event).customer, Told())
            if event == "customer_added":
                told.member, told.last = True, None
            elif event == "customer_removed":
                told.member = False
            else:
                told.gap = True
        for device in response.telemetry.devices:
            told = self.told[device.device.rpartition("/devices/")[0]]
            assert told.member
            for value in map(int, device.block.values):
                if told.last is not None:
                    assert value > told.last, "twice, or out of order"
                    assert folds or told.gap or value == told.last + 1, "lost in silence"
                told.last, told.gap = value, False


class Script:
    """Things that happen, by dice."""

    def __init__(self, feed: WatchedFeed, dice: random.Random) -> None:
        self.feed = feed
        self.dice = dice
        self.client = Client()
        self.published = dict.fromkeys(CUSTOMERS, 0)
        self.key = "the-key"
        self.listed = set(CUSTOMERS)
        self.restarts = 0

    async def happen(self) -> None:
        """One of them."""
        feed, dice = self.feed, self.dice
        what = dice.choices(
            ["publish", "consent", "revoke", "classes", "end", "list", "key", "remove", "restart", "restore", "time"],
            [60, 6, 5, 5, 2, 4, 2, 6, 4, 1, 5],
        )[0]
        customer = dice.choice(CUSTOMERS)
        consents = customer in await covered_by(feed, "the-key")
        match what:
            case "publish":
                for _ in range(dice.randint(1, 3)):
                    await self.publish(customer)
            case "consent":
                feed.gate.consent(customer)
            case "revoke" if (ACME, customer) in feed.gate.standings:
                feed.gate.revoke(customer)
            case "classes" if consents:
                consent_to(feed.gate, customer, *dice.choice(CLASSES))
            case "end" if consents:
                change_consent(feed.gate, customer, expire_time=Instant(feed.clock.now() + SECOND))
                feed.clock.advance(1)
                feed.gate.look({customer})
            case "time":
                feed.clock.advance(60)
            case "list":
                self.listed ^= {customer}
                feed.gate.list_customers(*self.listed)
            case "key":
                self.key = dice.choice(["the-key", "the-listed-key", "the-other-key"])
            case "remove":
                await feed.log.remove_oldest(taken_before=None, max_entries=dice.randint(1, 20), max_bytes=10**9)
            case "restart":
                feed.restart()
                self.restarts += 1
            case "restore":
                feed.gate.epoch = f"e{dice.random()}"

    async def publish(self, customer: CustomerId) -> None:
        number = self.published[customer] = self.published[customer] + 1
        alarm = Alarm(f"a{number}", "ups", "Power Failure", "", 7, NOW)
        alarms = [alarm] if self.dice.random() < 0.3 else []  # what is not folded makes cursors while readings are pending
        await self.feed.publish(customer, float(number), start=NOW + number * SECOND, alarms=alarms)

    async def stream(self, *, cut: bool, **delivery: Any) -> None:
        """A pull, with things happening while its messages are written; broken off somewhere."""
        start = {"after_cursor": self.client.cursor} if self.client.cursor else self.dice.choice([{}, {"live": LIVE}])
        key = self.key
        watching = self.feed.watch(key=key, stop_when_synced=True, **start, **delivery)
        left = self.dice.randint(0, 8) if cut else 10**6
        restarts = self.restarts
        while left and restarts == self.restarts:
            left -= 1
            try:
                response = await watching.next()
            except StopAsyncIteration:
                break
            self.client.hear(response, folds=bool(delivery))
            while cut and self.dice.random() < 0.4:
                await self.happen()
        await watching.end()


@pytest.mark.parametrize("seed", [*range(60), 162, 168, 178, 5006])  # the last ones have found mistakes
async def test_nothing_is_lost_in_silence_and_nothing_comes_twice(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folding, "_MESSAGE_BYTES", 1)  # a message a device
    dice = random.Random(seed)  # noqa: S311 - dice, to be thrown again
    async with watched_memory(tmp_path) as feed:
        feed.gate.list_customers(*CUSTOMERS)
        feed.gate.credentials["the-other-key"] = MarkedKey(KeyKind.ALL_CUSTOMERS, ACME)
        script = Script(feed, dice)
        for _ in range(25):
            for _ in range(dice.randint(0, 4)):
                await script.happen()
            await script.stream(cut=True, **dice.choice(DELIVERIES))
        await script.stream(cut=False)
        for customer in CUSTOMERS:
            told = script.client.told.get(f"customers/{customer}", Told())
            covered = customer in await covered_by(feed, script.key)
            assert told.member == covered
            consent = feed.gate.standings[ACME, customer].consent if covered else None
            closed = consent is not None and DataClass.TELEMETRY not in consent.data_classes
            if covered and not closed and not told.gap and told.last is not None:
                assert told.last == script.published[customer]
        before = script.client.seen.copy()
        await script.stream(cut=False)
        assert script.client.seen - before == Counter(synced=1), "everything has been told"


async def covered_by(feed: WatchedFeed, key: str) -> set[CustomerId]:
    call = RuleCall(feed.gate, key)
    await call.follow_all()
    return set(call.covered())
