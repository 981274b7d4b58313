"""How much a customer's gateways may publish together: token buckets, for readings and for bytes, and others for their backlog.

A bucket holds at most `BURST` seconds' worth. A frame goes in as soon as no bucket is overdrawn, and may overdraw it: so no
frame is too large, and on average nobody gets more than the rate. Nothing is refused: whoever has to wait is read later.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from consentry_core.values.clock import SECOND, BootTime
from consentry_devices.domain.frames import Frame

BURST = 10


@dataclass(frozen=True, slots=True)
class Rates:
    """How much in a second. 0: any amount."""

    readings: float
    bytes: float


@dataclass(frozen=True, slots=True)
class Quotas:
    """What a customer's gateways may publish together: news, and what they kept while they could not (`historical` frames)."""

    live: Rates
    backlog: Rates


UNLIMITED = Quotas(Rates(0, 0), Rates(0, 0))


class Bucket:
    """What is left of one rate; full at first."""

    __slots__ = ("_at", "_left", "_rate")

    def __init__(self, rate: float, now: BootTime) -> None:
        self._rate = rate
        self._left = rate * BURST
        self._at = now

    def left(self, now: BootTime) -> float:
        """How much there is; below 0 when it is overdrawn."""
        self._left = min(self._left + (now - self._at) / SECOND * self._rate, self._rate * BURST)
        self._at = now
        return self._left

    def take(self, amount: float, now: BootTime) -> None:
        """Take so much, whether it is there or not."""
        self._left = self.left(now) - amount

    def wait(self, now: BootTime) -> float:
        """Seconds until it is not overdrawn."""
        return max(-self.left(now) / self._rate, 0.0)

    def full(self, now: BootTime) -> bool:
        """Whether it is as it was at first."""
        return self.left(now) >= self._rate * BURST


class Allowance:
    """One customer's buckets."""

    def __init__(self, quotas: Quotas, now: BootTime) -> None:
        self._news = _Pair(quotas.live, now)
        self._backlog = _Pair(quotas.backlog, now)

    def wait(self, frame: Frame, now: BootTime) -> float:
        """Seconds until the frame may be taken in."""
        return max((bucket.wait(now) for bucket in self._of(frame).buckets()), default=0.0)

    def take(self, frame: Frame, now: BootTime) -> None:
        """The frame is taken in."""
        self._of(frame).take(frame, now)

    def untouched(self, now: BootTime) -> bool:
        """Whether it need not be remembered."""
        return all(bucket.full(now) for pair in (self._news, self._backlog) for bucket in pair.buckets())

    def _of(self, frame: Frame) -> "_Pair":
        return self._backlog if frame.historical else self._news


class _Pair:
    def __init__(self, rates: Rates, now: BootTime) -> None:
        self._readings = Bucket(rates.readings, now) if rates.readings else None
        self._bytes = Bucket(rates.bytes, now) if rates.bytes else None

    def buckets(self) -> Iterable[Bucket]:
        return [bucket for bucket in (self._readings, self._bytes) if bucket is not None]

    def take(self, frame: Frame, now: BootTime) -> None:
        if self._readings is not None:
            self._readings.take(frame.readings, now)
        if self._bytes is not None:
            self._bytes.take(frame.size, now)
