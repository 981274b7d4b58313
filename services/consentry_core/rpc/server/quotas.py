"""Quotas of keys, counted here: each enforcement point lets so much in by itself, and so does the authority.

Calls per minute are a bucket that fills steadily and holds a minute's worth: who was quiet may ask in a burst, and nobody gets
more than twice the number in any minute.
"""

from collections import Counter
from dataclasses import dataclass

from consentry_core.callers.quota_left import CALLS_LEFT, STREAMS_LEFT
from consentry_core.rpc.server.open_call import OpenCall
from consentry_core.values.clock import SECOND, BootTime
from consentry_core.values.errors import ResourceExhausted
from consentry_rule import Quota

_MINUTE = 60 * SECOND
_STREAMS_RETRY = 5.0  # nobody knows when one of the open ones ends


@dataclass(slots=True)
class _Bucket:
    calls: float
    filled: BootTime


class Quotas:
    """What is left of each key's quota. `streams_per_key` is for keys whose quota says nothing of streams; 0: any number."""

    def __init__(self, *, streams_per_key: int = 0) -> None:
        self._streams_per_key = streams_per_key
        self._buckets: dict[str, _Bucket] = {}  # one for each key that has a quota
        self._open: Counter[str] = Counter()
        self._streams: dict[OpenCall, str] = {}

    def admit(self, key: str, quota: Quota, call: OpenCall, now: BootTime) -> tuple[tuple[str, str], ...]:
        """Take a call of this key's in: what to tell of what is left, as metadata. ResourceExhausted beyond the quota."""
        told: list[tuple[str, str]] = []
        streams = quota.open_streams
        most = streams or self._streams_per_key
        if most and call.streaming and self._open[key] >= most:
            raise ResourceExhausted(
                f"the key has {most} streams open here, as many as it may; close one, or have its quota of open streams raised",
                retry_after=_STREAMS_RETRY,
                reason="OPEN_STREAMS_EXCEEDED",
                metadata={"quota": str(most)},
            )
        if quota.calls_per_minute:
            told.append((CALLS_LEFT, str(self._take(key, quota.calls_per_minute, now))))
        if call.streaming:
            # Counted without a quota too: one may be set while it is open.
            self._open[key] += 1
            self._streams[call] = key
        if streams:
            told.append((STREAMS_LEFT, str(max(streams - self._open[key], 0))))
        return tuple(told)

    def release(self, call: OpenCall) -> None:
        """A call is over, whether it was taken in or not."""
        key = self._streams.pop(call, None)
        if key is not None:
            self._open[key] -= 1
            if not self._open[key]:
                del self._open[key]

    def _take(self, key: str, per_minute: int, now: BootTime) -> int:
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = _Bucket(per_minute, now)
        bucket.calls = min(bucket.calls + (now - bucket.filled) * per_minute / _MINUTE, per_minute)
        bucket.filled = now
        if bucket.calls < 1:
            raise ResourceExhausted(
                f"the key may make {per_minute} calls a minute here; come back a little later, or have the quota raised",
                retry_after=(1 - bucket.calls) * 60 / per_minute,
                reason="CALLS_PER_MINUTE_EXCEEDED",
                metadata={"quota": str(per_minute)},
            )
        bucket.calls -= 1
        return int(bucket.calls)
