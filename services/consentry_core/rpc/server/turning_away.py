"""How fast those are turned away who bring no credential that counts.

Looking at a credential is cheap, but a call is not: a client that tries secrets as fast as it gets answers takes the event loop
from those whose calls come after its own. So it gets them slowly. Refusals leave at a set pace, however many wait for theirs;
whoever is let in waits for nobody. A few at a time, a typing error among them, go at once.

A call that waits keeps little: its metadata is let go by us, though gRPC keeps its own until the call has ended, and its
messages were never taken (`first_message`). The calls that wait are counted. Those for which there is no place are answered at
once, and their connections are hung up on, unless somebody who is known uses them too (`crowding`).

What that bounds is a client that waits for its answers. One that hangs up and calls again without waiting costs as much as any
other call, and is for whatever limits connections in front of the service.
"""

import asyncio


class TurningAway:
    """`per_second` refusals leave, after `at_once` that leave at once; none waits longer than `longest` seconds.

    At most `places` wait: a call that does takes some 30 kB. Those beyond are answered at once.
    """

    def __init__(self, *, per_second: float = 100.0, at_once: int = 50, longest: float = 5.0, places: int = 1_000) -> None:
        self._apart = 1 / per_second
        self._ahead = at_once / per_second
        self._longest = longest
        self._places = places
        self._last = float("-inf")
        self._waiting: set[asyncio.Future[None]] = set()
        self._over = False

    def delay(self, now: float) -> float:
        """Seconds until the turn of a refusal that is ready now."""
        turn = max(self._last, now - self._ahead) + self._apart
        self._last = min(turn, now + self._longest)
        return max(self._last - now, 0.0)

    async def wait_turn(self) -> bool:
        """Wait until this refusal may leave. False, at once, when there is no place to wait."""
        loop = asyncio.get_running_loop()
        delay = self.delay(loop.time())
        if delay == 0 or self._over:
            return True
        if len(self._waiting) >= self._places:
            return False
        turn = loop.create_future()
        self._waiting.add(turn)
        timer = loop.call_later(delay, _come, turn)
        try:
            await turn
        finally:
            timer.cancel()
            self._waiting.discard(turn)
        return True

    def finish(self) -> None:
        """The service goes down: all that wait leave now, and nobody waits any more."""
        self._over = True
        for turn in self._waiting:
            _come(turn)


def _come(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        turn.set_result(None)
