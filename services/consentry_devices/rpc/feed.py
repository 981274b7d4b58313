"""FeedService: opens a `Watching` for each reader."""

from collections.abc import AsyncIterator

from consentry.devices.v1 import feed_pb2, feed_pb2_grpc
from consentry_core.clock import Clock
from consentry_core.rpc.gate import Context
from consentry_devices.feed.cursor import Cursors
from consentry_devices.feed.log import Log
from consentry_devices.feed.ring import Ring
from consentry_devices.rpc.watch_question import asked
from consentry_devices.rpc.watching import Feed, Watching
from consentry_devices.state import State
from consentry_guard import guarded_call


class FeedServicer(feed_pb2_grpc.FeedServiceServicer):
    """See the proto. Yields encoded messages: what was stored encoded is not encoded again."""

    def __init__(self, log: Log, state: State, ring: Ring, cursor_key: bytes, clock: Clock) -> None:
        self._log = log
        self._ring = ring
        self._cursor_key = cursor_key
        self._feed = Feed(log, state, ring, clock)

    async def Watch(  # type: ignore[override] # noqa: N802 - the proto's name; encoded messages
        self, request: feed_pb2.WatchRequest, context: Context
    ) -> AsyncIterator[bytes]:
        """See the proto."""
        question = asked(request)
        call = guarded_call()
        cursors = Cursors(self._cursor_key, self._log.store_id, call.partner, question.filter_text)
        after = cursors.read(question.after_cursor) if question.start == "after_cursor" else None
        changes = await (call.watch(question.customers) if question.customers else call.follow_all())
        with self._ring.listening() as bell:
            changes.ring(bell)
            watching = Watching(
                feed=self._feed, question=question, call=call, changes=changes, bell=bell, cursors=cursors, after=after
            )
            async for message in watching.messages():
                yield message
