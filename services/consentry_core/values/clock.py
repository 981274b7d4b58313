"""Time as a dependency. Nothing else in the product reads a clock."""

import time
from typing import NewType, Protocol

from consentry_rule import Instant

BootTime = NewType("BootTime", int)
"""Nanoseconds since this machine booted, system suspend included. Compare only within one machine."""

SECOND = 1_000_000_000


class Clock(Protocol):
    """Wall time for what people see, boot time for durations."""

    def now(self) -> Instant:
        """Wall time. Never earlier than an earlier answer: an end does not un-happen when the system clock steps back."""
        ...

    def boot(self) -> BootTime:
        """Monotonic time that goes on while the system is suspended."""
        ...

    def wall(self) -> Instant:
        """The wall clock as it is set, steps and all. Only for seeing whether it goes on together with the boot clock."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def __init__(self) -> None:
        self._latest = Instant(0)

    def now(self) -> Instant:
        """The time of day, held back from going backwards."""
        self._latest = max(self._latest, Instant(time.time_ns()))
        return self._latest

    def boot(self) -> BootTime:
        """The time since the machine started. CLOCK_BOOTTIME where there is one: CLOCK_MONOTONIC stops in system suspend."""
        return BootTime(time.clock_gettime_ns(_BOOT_CLOCK))

    def wall(self) -> Instant:
        """The time of day as it is set."""
        return Instant(time.time_ns())


class Following:
    """A clock whose wall time is the wall clock as it is set, steps and all: for saying when something was measured."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def now(self) -> Instant:
        """The wall clock; earlier than before once that is set back."""
        return self._clock.wall()

    def boot(self) -> BootTime:
        """See `Clock.boot`."""
        return self._clock.boot()

    def wall(self) -> Instant:
        """See `Clock.wall`."""
        return self._clock.wall()


_BOOT_CLOCK: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
