"""Which run of the appender wrote which entries."""

from bisect import bisect_right
from collections.abc import Sequence


class Runs:
    """The runs of a store: (number of its first entry, name) of each, oldest first. The last one is the one that writes."""

    def __init__(self, runs: Sequence[tuple[int, str]]) -> None:
        self._firsts = [first for first, _ in runs]
        self._names = [name for _, name in runs]

    @property
    def current(self) -> str:
        """The run that writes."""
        return self._names[-1]

    def of(self, seq: int) -> str:
        """See `Log.run_of`."""
        at = bisect_right(self._firsts, seq)
        return self._names[at - 1] if at else ""
