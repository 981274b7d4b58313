"""Agents whose frames the service refuses have to wait: each refusal ends the stream that all agents share. No I/O.

After the first refusal everything about the agent is told anew with its next poll, which cures what the service had forgotten.
If that is refused too, nothing about it is sent for a minute, then two, ... up to an hour. What is measured meanwhile is a
loss, which the next frame about the agent tells; alarms and inventory come with that frame.
"""

from dataclasses import dataclass

from consentry_core.values.clock import SECOND
from consentry_gateway.outbox.spans import Span, believable, joined
from consentry_rule import Instant

_SHORTEST, _LONGEST = 60 * SECOND, 3_600 * SECOND


@dataclass(frozen=True, slots=True)
class _Hold:
    start: Instant
    length: int

    @property
    def end(self) -> int:
        return self.start + self.length


class Holding:
    """Who has to wait. `lost` is what was lost before a restart, by agent."""

    def __init__(self, lost: dict[str, Span] | None = None) -> None:
        self._refused: set[str] = set()
        self._holds: dict[str, _Hold] = {}
        self._lost = dict(lost or {})

    def refused(self, about: str) -> None:
        """The service refused a frame about an agent."""
        self._refused.add(about)

    def holds(self, about: str, now: Instant) -> bool:
        """Whether nothing about the agent is to be sent."""
        hold = self._holds.get(about)
        if about in self._refused:
            self._refused.discard(about)
            again = hold is not None and now - hold.end < 2 * hold.length + _LONGEST
            length = min(max(2 * hold.length, _SHORTEST), _LONGEST) if hold is not None and again else 0
            hold = self._holds[about] = _Hold(now, length)
        return hold is not None and hold.start <= now < hold.end  # not when the clock was set back

    def lose(self, about: str, span: Span | None) -> None:
        """What was measured while the agent waits."""
        if span is not None:
            before = self._lost.get(about)
            self._lost[about] = span if before is None else joined([believable(before, span.until), span]) or span

    def lost(self, about: str) -> Span | None:
        """What its next frame must say is lost."""
        return self._lost.get(about)

    def told(self, about: str) -> None:
        """That it is lost is safely on its way."""
        self._lost.pop(about, None)
