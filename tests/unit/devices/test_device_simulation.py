"""Made-up readings: as many as asked for, of all sensors in turn, at their times, and as the service would store them."""

import numpy as np
import pytest

from consentry.devices.v1 import telemetry_pb2
from consentry_devices.blocks import columns
from consentry_devices.blocks.simulation import Simulation
from consentry_rule import Instant
from support.clocks import START
from support.gateways import SECOND


def told(simulation: Simulation, first: int, count: int) -> list[telemetry_pb2.DeviceTelemetry]:
    return [telemetry_pb2.DeviceTelemetry.FromString(each) for each in simulation.readings(first, count)]


def rows(tables: list[telemetry_pb2.DeviceTelemetry]) -> list[tuple[str, str, int, float]]:
    return [
        (each.device, each.block.sensors[index], time, value)
        for each in tables
        for index, time, value in zip(each.block.sensor_indexes, each.block.times_unix_nano, each.block.values, strict=True)
    ]


@pytest.mark.parametrize(("rate", "sensors"), [(1, 1), (1_000, 100), (7, 250), (1_000_000, 100_000), (1_000_000, 3)])
def test_each_reading_has_its_sensor_and_its_time_however_it_is_told(rate: int, sensors: int) -> None:
    whole = rows(told(Simulation(rate, sensors, START, seed=1), 0, 5_000))
    assert [time for *_, time, _ in whole] == [START + number * SECOND // rate for number in range(5_000)]
    assert [sensor for _, sensor, *_ in whole] == [f"sensor-{number % sensors:05}" for number in range(5_000)]
    assert [device for device, *_ in whole] == [
        f"customers/simulated/devices/device-{number % sensors // 100:04}" for number in range(5_000)
    ]
    simulation = Simulation(rate, sensors, START, seed=1)
    parts = [row for first in range(0, 5_000, 617) for row in rows(told(simulation, first, min(617, 5_000 - first)))]
    assert [row[:3] for row in parts] == [row[:3] for row in whole]


def test_the_tables_are_such_as_gateways_may_send() -> None:
    for table in told(Simulation(5_000, 321, START, seed=2), 0, 5_000):
        kept = columns.canonical(table.block)
        columns.check(columns.read(kept), Instant(START + 10 * SECOND))
        assert table.reading_count == len(table.block.values)


def test_values_move_but_little_and_the_seed_decides_them() -> None:
    one, same, other = (Simulation(10, 10, START, seed=seed) for seed in (1, 1, 2))
    first = [value for *_, value in rows(told(one, 0, 1_000))]
    assert first == [value for *_, value in rows(told(same, 0, 1_000))]
    assert first != [value for *_, value in rows(told(other, 0, 1_000))]
    of_sensors = np.array(first).reshape(-1, 10)
    assert (of_sensors.std(axis=0) > 0).all()
    assert (of_sensors.std(axis=0) < of_sensors.mean(axis=0) / 10).all()


def test_times_are_exact_after_years() -> None:
    simulation = Simulation(1_000_000, 1, START, seed=1)
    years = 10 * 365 * 24 * 3600
    first = simulation.count(years * SECOND)
    assert rows(told(simulation, first, 1))[0][2] == START + years * SECOND
