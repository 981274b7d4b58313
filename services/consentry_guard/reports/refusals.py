"""Calls that were refused here, on their way to the authority's audit log: some of them whole, the others counted. Without I/O.

A key that was stolen is tried where it cannot be used; the authority is asked about its secret once, and decides nothing after
that. So the guard tells it what it has refused to callers that it knows. In every minute a few of one caller's and not many in
all are told of one by one; what is beyond is counted by its reason, and told when the minute is over. So a flood fills neither
the memory here nor the log there, and who floods leaves room for others.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

from consentry_core.process.logs import redact
from consentry_core.protocol.refused_call import RefusedCall
from consentry_core.values.clock import SECOND
from consentry_core.values.text import cleaned
from consentry_rule import Instant

_MINUTE = 60 * SECOND
_MOST_CALLS, _MOST_OF_ONE = 100, 10  # a minute
_MOST_WAITING = 500  # whole, in one report
_MOST_REASONS = 50
_OTHERS = "OTHERS"
_LONGEST = 200  # characters of what a caller says of itself


@dataclass(frozen=True, slots=True)
class Refused:
    """What was refused in some time: calls, and by reason how many more."""

    calls: tuple[RefusedCall, ...] = ()
    left_out: tuple[tuple[str, int], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.calls or self.left_out)

    def followed_by(self, later: "Refused") -> "Refused":
        """Both; of calls that are too many for one report, how many they are."""
        calls = self.calls + later.calls
        left_out = Counter(dict(self.left_out))
        _count(left_out, later.left_out)
        _count(left_out, ((call.reason, 1) for call in calls[_MOST_WAITING:]))
        return Refused(calls[:_MOST_WAITING], tuple(left_out.items()))


NOTHING_REFUSED = Refused()


class Refusals:
    """Of one incarnation. Times are the authority's."""

    def __init__(self) -> None:
        self._began = Instant(0)
        self._of_one: Counter[str] = Counter()  # this minute's, by caller: of those that are told of one by one
        self._calls: list[RefusedCall] = []
        self._left_out: Counter[str] = Counter()
        self._over: Counter[str] = Counter()  # of minutes that are over

    def takes(self, caller: str, reason: str, now: Instant) -> bool:
        """Whether this one is told of by itself, and is to be noted; counted if not. On the way of every refused call."""
        self._turn(now)
        if self._of_one[caller] < _MOST_OF_ONE and self._of_one.total() < _MOST_CALLS:
            self._of_one[caller] += 1
            return True
        _count(self._left_out, ((reason, 1),))
        return False

    def note(self, call: RefusedCall) -> None:
        """Keep one that `takes` took."""
        peer, request_id = (cleaned(redact(said))[:_LONGEST] for said in (call.peer, call.request_id))
        self._calls.append(replace(call, peer=peer, request_id=request_id))

    def take(self, now: Instant, *, last: bool = False) -> Refused:
        """What there is to tell now. `last`: nothing comes after it."""
        self._turn(now)
        if last:
            self._end_minute()
        calls, self._calls = self._calls, []
        over, self._over = self._over, Counter()
        return Refused(tuple(calls), tuple(over.items()))

    def _turn(self, now: Instant) -> None:
        if not self._began <= now < self._began + _MINUTE:  # also when the clock was set back
            self._began = now
            self._end_minute()

    def _end_minute(self) -> None:
        self._of_one.clear()
        _count(self._over, self._left_out.items())
        self._left_out.clear()


def _count(counted: Counter[str], more: Iterable[tuple[str, int]]) -> None:
    for reason, count in more:
        told_apart = reason in counted or len(counted) < _MOST_REASONS
        counted[reason if told_apart else _OTHERS] += count
