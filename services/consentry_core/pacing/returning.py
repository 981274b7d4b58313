"""When to come back, for callers that are sent away together: spread out, or all of them return in the same instant."""

import random

_SOONEST = 0.2
_SHORTEST = 2.0
_PER_SECOND = 1_000  # as many streams as are let in again in a second with room to spare for everything else


def return_after(callers: int = 1) -> float:
    """Seconds after which one of so many callers may come back: anywhere within what it takes to let all of them in."""
    return random.uniform(_SOONEST, max(_SHORTEST, callers / _PER_SECOND))  # noqa: S311 - no secret
