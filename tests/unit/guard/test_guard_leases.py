"""What time it is at the authority, and when a lease is given up: by answers that are long on the way, and clocks that part."""

import pytest

from consentry_core.protocol.follow import LEASE_SECONDS, Lease, Revision
from consentry_core.values.clock import SECOND, BootTime
from consentry_guard.follow.leases import CLOCK_ERROR, Leases
from consentry_rule import Instant

T = LEASE_SECONDS * SECOND
MILLISECOND = SECOND // 1000
EPOCH = 1_000_000 * SECOND
"""The authority's time when this machine's boot clock shows 0."""
AHEAD = 500 * SECOND
"""By so much the authority's boot clock is ahead of this machine's."""


def boot(seconds: float) -> BootTime:
    return BootTime(round(seconds * SECOND))


def wall(seconds: float, stepped: float = 0) -> Instant:
    return Instant(EPOCH + round((seconds + stepped) * SECOND))


def lease(asked: float, read: float, clock: int = 1, drift: float = 0) -> Lease:
    """Asked for at a time, and granted when the authority read its clocks."""
    elapsed = round(read * (1 + drift) * SECOND)
    return Lease(boot(asked), Revision("e", 1), T, Instant(EPOCH + elapsed), BootTime(AHEAD + elapsed), clock)


class Held(Leases):
    """Leases that are used as soon as they are heard, as far as they are of use."""

    def hear(self, said: Lease, at: float, stepped: float = 0) -> bool:
        heard = self.heard(said, boot(at), wall(at, stepped))
        if heard.is_of_use:
            self.use(heard)
        return heard.is_of_use

    def asks(self, at: float, stepped: float = 0) -> None:
        self.asked(boot(at), wall(at, stepped))

    def error(self, at: float, drift: float = 0) -> float:
        """By how much the authority's time is taken for later than it is, in seconds."""
        return (self.authority_now(boot(at)) - EPOCH - at * (1 + drift) * SECOND) / SECOND


def test_an_answer_that_was_long_on_the_way_brings_no_end_forward() -> None:
    """The authority was away for 1.6 s: it reads its clock that much later than it was asked."""
    leases = Held()
    assert leases.hear(lease(0, 0.001), 0.002)
    assert leases.error(1) == pytest.approx(0.001)
    assert leases.hear(lease(1.7, 3.3), 3.301)
    assert 0 <= leases.error(3.4) < 0.005, "the first answer still says how far the clocks are apart"


def test_a_first_answer_that_was_long_on_the_way_is_not_used() -> None:
    leases = Held()
    assert not leases.hear(lease(0, 1.6), 1.601)
    assert leases.serving_at(boot(1.7), wall(1.7)) is None
    assert leases.hear(lease(1.7, 1.701), 1.702)
    assert leases.error(2) == pytest.approx(0.001, abs=0.0005)


def test_another_authority_has_another_clock() -> None:
    leases = Held()
    assert leases.hear(lease(0, 0.001), 0.002)
    assert not leases.hear(lease(1, 2.6, clock=2), 2.601)
    assert not leases.hear(lease(1, 2.6, clock=0), 2.601), "one that does not name its clock"
    assert leases.hear(lease(3, 3.001, clock=2), 3.002)


def test_what_is_known_wears_off_as_fast_as_clocks_may_drift() -> None:
    """The authority's clock goes slower, or faster, by rho; only the first answer was quick."""
    for drift in (-0.001, 0.001):
        leases, at = Held(), 0.0
        assert leases.hear(lease(at, 0.001, drift=drift), at + 0.002)
        while at < 60:
            at += 1.5
            assert leases.hear(lease(at, at + 0.7, drift=drift), at + 1.4)
            assert -0.006 <= leases.error(at + 1.4, drift) <= CLOCK_ERROR / SECOND
        while leases.hear(lease(at, at + 0.7, drift=drift), at + 1.4):
            at += 1.5
        assert 200 < at < 600, "too little is known by then"


def test_a_wall_clock_of_the_authoritys_that_is_set_counts_at_once() -> None:
    """However long the answer was on the way: it says by how much."""
    leases = Held()
    assert leases.hear(lease(0, 0.001), 0.002)
    later = lease(1.7, 3.3)
    stepped = Lease(later.stamp, later.revision, T, Instant(later.authority_time + SECOND), later.authority_boot, 1)
    assert leases.hear(stepped, 3.301)
    assert leases.error(3.4) == pytest.approx(1.001, abs=0.004)


@pytest.mark.parametrize("step", [-1.0, -0.06, 0.06, 1.0, 3600.0])
def test_a_lease_is_given_up_while_wall_clock_and_boot_clock_part(step: float) -> None:
    leases = Held()
    leases.asks(0)
    assert leases.hear(lease(0, 0.001), 0.002)
    assert leases.serving_at(boot(1), wall(1)) is not None
    assert leases.serving_at(boot(1), wall(1, 0.04)) is not None, "as much as may pass between two readings"
    assert leases.serving_at(boot(1), wall(1, step)) is None
    assert leases.has_parted(boot(1), wall(1, step))
    leases.asks(1.7, step)
    assert leases.hear(lease(1.7, 1.701), 1.702, step)
    assert leases.serving_at(boot(2), wall(2, step)) is not None
    assert not leases.has_parted(boot(2), wall(2, step))
    assert leases.serving_at(boot(2), wall(2)) is None, "it was set back"


def test_a_machine_that_stood_still_while_the_answer_came_has_no_lease_of_it() -> None:
    leases = Held()
    leases.asks(0)
    leases.hear(lease(0, 0.001), 0.002, 30)
    assert leases.serving_at(boot(0.1), wall(0.1, 30)) is None


def test_what_was_known_of_the_clocks_is_forgotten_when_one_of_them_stood_still() -> None:
    """Else ends would come too late by as long as it stood."""
    leases = Held()
    leases.asks(0)
    assert leases.hear(lease(0, 0.001), 0.002)
    leases.asks(1.7, 1)
    said = lease(1.7, 2.701)  # at 1.701 by our clock, which stood still for a second
    assert leases.hear(said, 1.702, 1)
    assert leases.authority_now(boot(2)) - EPOCH == pytest.approx(3.001 * SECOND, abs=2 * MILLISECOND)


def test_time_stands_still_without_a_lease() -> None:
    leases = Held()
    assert leases.authority_now(boot(9)) == 0
    assert leases.hear(lease(0, 0.001), 0.002)
    assert leases.authority_now(boot(4)) < leases.authority_now(boot(5)) == leases.authority_now(boot(600))
    assert not leases.hear(lease(0, 0.001), 5.5), "over before it came"
    leases.give_up()
    assert leases.serving_at(boot(1), wall(1)) is None


def test_what_is_asked_and_never_answered_is_bounded() -> None:
    leases = Held()
    for second in range(1_000):
        leases.asks(second)
    assert len(leases._asked) < 100
