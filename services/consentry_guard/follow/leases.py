"""The lease in use, and what time it is at the authority. No I/O.

1. A lease is usable until `stamp + duration` on this machine's boot clock; `stamp` is when it was asked for.
2. Only while boot clock and wall clock go on together. In a virtual machine that was paused the boot clock has stood still, so
   the lease is older than it shows; the wall clock is set when the machine goes on. A wall clock that somebody sets looks the
   same: that costs the time until the next lease, and no data.
3. The authority reads its own boot clock with its time, and says for how long the question had waited there. It was asked after
   the stamp, and has read the clock before its answer was heard: so far is the one boot clock ahead of the other, at least and
   at most. What earlier answers have shown of that still holds, give or take the drift: an answer that was long on the way
   takes nothing from what is known.
4. Deadlines are held against the latest that the authority's time can be: an end comes never late by more than the drift within
   a lease, and early by no more than what is not known of 3. A lease with which that is more than `CLOCK_ERROR` is not used.
"""

from dataclasses import dataclass

from consentry_core.protocol.follow import CLOCK_DRIFT, Lease
from consentry_core.values.clock import SECOND, BootTime
from consentry_rule import Instant

CLOCK_ERROR = SECOND // 2
"""How early an end may take effect, at most."""

_APART = SECOND // 20
"""How far boot clock and wall clock may part: within epsilon, by which the authority waits longer than a lease lasts.

Both are slewed alike, so what parts them is a step, or a clock that stood still.
"""

_ASKED = 16  # leases that are asked for and not heard of


@dataclass(frozen=True, slots=True)
class Heard:
    """A lease as it was heard `at` a moment, with what is known of the authority's boot clock by then.

    That is ahead of ours by `least` to `most`. `apart`: by how much the wall clock was ahead when the lease was asked for.
    """

    lease: Lease
    at: BootTime
    least: int
    most: int
    apart: int

    @property
    def is_of_use(self) -> bool:
        """Whether it was not over when it came, and the authority's time is known well enough to hold deadlines against it."""
        return self.at < self.lease.stamp + self.lease.duration and self.most - self.least <= CLOCK_ERROR

    @property
    def ahead(self) -> int:
        """By how much the authority's time is ahead of our boot clock, at most."""
        boot = self.lease.authority_boot if self.lease.authority_clock else self.lease.authority_time
        return self.lease.authority_time - boot + self.most

    def goes_on(self, lease: Lease, apart: int) -> bool:
        """Whether what is known here of two clocks is of the same two by which a later lease came."""
        return lease.authority_clock == self.lease.authority_clock and abs(apart - self.apart) <= _APART


class Leases:
    """See the module. `now` is the boot clock's time, `wall` the wall clock's, both read in the same step."""

    def __init__(self) -> None:
        self._asked: dict[BootTime, int] = {}
        self._newest: Heard | None = None
        self._ends: BootTime | None = None
        self._least_apart = self._most_apart = 0
        self._ahead = 0  # of the authority's time before our boot clock, at most
        self._latest_now = Instant(0)

    def asked(self, now: BootTime, wall: Instant) -> None:
        """A lease is being asked for, with `now` as its stamp."""
        self._asked[now] = wall - now
        while len(self._asked) > _ASKED:
            del self._asked[next(iter(self._asked))]

    def heard(self, lease: Lease, now: BootTime, wall: Instant) -> Heard:
        """A lease has arrived."""
        apart = self._asked.get(lease.stamp, wall - now)
        self._asked = {stamp: before for stamp, before in self._asked.items() if stamp > lease.stamp}
        boot = lease.authority_boot if lease.authority_clock else lease.authority_time
        least, most = boot - now, boot - lease.waited - lease.stamp + round(lease.waited * CLOCK_DRIFT)
        former = self._newest
        if former is not None and lease.authority_clock and former.goes_on(lease, wall - now):
            drift = round((now - former.at) * CLOCK_DRIFT) + 1
            if least <= former.most + drift and former.least - drift <= most:  # else one of the two has stood still
                least, most = max(least, former.least - drift), min(most, former.most + drift)
        self._newest = Heard(lease, now, least, most, apart)
        return self._newest

    def use(self, heard: Heard) -> None:
        """This one counts from now on."""
        lease = heard.lease
        self._ends = BootTime(lease.stamp + lease.duration)
        self._least_apart, self._most_apart = heard.apart - _APART, heard.apart + _APART
        self._ahead = heard.ahead

    def give_up(self) -> None:
        """None counts any more."""
        self._ends = None

    def end(self) -> BootTime | None:
        """Until when the lease in use is usable, by the boot clock; None when there is none."""
        return self._ends

    def is_usable(self, now: BootTime, wall: Instant) -> bool:
        """Whether there is one, it lasts, and the clocks have not parted since it was asked for."""
        return self._ends is not None and now < self._ends and self._least_apart <= wall - now <= self._most_apart

    def has_parted(self, now: BootTime, wall: Instant) -> bool:
        """Whether there is one, and it is not usable because the clocks have parted."""
        return self._ends is not None and now < self._ends and not self.is_usable(now, wall)

    def serving_at(self, now: BootTime, wall: Instant) -> Instant | None:
        """`authority_now` if there is a usable lease, else None: what every write asks, in one step."""
        if self._ends is None or now >= self._ends or not self._least_apart <= wall - now <= self._most_apart:
            return None
        self._latest_now = instant = max(self._latest_now, Instant(now + self._ahead))
        return instant

    def authority_now(self, now: BootTime) -> Instant:
        """The latest that the authority's clock can show now. Never earlier than an earlier answer.

        It stands still once the lease has run out: nothing is served then, and the drift would grow without bound.
        """
        if self._ends is not None:
            self._latest_now = max(self._latest_now, Instant(min(now, self._ends) + self._ahead))
        return self._latest_now
