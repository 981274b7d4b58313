"""The fleet as polls: what a gateway would read from it at a moment. No I/O.

Alarms follow from the readings, as they do for real devices.

Simulated time begins at the first step and runs `speed` times as fast as the clock; the readings carry the clock's time.
"""

from collections.abc import Iterator

from consentry_core.values.clock import SECOND
from consentry_gateway.reading.model import Device, Limit, Poll, Reading, Value
from consentry_gateway.simulator import fleet
from consentry_gateway.simulator.physics import MAINS_FREQUENCY, MAINS_VOLTAGE, UPS_WATTS, Physics
from consentry_rule import Instant

_DAY = 86_400
_PDU_AMPS = 16.0
_LOW_CHARGE, _LOW_RUNTIME = 30.0, 300.0

_Row = tuple[str, str, Value]  # metric, unit, value


class Simulation:
    """The demo customer's fleet. The same seed and the same first moment give the same fleet at every later one."""

    locations = fleet.LOCATIONS
    agents = tuple(device.id for device in (*fleet.UPSS, *fleet.PDUS, fleet.COOLING, *fleet.PROBES))
    """The devices that polls are about."""

    def __init__(self, seed: int, *, speed: float = 60.0) -> None:
        self._seed = seed
        self._speed = speed
        self._start: Instant | None = None
        self._feeds: dict[str, tuple[str, ...]] = {
            ups.id: tuple(pdu.id for pdu in fleet.PDUS if pdu.id.endswith(f"-{number}"))
            for number, ups in enumerate(fleet.UPSS, 1)
        }
        self._physics: Physics | None = None

    def step(self, now: Instant) -> tuple[Poll, ...]:
        """One poll of each device, as it is now. Time must not go back."""
        if self._start is None or self._physics is None:
            self._start = now
            self._physics = Physics(self._seed, self._feeds, now // SECOND % _DAY)
        time = (now - self._start) / SECOND * self._speed
        self._physics.advance(time)
        look = _Look(self._physics, time, now)
        polls = [look.ups(ups, self._feeds[ups.id]) for ups in fleet.UPSS]
        polls += [look.pdu(pdu) for pdu in fleet.PDUS]
        polls += [look.cooling(fleet.COOLING), *(look.probe(probe) for probe in fleet.PROBES)]
        return tuple(polls)


class _Look:
    """The fleet at one moment."""

    def __init__(self, physics: Physics, time: float, now: Instant) -> None:
        self._physics = physics
        self._state = physics.state
        self._time = time
        self._now = now

    def ups(self, device: Device, pdus: tuple[str, ...]) -> Poll:
        on, charge = self._state.mains_on, self._state.charges[device.id]
        watts = sum(self._physics.pdu_watts(pdu, self._time) for pdu in pdus)
        runtime = self._physics.runtime(device.id, watts)
        low = not on and (charge < _LOW_CHARGE or runtime < _LOW_RUNTIME)
        battery_volts = 218.0 if on else 186.0 + 0.22 * charge
        rows: list[_Row] = [
            ("ups.load", "%", 100 * watts / UPS_WATTS),
            ("ups.realpower", "W", watts),
            ("ups.temperature", "Cel", self._state.room + 6 + self._noise(device, "temperature", 0.3)),
            ("battery.charge", "%", charge),
            ("battery.runtime", "s", runtime),
            ("battery.voltage", "V", battery_volts + self._noise(device, "battery", 0.4)),
            ("battery.status", "", "low" if low else "normal"),
            ("input.voltage", "V", MAINS_VOLTAGE + self._noise(device, "input", 2.5) if on else 0.0),
            ("input.frequency", "Hz", MAINS_FREQUENCY + self._noise(device, "frequency", 0.03) if on else 0.0),
            ("output.voltage", "V", MAINS_VOLTAGE + self._noise(device, "output", 0.5)),
            ("output.status", "", "online" if on else "on battery"),
        ]
        frames = list(fleet.parts(device))
        readings = [*self._readings(device, rows)]
        for frame in frames:
            warm = self._state.room + (2.5 if on else 5.0) + self._noise(frame, "temperature", 0.2)
            readings += self._readings(
                frame,
                [("battery.charge", "%", charge), ("battery.temperature", "Cel", warm)],
                {"battery.temperature": Limit(40, 38)},
            )
        return self._poll(device, frames, readings)

    def pdu(self, device: Device) -> Poll:
        watts = self._physics.pdu_watts(device.id, self._time)
        volts = MAINS_VOLTAGE + self._noise(device, "voltage", 0.6)
        amps = watts / volts
        # A PDU does not change its mind with every flicker.
        steady = self._physics.steady_watts(device.id, self._time) / MAINS_VOLTAGE
        rows: list[_Row] = [
            ("input.realpower", "W", watts),
            ("input.energy", "kW.h", self._state.energies[device.id]),
            ("input.L1.current", "A", amps),
            ("input.L1.voltage", "V", volts),
            ("load.status", "", _load_status(steady, _PDU_AMPS)),
        ]
        banks = list(fleet.parts(device))
        readings = [*self._readings(device, rows)]
        for bank, share in zip(banks, (0.55, 0.45), strict=True):
            status = _load_status(steady * share, _PDU_AMPS * 0.75)
            readings += self._readings(bank, [("current", "A", amps * share), ("load.status", "", status)])
        return self._poll(device, banks, readings)

    def cooling(self, device: Device) -> Poll:
        on = self._state.mains_on
        supply = 17.0 + self._noise(device, "supply", 0.4) if on else self._state.room - 1
        kilowatts = 5.0 + 0.6 * (self._state.room - 22) + self._noise(device, "output", 0.3) if on else 0.0
        rows: list[_Row] = [
            ("cooling.supply.temperature", "Cel", supply),
            ("cooling.return.temperature", "Cel", self._state.room + 4 + self._noise(device, "return", 0.4)),
            ("cooling.output", "W", 1000 * kilowatts),
            ("cooling.fan.speed", "%", min(100.0, 45 + 6 * (self._state.room - 22)) if on else 0.0),
        ]
        return self._poll(device, [], [*self._readings(device, rows)])

    def probe(self, device: Device) -> Poll:
        rows: list[_Row] = [
            ("ambient.temperature", "Cel", self._state.room + self._noise(device, "temperature", 0.4)),
            ("ambient.humidity", "%", 45 + self._noise(device, "humidity", 3.0)),
        ]
        return self._poll(device, [], [*self._readings(device, rows, {"ambient.temperature": fleet.ROOM_LIMIT})])

    def _readings(self, device: Device, rows: list[_Row], limits: dict[str, Limit] | None = None) -> Iterator[Reading]:
        for metric, unit, value in rows:
            sensor = fleet.sensor(device, metric, unit, (limits or {}).get(metric))
            yield Reading(sensor, self._now, round(value, 3) if isinstance(value, float) else value)

    def _poll(self, device: Device, parts: list[Device], readings: list[Reading]) -> Poll:
        return Poll(self._now, device, True, (device, *parts), tuple(readings))

    def _noise(self, device: Device, quantity: str, size: float) -> float:
        return size * self._physics.wobble(f"{device.id}/{quantity}", self._time)


def _load_status(amps: float, most: float) -> str:
    if amps > most:
        return "overload"
    return "near overload" if amps > 0.8 * most else "normal"
