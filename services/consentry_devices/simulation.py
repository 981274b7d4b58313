"""Made-up readings, for who has no customer yet: any number of sensors at any rate.

Reading number i is of sensor `i % sensor_count`, at `i / rate` seconds after the beginning. So what there is to tell at a
moment follows from the time alone, however much of it was told before.
"""

import itertools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from consentry_core.clock import SECOND
from consentry_devices.columns import Table, encode
from consentry_rule import Instant

SENSORS_PER_DEVICE = 100
CUSTOMER = "simulated"

_DAY = 24 * 3600 * SECOND


class Simulation:
    """The sensors, and what they measure: each a level of its own, a daily swing, and noise. `seed` decides all of it."""

    def __init__(self, rate: int, sensor_count: int, begin: Instant, seed: int) -> None:
        self._rate = rate
        self._sensor_count = sensor_count
        self._begin = begin
        self._random = np.random.default_rng(seed)
        self._ids = tuple(f"sensor-{number:05}" for number in range(sensor_count))
        self._levels = self._random.uniform(10, 80, sensor_count)
        self._swings = self._levels * self._random.uniform(0.05, 0.25, sensor_count)
        self._phases = self._random.uniform(0, 2 * np.pi, sensor_count)

    def count(self, nanoseconds: int) -> int:
        """How many readings there are so long after the beginning."""
        return nanoseconds * self._rate // SECOND

    def readings(self, first: int, count: int) -> Iterator[bytes]:
        """`count` readings from number `first` on, as serialised `DeviceTelemetry`s."""
        numbers = np.arange(first, first + count)
        sensors = numbers % self._sensor_count
        # In two parts: a product of the two would leave 64 bits after some hours.
        seconds, rest = np.divmod(numbers, self._rate)
        times = self._begin + seconds * SECOND + rest * SECOND // self._rate
        values = self._values(sensors, times)
        devices = sensors // SENSORS_PER_DEVICE
        # One table for each run of one device.
        bounds = [0, *(np.flatnonzero(np.diff(devices)) + 1).tolist(), count]
        for start, end in itertools.pairwise(bounds):
            device = int(devices[start])
            of_run = sensors[start:end]
            lowest, highest = int(of_run.min()), int(of_run.max())
            table = Table(
                self._ids[lowest : highest + 1],
                (of_run - lowest).astype(np.uint32),
                times[start:end],
                values[start:end],
            )
            yield encode(f"customers/{CUSTOMER}/devices/device-{device:04}", table, historical=False)

    def _values(self, sensors: NDArray[np.int64], times: NDArray[np.int64]) -> NDArray[np.float64]:
        time_of_day = (times % _DAY) / _DAY * 2 * np.pi
        noise = self._random.normal(0, 0.01, len(sensors)) * self._levels[sensors]
        values = self._levels[sensors] + self._swings[sensors] * np.sin(time_of_day + self._phases[sensors]) + noise
        return np.asarray(values.round(2))
