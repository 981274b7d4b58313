"""What there is and what is gone for good, so that the service is told. No I/O.

* An agent that is in the agents file no more takes its device and all parts with it, at the next start.
* A part of a device is gone once its agent has answered without it for a whole day (`gone_after`), and at least
  `FEWEST_ANSWERS` times in a row. A battery frame that is being exchanged is not gone, and an agent that is
  silent, or whose tables could not all be read, says nothing of its parts. A restart of the gateway begins the day anew. From
  one answer to the next no more than a tenth of the day counts, so that a clock that is set ahead makes no day.
* A location that is in the agents file no more is gone at the next start.

What is gone stays remembered, and is told again at every start and when the service may have forgotten it: what is gone
already can be deleted again. It is told once all agents have been told of, so that nothing stands in a location any more, and
nothing is deleted that another agent now speaks for. What comes back under the same id is told of as it always is.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from consentry_core.values.clock import SECOND
from consentry_gateway.reading.model import DeviceId, Location, LocationId, Poll
from consentry_rule import Instant

FEWEST_ANSWERS = 10
DAY = 24 * 3600 * SECOND


@dataclass(slots=True)
class Present:
    """Of one agent: the devices that it spoke for, and of those that are `gone` that they are."""

    there: set[DeviceId] = field(default_factory=set)
    gone: set[DeviceId] = field(default_factory=set)


@dataclass(slots=True)
class _Absence:
    last: Instant
    lasted: int = 0
    answers: int = 0


class Presence:
    """`known` is what was remembered, by the agent's device; `agents` are those that there are. `gone_after` 0: never."""

    def __init__(
        self, agents: Iterable[DeviceId], known: Mapping[DeviceId, Present] | None = None, *, gone_after: int = DAY
    ) -> None:
        self._of = dict(known or {})
        self._absent: dict[DeviceId, _Absence] = {}
        self._gone_after = gone_after
        self._agents = frozenset(agents)
        for about in self._of.keys() - self._agents:
            self._take_away(about, self._of[about].there)
        there = {device for present in self._of.values() for device in present.there}
        for present in self._of.values():
            present.gone -= there  # it came back as another agent's
        self._owed: set[DeviceId] = set()
        self._untold: set[DeviceId] = set()
        self.owe_all()

    def observe(self, poll: Poll) -> bool:
        """Take a poll in; whether what is to be remembered of its agent changed."""
        about = poll.device.id
        present = self._of.setdefault(about, Present())
        before = (set(present.there), set(present.gone))
        seen = {device.id for device in poll.devices}
        for other in self._of.values():
            other.gone -= seen
        present.there |= seen
        if poll.reachable:
            for device in seen:
                self._absent.pop(device, None)
        if poll.reachable and poll.complete:
            self._miss(about, present.there - seen, poll.time)
        return before != (present.there, present.gone)

    @property
    def settled(self) -> bool:
        """Whether all agents have been told of."""
        return not self._untold

    def told_of(self, agent: DeviceId) -> None:
        """What this agent speaks for is safely on its way."""
        self._untold.discard(agent)

    def owed(self) -> list[tuple[DeviceId, tuple[DeviceId, ...]]]:
        """The devices whose deletion is to be told now, by agent."""
        if not self.settled:
            return []
        return [(about, tuple(sorted(self._of[about].gone))) for about in sorted(self._owed) if self._of[about].gone]

    def told(self, about: DeviceId) -> None:
        """That its devices are gone is safely on its way."""
        self._owed.discard(about)

    def owe(self, about: str) -> None:
        """A frame about this agent was refused: tell again what of it is gone."""
        if about in self._of:
            self._owed.add(DeviceId(about))

    def owe_all(self) -> None:
        """The service may not know: tell everything again that is gone."""
        self._owed = {about for about, present in self._of.items() if present.gone}
        self._untold = set(self._agents)

    def of(self, about: DeviceId) -> Present:
        """What is to be remembered of an agent."""
        return self._of[about]

    def _miss(self, about: DeviceId, devices: Collection[DeviceId], now: Instant) -> None:
        for device in devices:
            absence = self._absent.setdefault(device, _Absence(now))
            absence.answers += 1
            absence.lasted += min(max(now - absence.last, 0), -(-self._gone_after // FEWEST_ANSWERS))
            absence.last = now
            for_so_long = absence.lasted >= self._gone_after > 0
            if for_so_long and absence.answers >= FEWEST_ANSWERS and device != about:
                self._take_away(about, [device])
                self._owed.add(about)

    def _take_away(self, about: DeviceId, devices: Collection[DeviceId]) -> None:
        present = self._of[about]
        elsewhere = {device for other, its in self._of.items() if other != about for device in its.there}
        gone = set(devices)
        present.there -= gone
        present.gone |= gone - elsewhere
        for device in gone:
            self._absent.pop(device, None)


class Places:
    """The locations of the agents file, and those that stood there once, whose deletion is told after all devices."""

    def __init__(self, locations: Iterable[Location], known: Iterable[LocationId] = ()) -> None:
        self._there = {location.id for location in locations}
        self.known = tuple(sorted(self._there | set(known)))
        self._owed = True

    def owed(self) -> tuple[LocationId, ...]:
        """The locations whose deletion is to be told."""
        return tuple(place for place in self.known if place not in self._there) if self._owed else ()

    def told(self) -> None:
        """That they are gone is safely on its way."""
        self._owed = False

    def owe(self) -> None:
        """The service may not know."""
        self._owed = True
