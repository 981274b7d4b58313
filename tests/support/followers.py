"""A follower for who tests neither of its clocks."""

from consentry_core.protocol.follow import Facts, FromGuard, Lease
from consentry_core.values.clock import BootTime
from consentry_guard.follow import follower
from consentry_guard.follow.follower import Applied
from consentry_rule import Instant


class Follower(follower.Follower):
    """Its two clocks go on together, and a lease arrives in the instant in which it was asked for, unless a test says more."""

    def connected(self, now: BootTime, wall: Instant | None = None) -> list[FromGuard]:
        """See `consentry_guard.follow.follower.Follower.connected`."""
        return super().connected(now, Instant(now) if wall is None else wall)

    def received(self, message: Lease | Facts, now: BootTime | None = None, wall: Instant | None = None) -> Applied:
        """See `consentry_guard.follow.follower.Follower.received`."""
        heard = (message.stamp if isinstance(message, Lease) else BootTime(0)) if now is None else now
        return super().received(message, heard, Instant(heard) if wall is None else wall)

    def may_serve(self, now: BootTime, wall: Instant | None = None) -> bool:
        """See `consentry_guard.follow.follower.Follower.may_serve`."""
        return super().may_serve(now, Instant(now) if wall is None else wall)
