"""Machines and their clocks; what runs on them; the connections between them."""

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from consentry_core.protocol.follow import CLOCK_DRIFT, FromAuthority, FromGuard
from consentry_core.values.clock import SECOND, BootTime
from consentry_rule import Instant

if TYPE_CHECKING:
    from model.authority import Stream
    from model.guard import GuardProcess

MILLION = 1_000_000
FAST = MILLION + round(CLOCK_DRIFT * MILLION / 2)
SLOW = MILLION - round(CLOCK_DRIFT * MILLION / 2)
"""Two machines of these rates are rho apart."""

START = 1_767_225_600 * SECOND


class Machine:
    """A machine's clocks: its boot clock runs at its own rate, its wall clock can be set."""

    def __init__(self, time: Callable[[], int], rate: int, booted: int) -> None:
        self._time = time
        self._rate = rate
        self._booted = booted
        self.wall_offset = START - booted

    def stand_still(self, duration: int) -> None:
        """The boot clock has stood still for so long: a virtual machine was paused, and its wall clock set when it went on."""
        self._booted -= duration
        self.wall_offset += duration

    def boot(self) -> BootTime:
        """See `Clock.boot`."""
        return BootTime(self._booted + self._time() * self._rate // MILLION)

    def when(self, boot: int) -> int:
        """The true time at which the boot clock will show this."""
        return -((self._booted - boot) * MILLION // self._rate)


class ProcessClock:
    """What a process sees of its machine's clocks. See `consentry_core.values.clock.SystemClock`."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._latest = Instant(0)

    def now(self) -> Instant:
        """See `Clock.now`."""
        self._latest = max(self._latest, Instant(self._machine.boot() + self._machine.wall_offset))
        return self._latest

    def boot(self) -> BootTime:
        """See `Clock.boot`."""
        return self._machine.boot()

    def wall(self) -> Instant:
        """See `Clock.wall`."""
        return Instant(self._machine.boot() + self._machine.wall_offset)


class Connection:
    """A `Follow` call: messages in both directions, each of which can be held back; either end can be gone.

    What was sent before an end went away may still arrive at the other, which learns last that nobody is there.
    """

    def __init__(self, process: "GuardProcess", stream: "Stream") -> None:
        self.process = process
        self.stream = stream
        self.up: deque[FromGuard] = deque()
        self.down: deque[FromAuthority] = deque()
        self.flows_up = self.flows_down = True
        self.guard_there = self.authority_there = True
