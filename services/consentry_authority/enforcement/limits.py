"""What one service's token may ask of the authority, without I/O: how much at once, and how often.

A service's token is one credential, and there may be a fleet behind it; none of the numbers here is one that a fleet comes near
to. What they bound is what its holder can cost everybody else. One that reaches a bound is refused with RESOURCE_EXHAUSTED and
the time to come back; nothing that was granted is taken away, and no other token notices.
"""

from collections import Counter
from dataclasses import dataclass

from consentry_core.protocol.follow import LEASE_SECONDS
from consentry_core.values.clock import SECOND, BootTime
from consentry_core.values.errors import ResourceExhausted

PACE = LEASE_SECONDS * SECOND // 4
"""How long after one lease an incarnation is granted the next. Guards ask every third of a lease."""

MEMBERS_PER_TOKEN = 200
_SPARE = 2  # as many again may stand for a moment, of runs that were killed and connections that nobody knows to be dead
_NAMES_PER_MEMBER = 2_500  # on the average; some hundred bytes each
_RETRY = 5.0  # nobody knows when one of them ends
_REMEMBERED = 10_000


class Renewals:
    """When each incarnation was last granted a lease here.

    One that asks sooner than `PACE` after its last one is granted the lease that it asked for most recently, once that has
    passed. So a lease is never late by more than a quarter of what it lasts, and nothing is written more often.
    """

    def __init__(self) -> None:
        self._granted: dict[str, BootTime] = {}

    def wait(self, incarnation: str, now: BootTime) -> int:
        """For how many nanoseconds it has to wait for its next lease; 0 when none."""
        last = self._granted.get(incarnation)
        return 0 if last is None else max(last + PACE - now, 0)

    def granted(self, incarnation: str, now: BootTime) -> None:
        """It is granted one."""
        if len(self._granted) >= _REMEMBERED:
            # What is older than the pace decides nothing.
            self._granted = {name: at for name, at in self._granted.items() if now - at < PACE}
        self._granted[incarnation] = now

    def last(self, incarnation: str) -> BootTime | None:
        """When it was granted its last one; None when it was not, or long ago."""
        return self._granted.get(incarnation)


@dataclass(slots=True)
class _Level:
    left: float
    filled: BootTime


class Allowance:
    """So much `at_once`, and so much an hour, for each token. What is taken may go below nothing once, and is paid off."""

    def __init__(self, at_once: float, an_hour: float) -> None:
        self._at_once = at_once
        self._a_nanosecond = an_hour / (3_600 * SECOND)
        self._levels: dict[str, _Level] = {}  # as many as there are tokens, which operators issue

    def wait(self, token: str, now: BootTime) -> float:
        """Seconds until there is something left; 0.0 when there is."""
        level = self._levels.get(token)
        if level is None:
            return 0.0
        level.left = min(level.left + (now - level.filled) * self._a_nanosecond, self._at_once)
        level.filled = now
        return 0.0 if level.left >= 1 else (1 - level.left) / self._a_nanosecond / SECOND

    def take(self, token: str, amount: float, now: BootTime) -> None:
        """So much is used."""
        self._levels.setdefault(token, _Level(self._at_once, now)).left -= amount


class Newcomers:
    """Incarnations that nobody has heard of before: what is written of each is kept for as long as accesses are.

    So many at once, for a fleet that is started anew, and again, and three times as many an hour. Belongs to the thread that
    writes to the database.
    """

    def __init__(self, members: int) -> None:
        self._allowance = Allowance(_SPARE * members, 3 * members)

    def admit(self, token: str, now: BootTime) -> None:
        """ResourceExhausted when there were too many."""
        wait = self._allowance.wait(token, now)
        if wait:
            raise ResourceExhausted(
                "too many runs of services were started with this token in a short time; give each service a token of its own, "
                "and see why they start so often",
                retry_after=wait,
                reason="INCARNATIONS_EXCEEDED",
            )
        self._allowance.take(token, 1, now)


class Fleets:
    """What each token has open here. `members`: how many enforcement points it may have at once."""

    def __init__(self, members: int) -> None:
        self._members = members
        self._streams: Counter[str] = Counter()
        self._incarnations: Counter[str] = Counter()
        self._names: Counter[str] = Counter()

    @property
    def most_rows(self) -> int:
        """How many members of one token may stand in the database."""
        return _SPARE * self._members

    def open_stream(self, token: str) -> None:
        """A stream is opened. ResourceExhausted when there are too many."""
        if self._streams[token] >= _SPARE * self._members:
            raise _exceeded(f"{_SPARE * self._members} streams open")
        self._streams[token] += 1

    def close_stream(self, token: str) -> None:
        """It is over."""
        _less(self._streams, token, 1)

    def join(self, token: str) -> None:
        """An incarnation that has no stream here has one now. ResourceExhausted when there are too many."""
        if self._incarnations[token] >= self._members:
            raise _exceeded(f"{self._members} enforcement points connected")
        self._incarnations[token] += 1

    def part(self, token: str) -> None:
        """One has none any more."""
        _less(self._incarnations, token, 1)

    def follow(self, token: str, names: int) -> None:
        """So many more names are followed, or fewer. ResourceExhausted when there are too many."""
        most = _NAMES_PER_MEMBER * self._members
        if names > 0 and self._names[token] + names > most:
            raise ResourceExhausted(
                f"the token's streams follow {most} names, as many as they may; forget those that nobody asks for",
                retry_after=_RETRY,
                reason="INTERESTS_EXCEEDED",
            )
        _less(self._names, token, -names)


def _less(counter: Counter[str], token: str, count: int) -> None:
    counter[token] -= count
    if not counter[token]:
        del counter[token]


def _exceeded(what: str) -> ResourceExhausted:
    return ResourceExhausted(
        f"this token has {what}, as many as it may; give other services their own tokens, or have --members-per-token raised",
        retry_after=_RETRY,
        reason="MEMBERS_EXCEEDED",
    )


def too_many_members(most: int) -> ResourceExhausted:
    """What one is told that would be one too many in the database."""
    return _exceeded(f"{most} enforcement points that may hold a lease")
