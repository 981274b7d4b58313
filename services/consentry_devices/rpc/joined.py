"""Messages out of entries: blocks of readings joined as they were stored, everything else one by one."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from consentry.devices.v1 import feed_pb2
from consentry_devices.feed.log import Entry, Kind
from consentry_devices.wire import delimited
from consentry_guard import Access

_MESSAGE_BYTES = 64 * 1024  # telemetry is joined up to about this size: cost is per message

# Field numbers of WatchResponse, for what is handed on as it was stored.
_TELEMETRY = feed_pb2.WatchResponse.TELEMETRY_FIELD_NUMBER
_DEVICES = feed_pb2.WatchResponse.Telemetry.DEVICES_FIELD_NUMBER
_FIELD_OF = {
    Kind.INVENTORY: feed_pb2.WatchResponse.INVENTORY_CHANGE_FIELD_NUMBER,
    Kind.ALARM: feed_pb2.WatchResponse.ALARM_CHANGE_FIELD_NUMBER,
    Kind.GAP: feed_pb2.WatchResponse.GAP_FIELD_NUMBER,
}


@dataclass(frozen=True, slots=True)
class Message:
    """The event of one WatchResponse, encoded, what it holds, and the log's entry that it goes up to."""

    event: bytes
    accesses: frozenset[Access]
    seq: int


def joined(entries: Iterable[Entry], open_payload: Callable[[Entry], bytes | None]) -> Iterator[Message]:
    """The messages, lazily. `open_payload` says what of an entry is handed out, in the step that its message is made in."""
    blocks: list[bytes] = []
    accesses: set[Access] = set()
    size, last = 0, 0
    for entry in entries:
        payload = open_payload(entry)
        if payload is None:
            continue
        access = (entry.customer, entry.data_class)
        is_block = entry.kind is Kind.TELEMETRY
        if blocks and (not is_block or size + len(payload) > _MESSAGE_BYTES):
            yield Message(delimited(_TELEMETRY, b"".join(blocks)), frozenset(accesses), last)
            blocks, accesses, size = [], set(), 0
        if not is_block:
            yield Message(delimited(_FIELD_OF[entry.kind], payload), frozenset({access}), entry.seq)
            continue
        blocks.append(delimited(_DEVICES, payload))
        accesses.add(access)
        size, last = size + len(payload), entry.seq
    if blocks:
        yield Message(delimited(_TELEMETRY, b"".join(blocks)), frozenset(accesses), last)
