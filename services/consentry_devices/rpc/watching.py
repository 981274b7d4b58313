"""One `Watch` under way: carries what a `Reader` decides.

The order of things, and why none is missed: the reader's coverage is followed and its bell is hung up before it is asked where
it stands; before each message, with nothing awaited in between, the changes of coverage are taken, so that whoever has left is
in no message; and the guard checks every (customer, data class) of the message in the step that hands it over.
"""

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import replace

from consentry.devices.v1 import feed_pb2, gap_pb2
from consentry_core import names
from consentry_core.clock import SECOND, Clock
from consentry_core.errors import ConsentryError
from consentry_core.rpc.follow_wire import data_classes_to_wire
from consentry_core.rpc.times import to_timestamp
from consentry_core.waking import Bell
from consentry_devices.feed.cursor import Cursor, Cursors
from consentry_devices.feed.log import Entry, Log
from consentry_devices.feed.reader import Added, Change, Reader
from consentry_devices.feed.ring import Ring
from consentry_devices.rpc.joined import joined
from consentry_devices.rpc.snapshot import ORDER, pieces
from consentry_devices.rpc.watch_question import Question
from consentry_devices.state import State
from consentry_devices.wire import delimited
from consentry_guard import CoverageChanges, GuardedCall

_ENTRIES = 500  # looked at in one go
_READ_BYTES = 1024 * 1024
_CURSOR = feed_pb2.WatchResponse.CURSOR_FIELD_NUMBER


class Feed:
    """What all readers share."""

    def __init__(self, log: Log, state: State, ring: Ring, clock: Clock) -> None:
        self.state = state
        self.clock = clock
        self._log = log
        self._ring = ring

    async def entries_after(self, seq: int) -> Sequence[Entry]:
        """From the ring if it has them, else from the log."""
        entries = self._ring.after(seq, _ENTRIES)
        if entries is None:
            entries = await self._log.read_after(seq, _ENTRIES, max_bytes=_READ_BYTES)
        return entries

    @property
    def tail(self) -> int:
        """Number of the newest entry."""
        return self._ring.tail


class Watching:
    """One `Watch` under way."""

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
    ) -> None:
        self._feed = feed
        self._question = question
        self._call = call
        self._changes = changes
        self._bell = bell
        self._cursors = cursors
        self._after = None if after is None or after.in_snapshot else after
        self._snapshots = question.start != "live"
        self._reader = Reader(call, question.data_classes)
        self._position = feed.tail if self._after is None else self._after.seq
        # What cursors say has been dealt with, and what they will say once `position` has reached the newest snapshot: before
        # that, a reader that came back would be told things that the snapshot has told it already.
        self._told = self._after or Cursor(self._position, 0, call.now(), in_snapshot=self._snapshots)
        self._coverage, self._looked_at = self._told.coverage, self._told.time
        self._settled_at = self._position
        self._said_at = feed.clock.boot()

    async def messages(self) -> AsyncIterator[bytes]:
        """All messages of the stream, encoded."""
        synced = False
        self._changes.take()
        async for message in self._tell(self._start()):
            yield message
        catch_up = max(self._feed.tail, self._settled_at)
        while True:
            news = self._changes.take()
            if news:
                async for message in self._tell(self._reader.changed(news, self._position)):
                    yield message
                continue
            if not synced and self._position >= catch_up:
                synced = True
                yield self._own(feed_pb2.WatchResponse(synced=feed_pb2.WatchResponse.Synced()))
                if self._question.stop_when_synced:
                    return
                continue
            entries = await self._feed.entries_after(self._position)
            async for encoded in self._hand_out(entries):
                yield encoded
            if not entries:
                await self._anything_new()
            if self._quiet_for() >= self._question.heartbeat:  # also when what happens all the time is not for this reader
                yield self._own(feed_pb2.WatchResponse(heartbeat=self._heartbeat()))

    def _start(self) -> Iterator[Change]:
        if self._after is None:
            return self._reader.start(self._question.customers, self._position)
        return self._reader.resume(self._question.customers, self._after)

    def _move_to(self, seq: int) -> None:
        """Everything up to this entry has been told."""
        self._position = seq
        if seq >= self._settled_at:
            self._told = Cursor(seq, self._coverage, self._looked_at)
        else:
            self._told = replace(self._told, seq=seq)

    # Coverage

    async def _tell(self, changes: Iterable[Change]) -> AsyncIterator[bytes]:
        """Say who enters and who leaves, as of now; whoever enters is followed by how its things stand."""
        gone: ConsentryError | None = None
        number, now = self._call.revision_number(), self._call.now()
        for change in tuple(changes):
            name = names.CUSTOMER.format(change.customer)
            response = feed_pb2.WatchResponse()
            if isinstance(change, Added):
                response.customer_added.customer = name
                response.customer_added.data_classes.extend(data_classes_to_wire(change.data_classes))
                yield self._own(response)
                if change.missed:
                    yield self._own(_gap(name))
                if self._snapshots and change.opened:
                    async for message in self._snapshot(change):
                        yield message
            else:
                gone = change.denial or gone
                response.customer_removed.customer = name
                response.customer_removed.reason = "WITHDRAWN" if change.denial is None else change.denial.reason
                yield self._own(response)
        if self._question.customers and not tuple(self._reader.members) and gone is not None:
            raise gone
        self._coverage, self._looked_at = number, now
        self._move_to(self._position)

    async def _snapshot(self, added: Added) -> AsyncIterator[bytes]:
        customer = added.customer
        snapshot = await self._feed.state.snapshot(customer)
        self._settled_at = max(self._settled_at, snapshot.seq)
        for data_class in (each for each in ORDER if each in added.opened):
            accesses = frozenset({(customer, data_class)})
            # Each piece is made in the step that hands it over: what is open may change while the one before is written.
            for event in pieces(customer, snapshot, data_class, lambda: self._call.opened_from(customer)):
                if self._reader.denied(accesses):
                    self._reader.not_told(customer, data_class)  # it has left meanwhile; the next look says so
                    break
                self._call.next_write(accesses)
                yield self._encode(event)
            else:
                self._reader.told(customer, data_class, snapshot.seq)

    # Entries

    async def _hand_out(self, entries: Sequence[Entry]) -> AsyncIterator[bytes]:
        """Hand out what of these entries the reader may have; stop early when coverage has changed."""
        for message in joined(entries, self._reader.open_payload):
            denied = self._reader.denied(message.accesses)
            news = self._changes.take() | denied
            if news:
                async for told in self._tell(self._reader.changed(news, self._position)):
                    yield told
                return  # the rest is looked at again, with other eyes
            self._call.next_write(message.accesses)
            self._move_to(message.seq)
            yield self._encode(message.event)
        if entries:
            self._move_to(entries[-1].seq)

    # Waiting

    def _quiet_for(self) -> float:
        """Seconds since the last message."""
        return (self._feed.clock.boot() - self._said_at) / SECOND

    async def _anything_new(self) -> None:
        """Wait for entries, a change of coverage, or the time of a heartbeat."""
        self._bell.clear()
        if self._feed.tail > self._position or self._changes:
            return
        # One bell for both kinds of news. (A task for each, as `asyncio.wait` wants them, was half of a waking's cost.)
        await self._bell.wait(max(self._question.heartbeat - self._quiet_for(), 0))

    def _heartbeat(self) -> feed_pb2.WatchResponse.Heartbeat:
        return feed_pb2.WatchResponse.Heartbeat(time=to_timestamp(self._feed.clock.now()))

    # Encoding

    def _own(self, response: feed_pb2.WatchResponse) -> bytes:
        """A message that holds nobody's data."""
        self._call.next_write(frozenset())
        return self._encode(response.SerializeToString())

    def _encode(self, event: bytes) -> bytes:
        self._said_at = self._feed.clock.boot()
        return delimited(_CURSOR, self._cursors.make(self._told).encode()) + event


def _gap(customer: str) -> feed_pb2.WatchResponse:
    return feed_pb2.WatchResponse(gap=gap_pb2.Gap(customer=customer, cause=gap_pb2.Gap.CAUSE_NOT_COVERED))
