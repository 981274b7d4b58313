"""How long to wait before trying again: ever longer, and spread out, so that those cut together do not return together."""

import random
from collections.abc import Callable

Random = Callable[[], float]
"""Numbers from 0 up to 1."""


class Backoff:
    """Waits that double from `first` to `longest` seconds, each somewhere between half of its step and the whole."""

    def __init__(self, random: Random, *, first: float = 0.2, longest: float = 10.0) -> None:
        self._random = random
        self._first = first
        self._longest = longest
        self._failures = 0
        self.waited = 0.0
        """Seconds since the last success."""

    def succeeded(self) -> None:
        """Begin again with short waits."""
        self._failures, self.waited = 0, 0.0

    def failed(self, retry_after: float | None = None) -> float:
        """The next wait in seconds: never shorter than was asked for, and of its own accord never longer than `longest`."""
        step = min(self._first * float(2**self._failures), self._longest)
        self._failures = min(self._failures + 1, 16)
        wait = max(retry_after or 0.0, step / 2) + self._random() * step / 2
        self.waited += wait
        return wait


def return_after(callers: int = 1) -> float:
    """Seconds after which one of so many callers that are sent away together may come back.

    Anywhere within what it takes to let all of them in again, a thousand a second, which leaves room for everything else.
    """
    return random.uniform(0.2, max(2.0, callers / 1_000))  # noqa: S311 - no secret
