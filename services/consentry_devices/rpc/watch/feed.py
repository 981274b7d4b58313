"""FeedService: opens a `Watching` for each reader."""

from collections.abc import AsyncIterator

from consentry.devices.v1 import feed_pb2, feed_pb2_grpc
from consentry_core.rpc.server.open_call import Context
from consentry_devices.feed.cursor import Cursors
from consentry_devices.rpc.shares import Share
from consentry_devices.rpc.watch.question import asked
from consentry_devices.rpc.watch.shared import Feed
from consentry_devices.rpc.watch.watching import Watching
from consentry_guard import guarded_call
from consentry_rule import KeyKind


class FeedServicer(feed_pb2_grpc.FeedServiceServicer):
    """See the proto. Yields encoded messages: what was stored encoded is not encoded again."""

    def __init__(self, feed: Feed, cursor_key: bytes) -> None:
        self._feed = feed
        self._cursor_key = cursor_key

    async def Watch(  # type: ignore[override] # noqa: N802 - the proto's name; encoded messages
        self, request: feed_pb2.WatchRequest, context: Context
    ) -> AsyncIterator[bytes]:
        """See the proto."""
        question = asked(request)
        call = guarded_call()
        # A demo key reads another customer than the partner's other keys do: what one has told says nothing to the other.
        whose = f"{call.partner}/demo" if call.kind is KeyKind.DEMO else call.partner
        cursors = Cursors(
            self._cursor_key, self._feed.log, whose, question.filter.text, former_text=question.filter.former_text
        )
        after = cursors.read(question.after_cursor) if question.start == "after_cursor" else None
        key = call.identity.credential
        with self._feed.ring.listening() as bell, Share(self._feed.watched, key) as share:
            async with self._feed.starting.taken(key):
                share.hold(len(question.filter.customers) + len(question.filter.devices))
                changes = await (call.watch(question.filter.customers) if question.filter.customers else call.follow_all())
                changes.ring(bell)
                watching = Watching(
                    feed=self._feed,
                    question=question,
                    call=call,
                    changes=changes,
                    bell=bell,
                    cursors=cursors,
                    after=after,
                    share=share,
                )
                await watching.begin()
            async for message in watching.messages():
                yield message
