"""Messages on their way out."""

from collections.abc import Mapping
from types import MappingProxyType

from consentry.devices.v1 import feed_pb2
from consentry_core.values.clock import SECOND, Clock
from consentry_devices.blocks.wire import delimited
from consentry_devices.feed.cursor import Cursor, Cursors
from consentry_guard import Access, GuardedCall, Handed

_NOT_SAID: Mapping[Access, Handed] = MappingProxyType({})
_CURSOR = feed_pb2.WatchResponse.CURSOR_FIELD_NUMBER


class Outgoing:
    """Puts a cursor on each message, and tells the guard what is in it. `cursor` is where the reader stands once it has it."""

    def __init__(self, call: GuardedCall, cursors: Cursors, clock: Clock, cursor: Cursor) -> None:
        self.cursor = cursor
        self.count = 0
        """How many there were."""
        self._call = call
        self._cursors = cursors
        self._clock = clock
        self._last_at = clock.boot()

    def message(self, event: bytes, accesses: frozenset[Access], held: Mapping[Access, Handed] = _NOT_SAID) -> bytes:
        """The message with this event, to be handed over in this step. `held`: how much of each access is in it."""
        self._call.next_write(accesses)
        if held:
            self._call.hands_out(held)
        self.count += 1
        self._last_at = self._clock.boot()
        return delimited(_CURSOR, self._cursors.make(self.cursor).encode()) + event

    def own(self, response: feed_pb2.WatchResponse, accesses: frozenset[Access] = frozenset()) -> bytes:
        """A message of our own making. `accesses`: whom it says something about; nobody, or that a customer leaves.

        It is checked as data is, and holds no device's: in nobody's access log it counts as read.
        """
        message = self.message(response.SerializeToString(), accesses)
        self._call.hands_out(_NOT_SAID)
        return message

    def quiet_for(self) -> float:
        """Seconds since the last message."""
        return (self._clock.boot() - self._last_at) / SECOND
