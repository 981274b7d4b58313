"""Token buckets: so much at once, and so much a second on average. No I/O, and the time is an argument."""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

from consentry_core.values.clock import SECOND, BootTime


@dataclass(frozen=True, slots=True)
class Rate:
    """So much at once, and so much a second on average."""

    burst: float
    per_second: float


class Bucket:
    """What is left of a rate; full at first. It may be overdrawn, and fills again from there."""

    __slots__ = ("_at", "_left", "rate")

    def __init__(self, rate: Rate, now: BootTime) -> None:
        self.rate = rate
        self._left = rate.burst
        self._at = now

    def left(self, now: BootTime) -> float:
        """How much there is; below 0 when it is overdrawn."""
        self._left = min(self._left + (now - self._at) / SECOND * self.rate.per_second, self.rate.burst)
        self._at = now
        return self._left

    def full(self, now: BootTime) -> bool:
        """Whether it is as it was at first."""
        return self.left(now) >= self.rate.burst

    def wait(self, now: BootTime, amount: float = 0.0) -> float:
        """Seconds until there is so much."""
        return max(amount - self.left(now), 0.0) / self.rate.per_second

    def take(self, amount: float, now: BootTime) -> float:
        """Take so much, whether it is there or not; seconds until it is not overdrawn."""
        self._left = self.left(now) - amount
        return self.wait(now)

    def take_one(self, now: BootTime) -> bool:
        """Take one if it is there; whether it was."""
        if self.left(now) < 1:
            return False
        self._left -= 1
        return True


class Buckets:
    """A bucket for each name. At most so many are remembered: the one that was not asked for for longest is forgotten."""

    def __init__(self, *, most: int = 10_000) -> None:
        self._most = most
        self._buckets: OrderedDict[Hashable, Bucket] = OrderedDict()

    def of(self, name: Hashable, rate: Rate, now: BootTime) -> Bucket:
        """The name's bucket; from now on it fills at this rate."""
        bucket = self._buckets.get(name)
        if bucket is None:
            bucket = self._buckets[name] = Bucket(rate, now)
            if len(self._buckets) > self._most:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(name)
            bucket.rate = rate
        return bucket
