"""One `Watch` under way: carries what a `Reader` decides.

The order of things, and why none is missed: the reader's coverage is followed and its bell is hung up before it is asked where
it stands; and before each message, with nothing awaited in between, there are three looks:

1. The changes of coverage are taken. Without this look, who was withdrawn and granted again in between would go on in silence.
2. What the message holds is asked for once more (`Reader.denied`): an end comes without news. Without this look, the stream
   would have to end where it can narrow.
3. The guard checks every (customer, data class) of the message, and all else, in the step that hands it over
   (`consentry_guard.calls.call.Call.check`).

The third is the promise's: it alone keeps what is denied from being handed over, and it stands when the others are gone. They
decide what is said instead. That a customer is covered is told in messages like any other; only that it is not is told without.

A reader may be about a hundred thousand customers. So what it does about many of them it does in pieces, in turns with all
other readers, and the keys take turns (`consentry_core.pacing.lanes`).
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from consentry_core.pacing.lanes import Pace
from consentry_core.pacing.waking import Bell
from consentry_core.values import names
from consentry_core.values.clock import SECOND
from consentry_core.values.errors import ConsentryError, OutOfRange
from consentry_devices.blocks.held import of_blocks
from consentry_devices.feed.coverage import Added, Change
from consentry_devices.feed.cursor import Cursor, Cursors, Known, Phase, Place
from consentry_devices.feed.folding import Folding
from consentry_devices.feed.joining import Message
from consentry_devices.feed.reader import Missing, Reader
from consentry_devices.log.entries import Entry, Kind
from consentry_devices.rpc.inventory_part import part
from consentry_devices.rpc.shares import Share
from consentry_devices.rpc.watch import events
from consentry_devices.rpc.watch.outgoing import Outgoing
from consentry_devices.rpc.watch.question import Question
from consentry_devices.rpc.watch.shared import Feed
from consentry_devices.rpc.watch.snapshot import ORDER
from consentry_guard import CoverageChanges, GuardedCall
from consentry_rule import Allow, CustomerId, DataClass, Instant

_FOLDED_AT_ONCE = 64  # entries: some milliseconds of the event loop
_FEW = 4  # customers: decided at once, by as many readers as are woken in one step


@dataclass(frozen=True, slots=True)
class _Decided:
    """What to say, and what was known when that was decided.

    `whole`: nothing has changed about coverage meanwhile. Else some was decided by what came later, and is among the changes
    that are taken next as well: only then it is known what all was decided by.
    """

    changes: Sequence[Change]
    known: Known
    whole: bool


class Watching:
    """See the module. `messages` is the stream."""

    def __init__(
        self,
        *,
        feed: Feed,
        question: Question,
        call: GuardedCall,
        changes: CoverageChanges,
        bell: Bell,
        cursors: Cursors,
        after: Cursor | None,
        share: Share,
    ) -> None:
        self._feed = feed
        self._share = share
        self._pace = Pace(feed.turns, call.identity.credential)
        self._started: _Decided | None = None
        self._unsaid: set[CustomerId] = set()  # denied when something was to be said of them
        self._question = question
        self._call = call
        self._changes = changes
        self._bell = bell
        self._after = after
        self._snapshots = question.start != "live"
        self._reader = Reader(call, call.identity.credential, question.filter, self._inventory_part)
        # Of coverage cursors say what was known before, until everything up to the newest snapshot has been told: before that,
        # a reader that came back would be told things that the snapshot has told it already.
        self._out = Outgoing(call, cursors, feed.clock, self._stand_at_first())
        self._known = self._out.cursor.known
        place = self._out.cursor.place
        self._position = self._settled_at = place.telemetry
        self._take_time = place.take_time
        self._folding = None if question.fold_every is None else Folding(place)
        # Up to here the stream of the cursor has told some. What it left comes first, unless no reading of it has been told.
        begun = place.telemetry < place.seq and (self._folding is None or place.device)
        self._behind = place.seq if begun else 0
        self._fold_up_to = 0
        self._fold_at = 0

    def _stand_at_first(self) -> Cursor:
        here = Place.at(self._feed.tail, self._feed.clock.now())
        if self._after is None:
            return Cursor(here, Known(), Phase.IN_SNAPSHOT if self._snapshots else Phase.ENTERING)
        return replace(self._after, place=here) if self._after.phase is Phase.IN_SNAPSHOT else self._after

    async def begin(self) -> None:
        """Decide who is told about at first, and with that what the stream holds. ResourceExhausted when it is too much."""
        self._changes.take()
        started = self._started = await self._decide(self._start())
        if self._after is None:  # nobody has been told yet
            named = None if started.known.named is None else frozenset[bytes]()
            self._out.cursor = replace(self._out.cursor, known=replace(started.known, named=named))

    async def messages(self) -> AsyncIterator[bytes]:
        """All messages of the stream, encoded. After `begin`."""
        synced = False
        started, self._started = self._started, None
        assert started is not None  # noqa: S101 - begun
        async for message in self._tell(started):
            yield message
        del started
        catch_up = self._fold_up_to = max(self._feed.tail, self._settled_at, self._behind)
        while True:
            async for message in self._tell_news():
                yield message
            if not synced and self._position >= max(catch_up, self._settled_at):  # who came meanwhile had a snapshot too
                async for message in self._tell_folded():
                    yield message
                synced = True
                yield self._out.own(events.synced())
                if self._question.stop_when_synced:
                    return
                continue
            async for message in self._go_on():
                yield message
            if self._out.quiet_for() >= self._question.heartbeat:  # also when what happens all the time is not for this reader
                yield self._out.own(events.heartbeat(self._feed.clock.now()))

    async def _go_on(self) -> AsyncIterator[bytes]:
        """Look at the next entries, or wait for them."""
        tail, told = self._feed.tail, self._out.count
        entries = await self._feed.entries_after(self._position)
        begin = entries[0].seq if entries else tail + 1
        if begin > self._position + 1:
            async for message in self._tell_missing(begin, entries[0].take_time if entries else self._feed.clock.now()):
                yield message
            return
        async for message in self._hand_out(entries) if self._folding is None else self._fold(self._folding, entries):
            yield message
        if not entries:
            await self._anything_new()
        elif told == self._out.count:
            await asyncio.sleep(0)  # nothing of it was for this reader, and others wait

    def _start(self) -> Iterator[Sequence[Change]]:
        return self._reader.start(self._position) if self._after is None else self._reader.resume(self._after, self._position)

    # Where it stands

    def _move_to(self, seq: int, take_time: Instant) -> None:
        """Everything up to this entry has been told or folded."""
        self._position, self._take_time = seq, take_time
        if self._folding is None:
            self._stand(self._out.cursor.place.moved_to(seq, take_time))
        else:
            self._folding.moved_to(seq, take_time)
            self._stand(self._folding.place)

    def _move_to_message(self, message: Message, entry: Entry) -> None:
        """With this message everything up to its entry is told, or a part of the entry and everything before it."""
        if not message.part:
            self._move_to(entry.seq, entry.take_time)
            return
        if self._position < entry.seq - 1:
            self._move_to(entry.seq - 1, entry.take_time)
        if self._folding is not None:
            self._folding.told_part(message.part)
        self._stand(replace(self._out.cursor.place if self._folding is None else self._folding.place, part=message.part))

    def _part_of(self, entries: Sequence[Entry]) -> int:
        """How many things of the first of these have been told."""
        place = self._out.cursor.place
        return place.part if entries and entries[0].seq == place.seq + 1 else 0

    def _stand(self, place: Place) -> None:
        settled = place.telemetry >= self._settled_at
        self._out.cursor = Cursor(place, self._known) if settled else replace(self._out.cursor, place=place)

    # Coverage

    async def _decide(self, changes: Iterable[Sequence[Change]]) -> _Decided:
        """What to say, and what was known before that was decided: what comes from then on is still to be told."""
        began = self._reader.known(self._call.ends_told())
        decided: list[Change] = []
        for index, some in enumerate(changes):
            decided += some
            if index >= _FEW and self._pace.over:
                self._hold()
                await self._pace.turn()
        self._hold()
        known = replace(self._reader.known(began.time), epoch=began.epoch, number=began.number)
        return _Decided(decided, known, whole=not self._changes)

    def _hold(self) -> None:
        """Count what this stream holds."""
        wanted = self._question.filter
        self._share.hold(max(len(wanted.customers) + len(wanted.devices), len(self._reader.members)))

    async def _tell_news(self) -> AsyncIterator[bytes]:
        """Say what has changed about coverage, if anything has. With nothing to say, nothing is awaited."""
        while news := self._changes.take() | self._unsaid:
            async for message in self._tell_changed(news):
                yield message

    async def _tell_changed(self, customers: Iterable[CustomerId]) -> AsyncIterator[bytes]:
        self._unsaid.difference_update(customers)
        changes = self._reader.changed(customers, self._position, self._out.cursor.place.take_time)
        async for message in self._tell(await self._decide(changes)):
            yield message

    async def _tell(self, decided: _Decided) -> AsyncIterator[bytes]:
        """Say who enters and who leaves, as of now; whoever enters is followed by how its things stand."""
        gone: ConsentryError | None = None
        changes, known = decided.changes, decided.known
        if changes:
            self._out.cursor = self._out.cursor.telling(known.key)
        for left, change in zip(range(len(changes) - 1, -1, -1), changes, strict=True):
            if len(changes) > _FEW:
                await self._pace.turn()
            if self._folding is not None and (not isinstance(change, Added) or DataClass.TELEMETRY in change.opened):
                self._folding.drop(change.customer)
            if isinstance(change, Added):
                async for message in self._tell_added(change, known.key):
                    yield message
            else:
                gone = change.denial or gone
                self._out.cursor = self._out.cursor.leaving(change.customer)
                if not left and decided.whole:
                    self._all_told(known)  # with this message
                yield self._out.own(events.removed(change.customer, change.denial))
        if self._question.filter.customers and not self._reader.members and gone is not None:
            raise gone
        if decided.whole:
            self._all_told(known)

    async def _tell_added(self, added: Added, key: bytes) -> AsyncIterator[bytes]:
        """Say that a customer enters, or has other classes, what is missing of it, and how its things stand."""
        if self._reader.denied(added.accesses):
            known = self._after is not None and self._out.cursor.may_know(added.customer)
            self._reader.not_said(added, known=known)
            self._unsaid.add(added.customer)
            return
        if added.enters:
            self._out.cursor = self._out.cursor.entering(added.customer, key)
        yield self._out.own(events.added(added), added.accesses)
        if self._snapshots and added.opened:
            async for message in self._snapshot(added):
                yield message
        else:
            missed = self._missed(added, self._take_time)
            if missed is not None:
                yield missed

    def _missed(self, added: Added, until: Instant) -> bytes | None:
        """The message of what is missing, if something is and may be said now."""
        missed = frozenset(each for each in added.missed if not self._reader.denied(((added.customer, each),)))
        self._reader.not_said_missing(replace(added, missed=added.missed - missed))
        if not missed:
            return None
        said = replace(added, missed=missed)
        return self._out.own(events.not_covered(said, until), said.accesses_missed)

    def _all_told(self, known: Known) -> None:
        """All that has changed about coverage has been said, as it was decided."""
        self._known = known
        self._stand(self._out.cursor.place if self._folding is None else self._folding.place)

    async def _snapshot(self, added: Added) -> AsyncIterator[bytes]:
        customer, devices = added.customer, None
        if self._question.filter.devices:
            devices = self._question.filter.devices_of(customer)
        with self._feed.new_snapshot(customer) as snapshot:
            async with self._feed.reading.taken(self._call.identity.credential):
                seq = await self._feed.state.snapshot(customer, added.opened, devices, snapshot.take)
            self._settled_at = max(self._settled_at, seq)
            missed = self._missed(added, self._feed.clock.now())
            if missed is not None:
                yield missed
            for data_class in (each for each in ORDER if each in added.opened):
                accesses = frozenset({(customer, data_class)})
                pieces = snapshot.pieces(data_class, lambda: self._call.opened_from(customer))
                while True:
                    await self._pace.turn()
                    # Each is made in the step that hands it over: what is open may change while the one before is written.
                    piece = next(pieces, None)
                    if piece is None:
                        self._reader.told(customer, data_class, seq)
                        if data_class in snapshot.damaged:
                            yield self._out.own(events.damaged(customer, data_class))
                        break
                    if self._reader.denied(accesses):
                        self._reader.not_told(customer, data_class)  # it has left meanwhile; the next look says so
                        break
                    if self._folding is not None:
                        for block in piece.blocks:
                            self._folding.told(customer, block)
                    yield self._out.message(piece.event, accesses, of_blocks(piece.blocks))

    def _inventory_part(self, customer: CustomerId, payload: bytes) -> bytes | None:
        devices = self._question.filter.devices_of(customer)
        return part(payload, {names.DEVICE.format(customer, device) for device in devices})

    # Entries

    def _open_payload(self, entry: Entry) -> bytes | None:
        return None if self._out.cursor.place.is_past(entry) else self._reader.open_payload(entry)

    async def _hand_out(self, entries: Sequence[Entry]) -> AsyncIterator[bytes]:
        """Hand out what of these entries the reader may have; stop early when coverage has changed."""
        part = self._out.cursor.place.part
        if self._position >= self._behind and not part:
            messages = self._feed.joining.messages(entries, self._reader)
        else:
            messages = self._feed.joining.one_by_one(entries, self._open_payload, self._part_of(entries))
        for message in messages:
            news = self._changes.take() | self._reader.denied(message.accesses)  # looks 1 and 2
            if news:
                async for told in self._tell_changed(news):
                    yield told
                return  # the rest is looked at again, with other eyes
            self._move_to_message(message, entries[message.seq - entries[0].seq])
            yield self._out.message(message.event, message.accesses, message.held)
        if entries:
            self._move_to(entries[-1].seq, entries[-1].take_time)

    async def _fold(self, folding: Folding, entries: Sequence[Entry]) -> AsyncIterator[bytes]:
        """Fold readings, hand out everything else, and then the newest readings if it is time for them."""
        for index, entry in enumerate(entries):
            if 0 < self._behind < entry.seq:
                break
            payload = self._open_payload(entry)
            if payload is not None and entry.kind is Kind.TELEMETRY:
                folding.add(entry, payload)
            elif payload is not None:
                for message in self._feed.joining.alone(entry, payload, self._part_of((entry,))):
                    news = self._changes.take() | self._reader.denied(message.accesses)
                    if news:
                        async for told in self._tell_changed(news):
                            yield told
                        return
                    self._move_to_message(message, entry)
                    yield self._out.message(message.event, message.accesses, message.held)
                continue
            self._move_to(entry.seq, entry.take_time)
            if index % _FOLDED_AT_ONCE == _FOLDED_AT_ONCE - 1:
                await asyncio.sleep(0)
        caught_up = self._position >= self._fold_up_to and self._feed.clock.boot() >= self._fold_at
        is_behind = 0 < self._behind <= self._position
        if is_behind or (folding and caught_up):
            async for told in self._tell_folded():
                yield told
        if is_behind:
            self._behind = 0

    async def _tell_folded(self) -> AsyncIterator[bytes]:
        """Hand out the newest readings, all that are pending."""
        while self._folding:
            async for told in self._tell_news():
                yield told
            message = self._folding.take(self._telemetry_opened_from, self._take_time)
            self._stand(self._folding.place)
            if message is not None:
                self._fold_at = self._feed.clock.boot() + (self._question.fold_every or 0)
                yield self._out.message(events.folded(message), message.accesses, of_blocks(message.blocks))
        self._fold_up_to = self._feed.tail

    def _telemetry_opened_from(self, customer: CustomerId) -> Instant | None:
        is_open = isinstance(self._call.decide(customer, DataClass.TELEMETRY), Allow)
        return self._call.opened_from(customer) if is_open else None

    async def _tell_missing(self, begin: int, take_time: Instant) -> AsyncIterator[bytes]:
        """Say what was removed before this reader came to it; entry `begin` is the first that there may be."""
        removals = await self._feed.log.removed(self._reader.members)
        place = self._out.cursor.place
        missed: list[Missing] = []
        for each in self._reader.missing(removals, max(place.seq, self._position), self._position):
            if each is not None:
                missed.append(each)
            if self._pace.over:
                await self._pace.turn()
        for missing in (each for each in missed if each.customer in self._reader.members):  # some may have left meanwhile
            if self._question.strict:
                raise OutOfRange("what follows the cursor is no longer kept; start again with a snapshot")
            accesses = frozenset((missing.customer, data_class) for data_class in missing.data_classes)
            if not self._reader.denied(accesses):  # else it has left meanwhile; the next look says so
                yield self._out.own(events.not_kept(missing, place.take_time), accesses)
        self._move_to(begin - 1, take_time)

    # Waiting

    async def _anything_new(self) -> None:
        """Wait for entries, a change of coverage, the time of a heartbeat, or that of a sample."""
        self._bell.clear()
        if self._feed.tail > self._position or self._changes or self._unsaid:
            return
        wait = self._question.heartbeat - self._out.quiet_for()
        if self._folding:
            wait = min(wait, (self._fold_at - self._feed.clock.boot()) / SECOND)
        # One bell for both kinds of news. (A task for each, as `asyncio.wait` wants them, was half of a waking's cost.)
        await self._bell.wait(max(wait, 0))
