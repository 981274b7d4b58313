"""A clock that stands still until a test moves it."""

from consentry_core.values.clock import SECOND, BootTime
from consentry_rule import Instant

START = Instant(1_767_225_600 * SECOND)
"""2026-01-01T00:00:00Z."""


class FakeClock:
    """See `consentry_core.values.clock.Clock`."""

    def __init__(self, now: Instant = START, boot: BootTime = BootTime(1_000 * SECOND)) -> None:  # noqa: B008
        self._now = now
        self._boot = boot
        self._stepped = 0

    def now(self) -> Instant:
        """Wall time."""
        return self._now

    def boot(self) -> BootTime:
        """Time since boot."""
        return self._boot

    def wall(self) -> Instant:
        """Wall time, also when it was stepped."""
        return Instant(self._now + self._stepped)

    def step_wall(self, seconds: float) -> None:
        """Somebody sets the wall clock, or the boot clock has stood still."""
        self._stepped += round(seconds * SECOND)

    def advance(self, seconds: float) -> None:
        """Let both clocks go on."""
        nanoseconds = round(seconds * SECOND)
        self._now = Instant(self._now + nanoseconds)
        self._boot = BootTime(self._boot + nanoseconds)
