"""What moves the fleet: the time of day, the mains, batteries, and heat. Simulated seconds; deterministic for a seed.

Values that follow from the moment alone (loads, noise) are functions of it. What has a history (charge, heat, energy) is taken
forward in steps of a fixed length, so that it does not depend on how often somebody looks.
"""

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field

STEP = 10.0  # seconds
_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86_400.0
_LONGEST_LOOK_BACK = _DAY  # after a longer pause the fleet goes on as if it had been asleep

MAINS_VOLTAGE, MAINS_FREQUENCY = 230.0, 50.0
UPS_WATTS = 8_000.0
_BATTERY_WATT_HOURS = 2_000.0
_RECHARGE_PER_SECOND = 20.0 / _HOUR  # percent
_LEAST_CHARGE = 1.0
_PERIODS = (97.0, 331.0, 1009.0)  # of noise
_COOL, _HOT = 22.0, 45.0  # of the room, with the cooling on, and where it tends to without


class Mains:
    """The utility's power: when it is there. Failures are drawn from the seed as time goes on."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(f"{seed}/mains")  # noqa: S311 - a simulation, to be repeated
        self._start = self._random.uniform(20, 40) * _MINUTE
        self._end = self._start + self._duration()

    def _duration(self) -> float:
        return self._random.uniform(10, 35) * _MINUTE

    def on(self, time: float) -> bool:
        """Whether there is power. To be asked in the order of time."""
        while time >= self._end:
            self._start = self._end + self._random.uniform(4, 12) * _HOUR
            self._end = self._start + self._duration()
        return time < self._start


@dataclass(slots=True)
class State:
    """What has a history. Charges in percent by UPS, energies in kWh by PDU, the room in Cel."""

    mains_on: bool = True
    charges: dict[str, float] = field(default_factory=dict)
    energies: dict[str, float] = field(default_factory=dict)
    room: float = _COOL


class Physics:
    """The fleet's state over time.

    `feeds` says which PDUs hang on which UPS; time 0 is `second_of_day` seconds after midnight.
    """

    def __init__(self, seed: int, feeds: Mapping[str, tuple[str, ...]], second_of_day: float) -> None:
        self._seed = seed
        self._feeds = feeds
        self._second_of_day = second_of_day
        self._mains = Mains(seed)
        self._time = 0.0
        self._phases: dict[str, tuple[tuple[float, float], ...]] = {}
        self._weights = {pdu: weight for pdus in feeds.values() for pdu, weight in zip(pdus, (1.0, 1.35), strict=True)}
        self.state = State(
            charges=dict.fromkeys(feeds, 100.0), energies={pdu: 1_000.0 for pdus in feeds.values() for pdu in pdus}
        )

    def advance(self, time: float) -> State:
        """The state at a time, which must not be before the last one that was asked for."""
        self._time = max(self._time, time - time % STEP - _LONGEST_LOOK_BACK)
        while self._time + STEP <= time:
            self._time += STEP
            self._step()
        return self.state

    def _step(self) -> None:
        state, hours = self.state, STEP / _HOUR
        state.mains_on = self._mains.on(self._time)
        for ups, pdus in self._feeds.items():
            watts = sum(self.steady_watts(pdu, self._time) for pdu in pdus)
            if state.mains_on:
                charge = state.charges[ups] + _RECHARGE_PER_SECOND * STEP
            else:
                charge = state.charges[ups] - 100 * watts * hours / _BATTERY_WATT_HOURS
            state.charges[ups] = min(max(charge, _LEAST_CHARGE), 100.0)
        for pdu in state.energies:
            state.energies[pdu] += self.steady_watts(pdu, self._time) * hours / 1000
        # Without power nothing cools: the room warms with a time constant of an hour, and cools down within minutes.
        target, constant = (_COOL, 10 * _MINUTE) if state.mains_on else (_HOT, _HOUR)
        state.room += (target - state.room) * STEP / constant

    def pdu_watts(self, pdu: str, time: float) -> float:
        """What a rack draws from a PDU now."""
        return self.steady_watts(pdu, time) + 40.0 * self.wobble(pdu, time)

    def steady_watts(self, pdu: str, time: float) -> float:
        """What a rack draws from a PDU at this time of day: most in the afternoon, least before dawn."""
        hour = (self._second_of_day + time) % _DAY / _HOUR
        return 2_300.0 * self._weights[pdu] * (0.68 + 0.30 * math.sin(2 * math.pi * (hour - 9) / 24))

    def runtime(self, ups: str, watts: float) -> float:
        """How long the battery lasts at this load, in seconds."""
        return self.state.charges[ups] / 100 * _BATTERY_WATT_HOURS / max(watts, 1.0) * _HOUR

    def wobble(self, key: str, time: float) -> float:
        """Small, smooth, and different for every key: between -1 and 1."""
        phases = self._phases.get(key)
        if phases is None:
            drawn = random.Random(f"{self._seed}/{key}")  # noqa: S311 - a simulation, to be repeated
            phases = self._phases[key] = tuple((period, drawn.random()) for period in _PERIODS)
        return sum(math.sin(2 * math.pi * (time / period + phase)) for period, phase in phases) / len(phases)
