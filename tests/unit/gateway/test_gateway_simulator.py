"""The demo fleet: the same for the same seed, alive, and true to what follows from a power failure."""

from itertools import pairwise

from consentry_core.values.names import resource_id
from consentry_gateway.reading.alarms import AlarmBook
from consentry_gateway.reading.model import DeviceType, Poll, Value
from consentry_gateway.simulator import Simulation
from support.polls import at

MINUTE = 60.0


def values(polls: tuple[Poll, ...]) -> dict[tuple[str, str], Value]:
    return {(reading.sensor.device, reading.sensor.id): reading.value for poll in polls for reading in poll.readings}


def run(hours: float, *, seed: int = 1, every: float = MINUTE) -> list[tuple[Poll, ...]]:
    simulation = Simulation(seed, speed=1)
    return [simulation.step(at(step * every)) for step in range(int(hours * 3600 / every))]


def test_the_same_seed_gives_the_same_fleet_and_another_one_another() -> None:
    assert run(1) == run(1)
    assert run(1) != run(1, seed=2)


def test_the_fleet_does_not_depend_on_how_often_somebody_looks() -> None:
    often, seldom = run(2, every=30), run(2, every=600)
    assert values(often[20 * 5]) == values(seldom[5])


def test_speed_makes_the_fleet_live_faster_while_readings_carry_the_clock_s_time() -> None:
    slow, fast = Simulation(1, speed=1), Simulation(1, speed=600)
    slow.step(at(0))
    fast.step(at(0))
    assert values(fast.step(at(10))) == values(slow.step(at(6000)))
    assert {reading.time for poll in fast.step(at(11)) for reading in poll.readings} == {at(11)}


def test_the_fleet_is_whole_and_well_named() -> None:
    simulation = Simulation(1)
    polls = simulation.step(at(0))
    devices = [device for poll in polls for device in poll.devices]
    places = {place.id for place in simulation.locations}
    assert {device.type for device in devices} == set(DeviceType) - {DeviceType.UNSPECIFIED, DeviceType.PDU}
    assert len({resource_id(device.id, "id") for device in devices}) == len(devices)
    assert {device.location for device in devices} <= places
    for poll in polls:
        assert {device.parent for device in poll.devices[1:]} <= {poll.device.id}
        assert {reading.sensor.device for reading in poll.readings} <= {device.id for device in poll.devices}


def test_load_follows_the_time_of_day() -> None:
    loads = [value for polls in run(24, every=1800) if isinstance(value := values(polls)["ups-a", "ups.load"], float)]
    assert max(loads) > 1.5 * min(loads)
    assert all(0 < load < 100 for load in loads)
    assert all(abs(after - before) < 8 for before, after in pairwise(loads))


def test_a_power_failure_comes_within_the_hour_and_everything_follows_from_it() -> None:
    book = AlarmBook()
    history = run(3)
    alarms = [alarm for polls in history for poll in polls for alarm in book.observe(poll) if alarm.device == "ups-a"]
    rows = [values(polls) for polls in history]
    out = [place for place, row in enumerate(rows) if row["ups-a", "output.status"] == "on battery"]
    first, last = out[0], out[-1]
    assert 15 <= first <= 60
    assert out == list(range(first, last + 1))
    assert all(rows[place]["ups-a", "input.voltage"] == 0 for place in out)
    for metric in ("battery.charge", "battery.runtime"):
        falling = [rows[place]["ups-a", metric] for place in out]
        assert falling == sorted(falling, key=float, reverse=True)
    assert float(rows[last]["room", "ambient.temperature"]) > float(rows[first]["room", "ambient.temperature"])
    assert float(rows[last + 30]["ups-a", "battery.charge"]) > float(rows[last]["ups-a", "battery.charge"])
    assert [alarm.label for alarm in alarms if "Power" in alarm.label] == ["Power Failure", "Power Failure Cleared"]


def test_a_long_failure_is_a_low_battery() -> None:
    book = AlarmBook()
    seen = {alarm.label for polls in run(3, seed=5) for poll in polls for alarm in book.observe(poll)}
    assert {"Power Failure", "Low Battery", "Low Battery Cleared", "High Temperature", "High Temperature Cleared"} <= seen


def test_a_long_pause_is_slept_through() -> None:
    simulation = Simulation(1, speed=600)
    simulation.step(at(0))
    assert simulation.step(at(30 * 86_400))
