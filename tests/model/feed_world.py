"""The feed in one process and without time of its own: gateways, the log, coverage, and readers who come and go.

The service's own parts do the work: the log's appender on the engine in memory, the ring, `FeedServicer.Watch`. What befalls
them is simulated: the process ends and comes back, the store is an older copy, retention removes, readers are slow, lose what
they had not yet written down, and come back.

After every step everything goes on until nothing does, but readers, which take messages only when they are let.
"""

import asyncio
import contextlib
import copy
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from consentry.devices.v1 import feed_pb2
from consentry_core.protocol.marks import MarkedKey, MarkedStanding
from consentry_core.rpc.server.open_call import OpenCall, current_call
from consentry_core.values.clock import SECOND
from consentry_core.values.errors import ConsentryError, OutOfRange, PermissionDenied
from consentry_devices.domain.alarms import Alarm
from consentry_devices.domain.frames import Frame, TelemetryBlock
from consentry_devices.domain.inventory import InventoryChange
from consentry_devices.feed.cursor import Cursors, Phase
from consentry_devices.log.memory import MemorySnapshots, MemoryStore
from consentry_devices.log.ring import Ring
from consentry_devices.rpc.converters import WireEncoder
from consentry_devices.rpc.watch.feed import FeedServicer
from consentry_devices.rpc.watch.question import asked
from consentry_devices.rpc.watch.shared import Feed
from consentry_rule import Allow, CustomerId, DataClass, Instant, PartnerId, Token, covered, valid
from model.feed_ledger import Counts, Ledger, Made, Published, Wrong, accesses
from support.clocks import FakeClock
from support.device_frames import device, sensor, stream, telemetry
from support.devices import ACME, RuleCall, RuleGate

CUSTOMERS = tuple(map(CustomerId, ("north", "south", "east")))
SENSORS = ("load", "volt")
LISTED = "the-listed-key"
_KEY = b"k" * 32
_TURNS = 60
"""Steps of the event loop in which everything that can go on does: a message takes a handful."""

Request = feed_pb2.WatchRequest


class Reader:
    """A client: what it asks, what it has written down, and the stream that it has open, if it has."""

    def __init__(self, secret: str, ledger: Ledger, **asked: Any) -> None:
        self.secret = secret
        self.ledger = ledger
        """What it was told."""
        self.kept = copy.deepcopy(ledger)
        """What of it would survive the client's end."""
        self.stream: AsyncGenerator[bytes] | None = None
        self.awaited: asyncio.Future[bytes] | None = None
        self.resumed = False
        self.earliest: Counts = {}
        """What was published when the message that is awaited may have been made."""
        self.made: Made | None = None
        """What was so when it had been made."""
        self.call = RuleCall(cast("Any", None), secret)
        self.since = 0
        """The step before the one in which the last message was made whose cursor says all about coverage."""
        self.switched = -1
        """The step in which it came with another key."""
        self._asked = asked
        self._new = copy.deepcopy(ledger)

    def request(self) -> feed_pb2.WatchRequest:
        """What to ask: the first time the start, then what came after the cursor."""
        if not self.ledger.cursor:
            return Request(**self._asked)
        asked = {name: value for name, value in self._asked.items() if name != "live"}
        return Request(**asked, after_cursor=self.ledger.cursor)

    def switch(self, step: int) -> None:
        """Go on with the partner's other key."""
        self.secret = LISTED if self.secret == "the-key" else "the-key"
        self.switched = step

    def begin_anew(self) -> None:
        """Forget everything."""
        self.ledger, self.kept = copy.deepcopy(self._new), copy.deepcopy(self._new)


@dataclass
class Gateway:
    """One customer's: how far it has counted."""

    customer: CustomerId
    counted: dict[str, int] = field(default_factory=dict)
    names: int = 0
    untold: bool = True
    """Whether the service may not know the device."""


class FeedWorld:
    """Everything there is."""

    def __init__(self, folder: Path, servicer: type[FeedServicer] = FeedServicer) -> None:
        self.clock = FakeClock()
        self.gate = RuleGate(self.clock)
        self.published = Published()
        self.readers: list[Reader] = []
        self._servicer_class = servicer
        self._folder = folder
        self._store = MemoryStore("store")
        self._backup = copy.deepcopy((self._store, self.published))
        self._authority: list[tuple[int, dict[tuple[PartnerId, CustomerId], MarkedStanding], dict[str, MarkedKey | Token]]] = []
        self._opened = 0
        self.step = 0
        self._restored = -1
        self._uncovered: dict[tuple[str, CustomerId], int] = {}
        self._gateways = {customer: Gateway(customer) for customer in CUSTOMERS}

    async def begin(self) -> None:
        """Start the service, and whoever reads."""
        for customer in CUSTOMERS[:2]:
            self.gate.consent(customer)
        self.gate.list_customers(*CUSTOMERS[:2])
        self.back_up_authority()
        named = frozenset(CUSTOMERS[:1])
        only = [f"customers/{customer}" for customer in named]
        latest, live = Request.DELIVERY_LATEST, Request.Live()
        self.readers += [
            Reader("the-key", Ledger()),
            Reader("the-key", Ledger(only=named), customers=only),
            Reader("the-key", Ledger(live=True), live=live),
            Reader("the-key", Ledger(folding=True), delivery=latest),
            Reader(LISTED, Ledger()),
            Reader(LISTED, Ledger(only=named), devices=[f"{name}/devices/ups" for name in only]),
        ]
        await self._start()
        for reader in self.readers:
            await self.connect(reader)

    async def end(self) -> None:
        """End everything."""
        for reader in self.readers:
            await self.hang_up(reader)
        await self.log.close()

    # The service

    async def _start(self) -> None:
        self._opened += 1
        self.log = self._store.open(WireEncoder(), lambda count: self._opened.to_bytes(count, "big"))
        ring = Ring(self.log.tail(), max_entries=4)  # so few that readers fall behind it
        self.log.subscribe(ring.take)
        feed = Feed(self.log, cast("Any", MemorySnapshots(self._store)), ring, self.clock, self._folder)
        self._servicer = self._servicer_class(feed, _KEY)

    async def crash(self, choice: int) -> None:
        """The process ends while a frame is being committed, or is not yet; another one opens the store."""
        customer = CUSTOMERS[choice % len(CUSTOMERS)]
        key, frame = stream(customer), self._frame(self._gateways[customer], choice)
        frame = replace(frame, number=await self.log.last_number(key) + 1)
        for reader in self.readers:
            await self.hang_up(reader)
        answer = await self.log.submit(key, frame)
        for _ in range(choice % 4):
            await asyncio.sleep(0)
        former = self.log
        await self._start()  # from here on the former one is fenced
        await former.close()
        with contextlib.suppress(ConsentryError):
            await answer
        await (await self.log.submit(key, frame))  # the gateway was not told, and sends it again
        await self._record()

    async def restore(self) -> None:
        """The process ends, and an older copy of the store takes its place."""
        for reader in self.readers:
            await self.hang_up(reader)
        await self.log.close()
        restores = self.published.restores + 1
        self._store, self.published = copy.deepcopy(self._backup)
        self.published.restores = restores
        for gateway in self._gateways.values():
            gateway.untold = True
        await self._start()

    def back_up(self) -> None:
        """Copy the store, as it is now."""
        self._backup = copy.deepcopy((self._store, self.published))

    async def remove(self, entries: int) -> None:
        """Retention removes so many entries, the oldest."""
        await self.log.remove_oldest(taken_before=None, max_entries=entries, max_bytes=10**9)
        self.published.first = self.log.first()

    def pass_time(self, choice: int) -> None:
        """Seconds pass, in which ends may come; somebody looks at once, or only at some of them."""
        self.clock.advance(1 + choice % 4)
        self.gate.look(set(CUSTOMERS if choice // 4 % 2 else CUSTOMERS[choice // 8 % 3 :][:1]))

    # Coverage

    def replace_authority(self, choice: int) -> None:
        """The authority's database is an older copy: numbers that were used come again, in a new epoch."""
        gate = self.gate
        gate.number, standings, credentials = self._authority[choice % len(self._authority)]
        # Customers that the copy does not know at all are known, and not connected, and whoever is on the list now stays on it:
        # cursors name nobody (`feed.returning`).
        gate.standings = {of: standings.get(of, MarkedStanding(*of)) for of in gate.standings}
        gate.credentials = {**credentials, LISTED: gate.credentials[LISTED]}
        gate.epoch += "'"
        self._restored = self.step
        gate.look(set(CUSTOMERS))

    def back_up_authority(self) -> None:
        """Copy the authority's database, as it is now."""
        self._authority.append((self.gate.number, dict(self.gate.standings), dict(self.gate.credentials)))

    def consent(self, customer: CustomerId, *classes: DataClass, start: int, lasts: float = 0) -> None:
        """The customer consents. What is open stays open from where it was: data from before would be told to nobody later."""
        standing = self.gate.standings.get((ACME, customer))
        if standing is not None and standing.consent is not None and isinstance(valid(standing, self.clock.now()), Allow):
            start = standing.consent.data_start_time
        end = Instant(self.clock.now() + round(lasts * SECOND)) if lasts else None
        self.gate.consent(customer, *classes, start=start, end=end)

    # Gateways

    async def publish(self, customer: CustomerId, choice: int) -> None:
        """The next frame of a customer's gateway, sent twice."""
        key, frame = stream(customer), self._frame(self._gateways[customer], choice)
        frame = replace(frame, number=await self.log.last_number(key) + 1)
        for answer in [await self.log.submit(key, frame) for _ in range(2)]:
            await answer
        await self._record()

    def _frame(self, gateway: Gateway, choice: int) -> Frame:
        """Readings, and sometimes an alarm's next event and the device's next name."""
        self.clock.advance(1)
        now = self.clock.now()
        alarms: tuple[Alarm, ...] = ()
        inventory = InventoryChange(now, (), (), ())
        if gateway.untold or choice % 5 == 0:
            gateway.names, gateway.untold = gateway.names + 1, False
            inventory = replace(
                inventory, devices=(device(name=str(gateway.names)),), sensors=tuple(sensor(id=each) for each in SENSORS)
            )
        if choice % 7 == 0:
            alarms = (Alarm("power", "ups", "Power Failure", "", 7, now),)
        blocks: list[TelemetryBlock] = []
        for index, each in enumerate(SENSORS):
            if choice >> index & 1:
                first = gateway.counted.get(each, 0) + 1
                last = gateway.counted[each] = first + choice % 2
                values = map(float, range(first, last + 1))
                blocks.append(telemetry(*values, id=each, customer=gateway.customer, start=now))
        self.clock.advance(2)
        size = sum(len(block.payload) for block in blocks)
        return Frame(0, now.to_bytes(8, "big"), size, now, inventory, alarms, tuple(blocks))

    async def _record(self) -> None:
        """Write down what was committed since."""
        entries = await self.log.read_after(self.published.tail, 100, max_bytes=10**9)
        self.published.add(entries)

    # Readers

    async def connect(self, reader: Reader) -> None:
        """Open the stream, if it is not."""
        if reader.stream is None:
            reader.call = RuleCall(self.gate, reader.secret)
            open_call = _open_call(reader)
            self.gate.calls[open_call] = reader.call
            reader.resumed = bool(reader.ledger.cursor)
            reader.stream = self._written(reader, open_call)
            await self.take(reader, 0)

    async def _written(self, reader: Reader, open_call: OpenCall) -> AsyncGenerator[bytes]:
        """What the stream tells, each message checked in the step in which it is handed over, as the gate does it."""
        stream = cast("AsyncGenerator[bytes]", self._servicer.Watch(reader.request(), cast("Any", None)))
        try:
            async for message in stream:
                open_call.check()
                denied = reader.call.denied(accesses(feed_pb2.WatchResponse.FromString(message)))
                if denied:
                    raise Wrong(f"told of {denied}, which are not covered")
                yield message
        finally:
            await stream.aclose()

    async def hang_up(self, reader: Reader) -> None:
        """The connection is gone."""
        if reader.awaited is not None:
            reader.awaited.cancel()
            await asyncio.wait([reader.awaited])
            reader.awaited = None
        if reader.stream is not None:
            await reader.stream.aclose()
            reader.stream = None
        self.gate.calls = {of: call for of, call in self.gate.calls.items() if call is not reader.call}

    async def lose(self, reader: Reader) -> None:
        """The client ends, and begins again with what it had written down."""
        await self.hang_up(reader)
        reader.ledger = copy.deepcopy(reader.kept)

    def keep(self, reader: Reader) -> None:
        """The client writes down what it was told and the cursor, together."""
        reader.kept = copy.deepcopy(reader.ledger)

    async def take(self, reader: Reader, messages: int) -> int:
        """Let a reader take so many messages, if there are as many. How many it took."""
        taken = 0
        while reader.stream is not None:
            if reader.awaited is None:
                current_call.set(_open_call(reader))
                reader.earliest, reader.made = self.published.counts(), None
                reader.awaited = asyncio.ensure_future(anext(reader.stream))
            for _ in range(_TURNS):
                if reader.awaited.done():
                    break
                await asyncio.sleep(0)
            if taken == messages or not reader.awaited.done():
                break
            awaited, reader.awaited = reader.awaited, None
            try:
                message = awaited.result()
            except OutOfRange:
                assert self.published.restores > reader.ledger.restores, "the cursor is of this very history"
                await self.hang_up(reader)
                reader.begin_anew()
                break
            except PermissionDenied:
                await self.hang_up(reader)
                break
            made = reader.made or self._made(reader)
            reader.ledger.take(feed_pb2.WatchResponse.FromString(message), made, self.published)
            if self._says_all(reader) and made.step > self._restored:
                reader.since = made.step - 1
            taken += 1
        return taken

    def _says_all(self, reader: Reader) -> bool:
        """Whether all about coverage had been told with the last message, by its cursor."""
        try:
            cursor = Cursors(_KEY, self.log, ACME, asked(reader.request()).filter.text).read(reader.ledger.cursor)
        except OutOfRange as error:
            raise Wrong(f"a cursor that is refused: {error}") from None
        return cursor.phase is Phase.STARTED

    def look(self) -> None:
        """A step is over: which messages have been made by now."""
        self.step += 1
        self._note_uncovered()
        for reader in self.readers:
            if reader.awaited is not None and reader.awaited.done() and reader.made is None:
                reader.made = self._made(reader)

    def _note_uncovered(self) -> None:
        now = self.clock.now()
        for secret in ("the-key", LISTED):
            key = cast("MarkedKey", self.gate.credentials[secret])
            for customer in CUSTOMERS:
                standing = self.gate.standings.get((ACME, customer), MarkedStanding(ACME, customer))
                if not isinstance(covered(key, standing, now), Allow):
                    self._uncovered[secret, customer] = self.step

    def _broken(self, reader: Reader) -> frozenset[CustomerId]:
        """Those who were not covered at some time since the reader was told all, by one of the keys that it came with."""
        if self._restored >= reader.since:
            return frozenset(CUSTOMERS)  # of the former history nothing can be said
        secrets = ("the-key", LISTED) if reader.switched >= reader.since else (reader.secret,)
        return frozenset(
            customer
            for customer in CUSTOMERS
            if any(self._uncovered.get((secret, customer), -1) >= reader.since for secret in secrets)
        )

    def _made(self, reader: Reader) -> Made:
        """What is so now."""
        standings = self.gate.standings.items()
        starts = {customer: standing.consent.data_start_time for (_, customer), standing in standings if standing.consent}
        return Made(reader.earliest, self.published.counts(), reader.resumed, starts, self._broken(reader), self.step)

    async def catch_up(self) -> None:
        """Every reader comes back, and takes all that there is; then it has to have everything."""
        self.gate.look(set(CUSTOMERS))
        for reader in self.readers:
            for _ in range(3):  # a stream may end by what it has to say, and then has to be opened again
                await self.connect(reader)
                while await self.take(reader, 1):
                    pass
            if reader.stream is not None:
                reader.ledger.complete(reader.call, self.published)


def _open_call(reader: Reader) -> OpenCall:
    call = OpenCall("/feed", cast("Any", None))
    call.caller, call.check_write = reader.call, reader.call.check
    return call
