"""Made-up readings, for who has no customer yet: any number of sensors at any rate.

Reading number i is of sensor `i % sensor_count`, at `i / rate` seconds after the beginning. So what there is to tell at a
moment follows from the time alone, however much of it was told before.
"""

import itertools
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from consentry_core.values.clock import SECOND
from consentry_devices.blocks.columns import Table, encode
from consentry_rule import Instant

SENSORS_PER_DEVICE = 100
CUSTOMER = "simulated"

_DAY = 24 * 3600 * SECOND
_MIX = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


class Simulation:
    """The sensors, and what they measure: each a level of its own, a daily swing, and noise. `seed` decides all of it.

    Nothing is kept of a sensor: there may be a hundred thousand, and a thousand who ask for them.
    """

    def __init__(self, rate: int, sensor_count: int, begin: Instant, seed: int) -> None:
        self._rate = rate
        self._sensor_count = sensor_count
        self._begin = begin
        self._offset = np.uint64(seed * 0xBF58476D1CE4E5B9 % 2**64)
        self._random = np.random.default_rng(seed)

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
            before = device * SENSORS_PER_DEVICE
            table = Table(
                _ids(device)[lowest - before : highest + 1 - before],
                (of_run - lowest).astype(np.uint32),
                times[start:end],
                values[start:end],
            )
            yield encode(f"customers/{CUSTOMER}/devices/device-{device:04}", table, historical=False)

    def _values(self, sensors: NDArray[np.int64], times: NDArray[np.int64]) -> NDArray[np.float64]:
        time_of_day = (times % _DAY) / _DAY * 2 * np.pi
        levels = 10 + 70 * self._shares(sensors, 0)
        swings = levels * (0.05 + 0.2 * self._shares(sensors, 1))
        phases = 2 * np.pi * self._shares(sensors, 2)
        noise = self._random.normal(0, 0.01, len(sensors)) * levels
        return np.asarray((levels + swings * np.sin(time_of_day + phases) + noise).round(2))

    def _shares(self, sensors: NDArray[np.int64], which: int) -> NDArray[np.float64]:
        """Numbers from 0 up to 1, as if by chance, that are always the same for a sensor: the mixing of splitmix64."""
        numbers = (sensors.astype(np.uint64) * np.uint64(3) + np.uint64(which) + self._offset) * _MIX[0]
        numbers = (numbers ^ (numbers >> np.uint64(30))) * _MIX[1]
        numbers = (numbers ^ (numbers >> np.uint64(27))) * _MIX[2]
        return (numbers >> np.uint64(11)).astype(np.float64) / 2.0**53


@lru_cache(maxsize=1_000)
def _ids(device: int) -> tuple[str, ...]:
    """The ids of a device's sensors, shared by all simulations."""
    first = device * SENSORS_PER_DEVICE
    return tuple(f"sensor-{number:05}" for number in range(first, first + SENSORS_PER_DEVICE))
