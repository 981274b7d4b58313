"""How many refusals and failures are written: enough to see what happens, and never so many that somebody can fill the disk.

Each kind has a budget, and each source a smaller one of its own, so that one who floods leaves room for the others. What does
not fit is counted, by kind and outcome.
"""

from collections import Counter, OrderedDict
from dataclasses import dataclass

from consentry_authority.audit.chain import EntryKind
from consentry_core.values.clock import SECOND, BootTime

_SOURCES = 10_000  # remembered at most; the one that was not heard of for longest is forgotten
_OUTCOMES = 100  # told apart among what was left out
_TELL_EVERY = 60 * SECOND


@dataclass(frozen=True, slots=True)
class Budget:
    """So many at once, and so many a second on average."""

    burst: float
    per_second: float


PER_KIND = Budget(burst=200, per_second=1.0)
PER_SOURCE = Budget(burst=20, per_second=0.1)


@dataclass(slots=True)
class _Bucket:
    left: float
    filled: BootTime

    def take(self, budget: Budget, now: BootTime) -> bool:
        self.left = min(budget.burst, self.left + (now - self.filled) / SECOND * budget.per_second)
        self.filled = now
        if self.left < 1:
            return False
        self.left -= 1
        return True


class Sampler:
    """Decides what is written."""

    def __init__(self, *, per_kind: Budget = PER_KIND, per_source: Budget = PER_SOURCE) -> None:
        self._per_kind = per_kind
        self._per_source = per_source
        self._kinds: dict[EntryKind, _Bucket] = {}
        self._sources: OrderedDict[tuple[EntryKind, str], _Bucket] = OrderedDict()
        self._left_out: Counter[tuple[EntryKind, str]] = Counter()
        self._told_at: BootTime | None = None

    def takes(self, kind: EntryKind, source: str, outcome: str, now: BootTime) -> bool:
        """Whether this one is written; counted if it is not."""
        of_source, of_kind = self._sources.get((kind, source)), self._kinds.get(kind)
        if of_source is None:
            of_source = self._sources[kind, source] = _Bucket(self._per_source.burst, now)
            if len(self._sources) > _SOURCES:
                self._sources.popitem(last=False)
        else:
            self._sources.move_to_end((kind, source))
        if of_kind is None:
            of_kind = self._kinds[kind] = _Bucket(self._per_kind.burst, now)
        if of_source.take(self._per_source, now) and of_kind.take(self._per_kind, now):
            return True
        self.leave_out(kind, outcome)
        return False

    def leave_out(self, kind: EntryKind, outcome: str, count: int = 1) -> None:
        """So many of these are not written."""
        if (kind, outcome) not in self._left_out and len(self._left_out) >= _OUTCOMES:
            outcome = "others"
        self._left_out[kind, outcome] += count

    def left_out(self) -> dict[str, int]:
        """How many were left out since the last time this was asked."""
        counted, self._left_out = self._left_out, Counter()
        return dict(sorted((f"{kind.value}: {outcome}", count) for (kind, outcome), count in counted.items()))

    def left_out_by(self, now: BootTime) -> dict[str, int]:
        """The same, once a minute; nothing meanwhile."""
        if self._told_at is not None and now - self._told_at < _TELL_EVERY:
            return {}
        left_out = self.left_out()
        if left_out:
            self._told_at = now
        return left_out
