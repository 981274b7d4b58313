"""How fast those are turned away who bring no credential that counts.

Looking at a credential is cheap, but a call is not: a client that tries secrets as fast as it gets answers takes the event loop
from those whose calls come after its own. So it gets them slowly. Refusals leave at a set pace, however many wait for theirs;
whoever is let in waits for nobody. A few at a time, a typing error among them, go at once.

What that bounds is a client that waits for its answers. One that hangs up and calls again without waiting costs as much as any
other call, and is for whatever limits connections in front of the service.
"""

import asyncio


class TurningAway:
    """`per_second` refusals leave, after `at_once` that leave at once; none waits longer than `longest` seconds.

    At most `places` wait: a call that does takes some 30 kB. Those beyond are answered at once.
    """

    def __init__(self, *, per_second: float = 100.0, at_once: int = 50, longest: float = 5.0, places: int = 4_000) -> None:
        self._apart = 1 / per_second
        self._ahead = at_once / per_second
        self._longest = longest
        self._places = places
        self._last = float("-inf")

    def delay(self, now: float) -> float:
        """Seconds until the turn of a refusal that is ready now."""
        turn = max(self._last, now - self._ahead) + self._apart
        self._last = min(turn, now + self._longest)
        return max(self._last - now, 0.0)

    async def wait_turn(self) -> None:
        """Wait until this refusal may leave."""
        delay = self.delay(asyncio.get_running_loop().time())
        if delay == 0 or self._places == 0:
            return
        self._places -= 1
        try:
            await asyncio.sleep(delay)
        finally:
            self._places += 1
