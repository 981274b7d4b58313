"""Messages out of entries, made once for all readers that may have the same of them. No I/O.

Blocks of readings are joined as they were stored, up to a message's size; everything else is a message by itself. A message
depends on its entries and on which (customer, data class) of them are open, whole; two readers to whom the same is open get the
same bytes. To whom only a part of something is open (data older than the consent opens, entries that a snapshot has told), the
entries are handed out one by one.

Whether a message may be written is another question: it is asked of the guard for every reader, when the message is written.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import Protocol

from consentry_devices.blocks.held import of_blocks
from consentry_devices.blocks.wire import delimited
from consentry_devices.log.entries import Entry, Kind
from consentry_devices.log.ring import BATCH_BYTES
from consentry_guard import Access, Handed
from consentry_rule import Instant

_AROUND = 1_000  # about the bytes that are remembered of a batch besides its messages


@dataclass(frozen=True, slots=True)
class Message:
    """The event of one WatchResponse, encoded; what it holds, and how much of each; the log's entry that it goes up to.

    `part`: with it so many things of that entry have been told, and others follow; 0: all of it.
    """

    event: bytes
    accesses: frozenset[Access]
    seq: int
    held: Mapping[Access, Handed]
    part: int = 0


@dataclass(slots=True)
class Extent:
    """Of one access in a batch of entries: the first and the last of them, and the earliest time of their data."""

    first: int
    last: int
    min_time: Instant


class Eyes(Protocol):
    """What a reader may have of entries: the part of `Reader` that is asked here."""

    def open_wholly(self, extents: Mapping[Access, Extent]) -> frozenset[Access] | None:
        """The accesses of which everything is open, the others being closed; None when something is open in part."""
        ...

    def open_payload(self, entry: Entry) -> bytes | None:
        """What of an entry may be handed out."""
        ...


@dataclass(frozen=True, slots=True)
class Fields:
    """The numbers of the fields that what was stored is handed on in."""

    telemetry: int
    devices: int
    of: Mapping[Kind, int]
    damaged: bytes
    """What is said, as a gap, of an entry that is damaged."""


Pieces = Callable[[bytes, int], Iterable[tuple[bytes, int]]]
"""A stored inventory change as several that are no larger than a message may be; see `rpc.inventory_part.pieces`."""


@dataclass(slots=True)
class _Known:
    """What has been made of a batch of entries."""

    extents: Mapping[Access, Extent]
    messages: dict[frozenset[Access], Sequence[Message]] = field(default_factory=dict)
    bytes: int = 0


class Joining:
    """See the module. What was made is remembered up to `max_bytes`; what was used longest ago goes."""

    def __init__(self, fields: Fields, pieces: Pieces, *, max_bytes: int = 16 * 1024 * 1024) -> None:
        self._fields = fields
        self._pieces = pieces
        self._max_bytes = max_bytes
        self._known: OrderedDict[tuple[int, int], _Known] = OrderedDict()
        self._bytes = 0

    def messages(self, entries: Sequence[Entry], eyes: Eyes) -> Iterable[Message]:
        """The messages for one reader; made one by one, as they are asked for, if they are for this reader alone."""
        if not entries:
            return ()
        known = self._of(entries)
        opened = eyes.open_wholly(known.extents)
        if opened is None:
            return self.one_by_one(entries, eyes.open_payload)
        messages = known.messages.get(opened)
        if messages is None:
            messages = known.messages[opened] = tuple(
                self.one_by_one(entries, lambda entry: entry.payload if (entry.customer, entry.data_class) in opened else None)
            )
            self._remember(known, sum(len(message.event) for message in messages))
        return messages

    def _of(self, entries: Sequence[Entry]) -> _Known:
        place = entries[0].seq, entries[-1].seq
        known = self._known.get(place)
        if known is None:
            known = self._known[place] = _Known(_extents(entries))
            self._remember(known, _AROUND)
        else:
            self._known.move_to_end(place)
        return known

    def _remember(self, known: _Known, size: int) -> None:
        known.bytes += size
        self._bytes += size
        while self._bytes > self._max_bytes:
            self._bytes -= self._known.popitem(last=False)[1].bytes

    def one_by_one(
        self, entries: Iterable[Entry], open_payload: Callable[[Entry], bytes | None], part: int = 0
    ) -> Iterator[Message]:
        """The messages for one reader alone, lazily: what is open of an entry is asked when its message is made.

        Of the first entry so many things have been told.
        """
        blocks: list[bytes] = []
        accesses: set[Access] = set()
        size, last = 0, 0
        for entry, told in zip(entries, chain((part,), repeat(0)), strict=False):
            payload = open_payload(entry)
            if payload is None:
                continue
            is_block = entry.kind is Kind.TELEMETRY
            if blocks and (not is_block or size + len(payload) > BATCH_BYTES):
                yield self._telemetry(blocks, accesses, last)
                blocks, accesses, size = [], set(), 0
            if not is_block:
                yield from self.alone(entry, payload, told)
                continue
            blocks.append(payload)
            accesses.add((entry.customer, entry.data_class))
            size, last = size + len(payload), entry.seq
        if blocks:
            yield self._telemetry(blocks, accesses, last)

    def alone(self, entry: Entry, payload: bytes, part: int = 0) -> Iterator[Message]:
        """The messages of an entry that is no block of readings: of a large inventory change several, made one by one."""
        if entry.kind is Kind.DAMAGED:
            yield Message(delimited(self._fields.of[Kind.GAP], self._fields.damaged), frozenset(), entry.seq, {})
            return
        access = entry.customer, entry.data_class
        devices = frozenset() if entry.device is None else frozenset({entry.device})
        pieces = self._pieces(payload, part) if entry.kind is Kind.INVENTORY else ((payload, 0),)
        for piece, told in pieces:
            event = delimited(self._fields.of[entry.kind], piece)
            yield Message(event, frozenset({access}), entry.seq, {access: Handed(devices=devices)}, told)

    def _telemetry(self, blocks: Sequence[bytes], accesses: Iterable[Access], last: int) -> Message:
        joined = b"".join([delimited(self._fields.devices, block) for block in blocks])
        return Message(delimited(self._fields.telemetry, joined), frozenset(accesses), last, of_blocks(blocks))


def _extents(entries: Iterable[Entry]) -> Mapping[Access, Extent]:
    extents: dict[Access, Extent] = {}
    for entry in entries:
        extent = extents.get((entry.customer, entry.data_class))
        if extent is None:
            extents[entry.customer, entry.data_class] = Extent(entry.seq, entry.seq, entry.min_time)
        else:
            extent.last = entry.seq
            extent.min_time = min(extent.min_time, entry.min_time)
    return extents
