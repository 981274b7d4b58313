"""Cursors: opaque positions in the feed, authenticated, and bound to store, partner and filter.

Bound to the partner and not to the key, so that a reader whose key was replaced goes on where it was.
"""

import hashlib
import hmac
import struct
from dataclasses import dataclass

from consentry_core.encoding import base64url, from_base64url
from consentry_core.errors import InvalidArgument, OutOfRange
from consentry_rule import Instant

_FIELDS = struct.Struct(">B8s8sQQq?")
_VERSION = 1
_TAG_BYTES = 16


@dataclass(frozen=True, slots=True)
class Cursor:
    """What a reader has dealt with.

    `seq`: the log's entries up to this one. `coverage`: the authority's changes of coverage up to this number, and the ends up
    to `time`, by the clock that decides; 0 until those who enter at the start have been told. `in_snapshot`: the first snapshot
    was not complete; resuming begins it again.
    """

    seq: int
    coverage: int
    time: Instant
    in_snapshot: bool = False


class Cursors:
    """Makes and reads the cursors of one reader: of one store, one partner, one filter (any text that tells filters apart)."""

    def __init__(self, key: bytes, store_id: str, partner: str, filter_text: str) -> None:
        self._key = key
        self._store = _digest(store_id.encode())
        self._reader = _digest(partner.encode() + b"\0" + filter_text.encode())

    def make(self, cursor: Cursor) -> str:
        """The text form."""
        fields = _FIELDS.pack(_VERSION, self._store, self._reader, cursor.seq, cursor.coverage, cursor.time, cursor.in_snapshot)
        return base64url(fields + self._tag(fields))

    def read(self, text: str) -> Cursor:
        """Read a text form.

        OutOfRange for a cursor of another store; InvalidArgument for a damaged or forged one, and for one of another partner or
        filter.
        """
        data = from_base64url(text)
        if data is None or len(data) != _FIELDS.size + _TAG_BYTES or data[0] != _VERSION:
            raise _invalid("must be the cursor of an earlier message")
        fields, tag = data[: _FIELDS.size], data[_FIELDS.size :]
        _, store, reader, seq, coverage, time, in_snapshot = _FIELDS.unpack(fields)
        if store != self._store:
            # Another store has another key, so this comes before the tag: what is refused needs no proof.
            raise OutOfRange("the cursor is of another store, which this one has replaced; start again with a snapshot")
        if not hmac.compare_digest(tag, self._tag(fields)):
            raise _invalid("must be the cursor of an earlier message")
        if reader != self._reader:
            raise _invalid("must come from a stream of the same partner with the same customers and data classes")
        return Cursor(seq, coverage, Instant(time), in_snapshot)

    def _tag(self, fields: bytes) -> bytes:
        return hashlib.blake2b(fields, key=self._key, digest_size=_TAG_BYTES).digest()


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=8).digest()


def _invalid(description: str) -> InvalidArgument:
    return InvalidArgument("after_cursor", description, reason="CURSOR_INVALID")
