"""How long to wait before trying again. No I/O."""

from collections.abc import Callable

Random = Callable[[], float]
"""Numbers from 0 up to 1."""

_FIRST_STEP = 0.2
_LONGEST_STEP = 10.0


class Backoff:
    """Ever longer waits, jittered, so that readers that were cut together do not come back together."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._failures = 0
        self.waited = 0.0
        """Seconds since the last success."""

    def succeeded(self) -> None:
        """Begin again with short waits."""
        self._failures, self.waited = 0, 0.0

    def failed(self, retry_after: float | None) -> float:
        """The next wait in seconds: never shorter than was asked for; of its own accord never longer than 10 s."""
        step = min(_FIRST_STEP * float(2**self._failures), _LONGEST_STEP)
        self._failures = min(self._failures + 1, 16)
        wait = max(retry_after or 0.0, step / 2) + self._random() * step / 2
        self.waited += wait
        return wait
