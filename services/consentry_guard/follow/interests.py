"""What is followed, and for whom: names in use by calls, and those that nobody uses any more, kept for a while.

A name that comes back soon (a partner's next call) costs nothing; one that does not is dropped when `idle` others have been put
down after it, so that a guard does not follow for ever whatever it was once asked about.
"""

from collections import OrderedDict
from collections.abc import Collection, Iterable

from consentry_core.values.errors import ResourceExhausted

MOST_IN_USE = 150_000
"""Names, with the idle ones well below what the authority lets one guard follow."""


class Interests:
    """Counts uses of names, at most `in_use` different ones. At most `idle` unused ones are kept."""

    def __init__(self, idle: int, in_use: int = MOST_IN_USE) -> None:
        self._most = in_use
        self._uses: dict[str, int] = {}
        self._unused: OrderedDict[str, None] = OrderedDict()
        self._idle = idle

    def take_up(self, names: Collection[str]) -> None:
        """These are used once more. ResourceExhausted, and nothing is taken up, when that would be too many."""
        if len(self._uses) + len(names) > self._most and len(self._uses) + len(set(names) - self._uses.keys()) > self._most:
            raise ResourceExhausted(
                "too many different customers are asked for at once here; ask again when other calls are over",
                retry_after=5.0,
                reason="INTERESTS_EXCEEDED",
            )
        for name in names:
            self._uses[name] = self._uses.get(name, 0) + 1
            self._unused.pop(name, None)

    def put_down(self, names: Iterable[str]) -> list[str]:
        """These are used once less; returns the names to be forgotten."""
        for name in names:
            self._uses[name] -= 1
            if self._uses[name] == 0:
                del self._uses[name]
                self._unused[name] = None
        excess = len(self._unused) - self._idle
        return [self._unused.popitem(last=False)[0] for _ in range(excess)] if excess > 0 else []
