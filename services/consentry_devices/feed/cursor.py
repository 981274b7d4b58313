"""Cursors: opaque positions in the feed, authenticated, and bound to store, partner and filter.

Bound to the partner and not to the key, so that a reader whose key was replaced goes on where it was. Bound also to the run
that wrote the entry it stands at: a store that was restored from an older copy of itself has lost what a cursor from before has
told, and gives its numbers once more.
"""

import hashlib
import hmac
import struct
from dataclasses import dataclass, replace
from enum import Enum
from typing import Protocol

from consentry_core.values.encoding import base64url, from_base64url
from consentry_core.values.errors import InvalidArgument, OutOfRange
from consentry_core.values.reasons import ErrorReason
from consentry_devices.log.entries import Entry, Kind
from consentry_rule import Instant

_FIELDS = struct.Struct(">B8s8s8sBQQqQQq8s8s8sBBB")
_VERSION = 3
_TAG_BYTES = 16
_DIGEST_BYTES = 8
_BEFORE_PART = "\n"
NOTHING = bytes(_DIGEST_BYTES)
"""The digest of no members."""
MOST_NAMED = 50
"""So many customers a cursor names; of more it says only which key covers them."""
_UNNAMED = 255
_LISTLESS, _MIXED, _RESTORED = 1, 2, 4


class Phase(Enum):
    """What the stream was about that a cursor is of."""

    STARTED = 0
    """All who enter at the start have been told, and all who have entered and left since."""
    ENTERING = 1
    """Not all of them, in a stream that began without the current state."""
    IN_SNAPSHOT = 2
    """The first snapshot was not complete; resuming begins it again."""
    TELLING = 3
    """Some who have entered since may have been told, and it is not known who."""


@dataclass(frozen=True, slots=True)
class Known:
    """What was known of coverage: the authority's changes up to `number` of its epoch, and ends up to `time` by its clock.

    `key` is whose coverage it was, `members` who was told about. Epoch, key and members as digests; of the members those of
    all, one laid over the other. `named`: the digests of each; None when there are too many.

    `listless`: the key has no list, so whoever was valid was covered. `mixed`: the streams up to here came with several keys;
    `restored`: in several epochs. What a reader was told by another key, or in another epoch, no number tells.
    """

    epoch: bytes = NOTHING
    number: int = 0
    time: Instant = Instant(0)  # noqa: RUF009 - a number
    key: bytes = NOTHING
    members: bytes = NOTHING
    named: frozenset[bytes] | None = frozenset()
    listless: bool = False
    mixed: bool = False
    restored: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """What of the log a reader has dealt with.

    `seq`: the entries up to this one. `telemetry`: of blocks of readings only those up to this one, because some of the values
    after it are still to be told; and, up to `seq`, those of the devices that come no later than `device`, see `device_key`.
    `folded`: readings up to `telemetry` that were folded and that no message has counted yet. `take_time`: when the last entry
    was taken in up to which everything has been dealt with. `part`: of the entry after `seq` so many things have been told.
    """

    seq: int
    telemetry: int
    take_time: Instant
    folded: int = 0
    device: str = ""
    part: int = 0

    @classmethod
    def at(cls, seq: int, take_time: Instant) -> "Place":
        """Everything up to this entry."""
        return cls(seq, seq, take_time)

    def is_past(self, entry: Entry) -> bool:
        """Whether an entry, one after `telemetry`, has been dealt with."""
        if entry.seq > self.seq:
            return False
        device, _, sensor = self.device.partition(BEFORE_SENSOR)
        key = device_key(entry)
        return entry.kind is not Kind.TELEMETRY or key < device or (key == device and not sensor)

    def moved_to(self, seq: int, take_time: Instant) -> "Place":
        """The place of a reader that tells everything, once it has told what was left up to this entry."""
        if seq < self.seq:
            return replace(self, telemetry=seq, take_time=take_time)
        return replace(Place.at(seq, take_time), part=self.part if seq == self.seq else 0)


BEFORE_SENSOR = "\0"


def device_key(entry: Entry) -> str:
    """What devices are ordered by when their values are told after having been folded.

    In a place, `BEFORE_SENSOR` and a sensor's id may follow: of that device, only the values up to that sensor have been told.
    """
    return f"{entry.customer}/{entry.device}"


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a reader stands: in the log, towards coverage, and in its start.

    `entered`: the digests of those who have been said to enter since `known`, and of whom not all may have been told.
    """

    place: Place
    known: Known
    phase: Phase = Phase.STARTED
    entered: frozenset[bytes] = frozenset()

    def telling(self, key: bytes) -> "Cursor":
        """Where it stands while it is told of changes, decided with this key.

        With the same key they will be decided the same. With another one than before, what was known helps nobody any more,
        unless the members are named.
        """
        phase = Phase.TELLING if self.phase is Phase.STARTED else self.phase
        return replace(self, phase=phase)._unless_unnamed(key)

    def entering(self, customer: str, key: bytes) -> "Cursor":
        """Where it stands once it has been said that a customer enters."""
        mark, named = digest(customer), self.known.named
        if named is None or mark in named or mark in self.entered:
            return self
        if len(named) + len(self.entered) == MOST_NAMED:
            return replace(self, known=replace(self.known, named=None), entered=frozenset())._unless_unnamed(key)
        return replace(self, entered=self.entered | {mark})

    def leaving(self, customer: str) -> "Cursor":
        """Where it stands once it has been said that a customer leaves."""
        mark, named = digest(customer), self.known.named
        if named is None or (mark not in named and mark not in self.entered):
            return self
        return replace(self, known=replace(self.known, named=named - {mark}), entered=self.entered - {mark})

    def may_know(self, customer: str) -> bool:
        """Whether the reader may have been said that a customer enters, and not since that it leaves."""
        mark, named = digest(customer), self.known.named
        return self.phase is not Phase.STARTED if named is None else mark in named or mark in self.entered

    def _unless_unnamed(self, key: bytes) -> "Cursor":
        if self.known.key == key or self.known.named is not None:
            return self
        return replace(self, known=replace(self.known, epoch=NOTHING, key=NOTHING))


class Numbering(Protocol):
    """What tells the entries apart that had the same number: the part of `Log` that is needed here."""

    @property
    def store_id(self) -> str:
        """See `Log.store_id`."""
        ...

    def tail(self) -> int:
        """See `Log.tail`."""
        ...

    def run_of(self, seq: int) -> str:
        """See `Log.run_of`."""
        ...


class Cursors:
    """Makes and reads the cursors of one reader: of one log, one partner, one filter (any text that tells filters apart).

    `former_text`: what the same filter was called before; cursors from then are read too.
    """

    def __init__(self, key: bytes, log: Numbering, partner: str, filter_text: str, *, former_text: str | None = None) -> None:
        self._key = key
        self._log = log
        self._store = digest(log.store_id)
        self._reader = digest(f"{partner}\0{filter_text}")
        self._former = self._reader if former_text is None else digest(f"{partner}\0{former_text}")
        self._run = ("", digest(""))

    def make(self, cursor: Cursor) -> str:
        """The text form."""
        place, known = cursor.place, cursor.known
        fields = _FIELDS.pack(
            _VERSION, self._store, self._reader, self._run_of(place.seq), cursor.phase.value, place.seq, place.telemetry,
            place.take_time, place.folded, known.number, known.time, known.epoch, known.key, known.members,
            _LISTLESS * known.listless | _MIXED * known.mixed | _RESTORED * known.restored,
            _UNNAMED if known.named is None else len(known.named), len(cursor.entered),
        )  # fmt: skip
        if known.named or cursor.entered:
            fields += b"".join((*sorted(known.named or ()), *sorted(cursor.entered)))
        if place.device or place.part:
            fields += f"{place.device}{_BEFORE_PART}{place.part or ''}".encode()
        return base64url(fields + self._tag(fields))

    def read(self, text: str) -> Cursor:
        """Read a text form.

        OutOfRange for a cursor of another store, or of what this one has lost; InvalidArgument for a damaged or forged one, and
        for one of another partner or filter.
        """
        data = from_base64url(text)
        if data is None or len(data) < _FIELDS.size + _TAG_BYTES or data[0] != _VERSION:
            raise _invalid("must be the cursor of an earlier message")
        told, tag = data[:-_TAG_BYTES], data[-_TAG_BYTES:]
        fields = _FIELDS.unpack_from(told)
        _, store, reader, run, phase, seq, telemetry, take_time, folded, number, time, epoch, key, members = fields[:14]
        if store != self._store:
            # Another store has another key, so this comes before the tag: what is refused needs no proof.
            raise OutOfRange("the cursor is of another store, which this one has replaced; start again with a snapshot")
        if not hmac.compare_digest(tag, self._tag(told)):
            raise _invalid("must be the cursor of an earlier message")
        if reader not in (self._reader, self._former):
            raise _invalid("must come from a stream of the same partner with the same customers, data classes and devices")
        if seq > self._log.tail() or run != self._run_of(seq):
            raise OutOfRange("the store was restored from a copy that is older than the cursor; start again with a snapshot")
        flags, named, entered = fields[14:]
        marks = 0 if named == _UNNAMED else named
        ends = _FIELDS.size + marks * _DIGEST_BYTES, _FIELDS.size + (marks + entered) * _DIGEST_BYTES
        known = Known(
            epoch,
            number,
            Instant(time),
            key,
            members,
            None if named == _UNNAMED else _marks(told[_FIELDS.size : ends[0]]),
            bool(flags & _LISTLESS),
            bool(flags & _MIXED),
            bool(flags & _RESTORED),
        )
        device, _, part = told[ends[1] :].decode().partition(_BEFORE_PART)
        place = Place(seq, telemetry, Instant(take_time), folded, device, int(part or 0))
        return Cursor(place, known, Phase(phase), _marks(told[ends[0] : ends[1]]))

    def _run_of(self, seq: int) -> bytes:
        run = self._log.run_of(seq)
        if run != self._run[0]:
            self._run = (run, digest(run))
        return self._run[1]

    def _tag(self, fields: bytes) -> bytes:
        return hashlib.blake2b(fields, key=self._key, digest_size=_TAG_BYTES).digest()


def digest(text: str) -> bytes:
    """Eight bytes that tell texts apart."""
    return hashlib.blake2b(text.encode(), digest_size=_DIGEST_BYTES).digest()


def _marks(data: bytes) -> frozenset[bytes]:
    return frozenset(data[start : start + _DIGEST_BYTES] for start in range(0, len(data), _DIGEST_BYTES))


def laid_over(one: bytes, other: bytes) -> bytes:
    """Two digests, one over the other: in whichever order they are laid, and taken off by laying them over once more."""
    return bytes(a ^ b for a, b in zip(one, other, strict=True))


def _invalid(description: str) -> InvalidArgument:
    return InvalidArgument("after_cursor", description, reason=ErrorReason.CURSOR_INVALID)
