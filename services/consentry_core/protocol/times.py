"""Instants and protobuf's times, both ways."""

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from consentry_core.values.errors import InvalidArgument
from consentry_rule import Instant

_NANOS = 10**9
_EARLIEST, _LATEST = 0, 253_402_300_799  # 1970-01-01 to 9999-12-31, in seconds


def to_timestamp(instant: Instant) -> Timestamp:
    """The instant on the wire."""
    return Timestamp(seconds=instant // _NANOS, nanos=instant % _NANOS)


def optional_timestamp(instant: Instant | None) -> Timestamp | None:
    """The instant on the wire; None leaves the field out."""
    return None if instant is None else to_timestamp(instant)


def from_timestamp(timestamp: Timestamp, field: str) -> Instant:
    """The instant. InvalidArgument when it is not a time between 1970 and 9999."""
    if not (_EARLIEST <= timestamp.seconds <= _LATEST and 0 <= timestamp.nanos < _NANOS):
        raise InvalidArgument(field, "must be a time between the years 1970 and 9999", reason="TIME_INVALID")
    # Within 64 bits of nanoseconds, which is what is stored: up to the year 2262. Later is as good as that.
    return Instant(min(timestamp.seconds * _NANOS + timestamp.nanos, 2**63 - 1))


def optional_instant(message: Message, field: str) -> Instant | None:
    """The instant that a field holds; None when it is left out. InvalidArgument as `from_timestamp`."""
    return from_timestamp(getattr(message, field), field) if message.HasField(field) else None


def to_duration(nanoseconds: int) -> Duration:
    """A duration on the wire."""
    return Duration(seconds=nanoseconds // _NANOS, nanos=nanoseconds % _NANOS)


def from_duration(duration: Duration) -> int:
    """Nanoseconds."""
    return int(duration.seconds) * _NANOS + duration.nanos
