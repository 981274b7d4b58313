"""SimulateTelemetry's messages, at the pace of the clock."""

import asyncio
from collections.abc import AsyncGenerator

from consentry.devices.v1 import telemetry_pb2
from consentry_core.clock import SECOND, Clock
from consentry_core.encoding import RandomBytes
from consentry_devices.rpc.messages import join
from consentry_devices.simulation import Simulation

_READINGS = 5_000  # in one message: some 100 kB, made in a few milliseconds, between which the loop serves others
_PAUSE = 0.02
_BEHIND = 1 * SECOND
"""Who reads more slowly than it asked for is this far behind at most: what would come before is left out."""

_TELEMETRY = telemetry_pb2.SimulateTelemetryResponse.TELEMETRY_FIELD_NUMBER


async def simulated(rate: int, sensor_count: int, clock: Clock, random: RandomBytes) -> AsyncGenerator[bytes, None]:
    """Serialised `SimulateTelemetryResponse`s without end: `rate` readings a second of so many sensors."""
    simulation = Simulation(rate, sensor_count, clock.now(), int.from_bytes(random(8)))
    begin, told = clock.boot(), 0
    while True:
        passed = clock.boot() - begin
        told = max(told, simulation.count(passed - _BEHIND))
        due = simulation.count(passed) - told
        if not due:
            await asyncio.sleep(_PAUSE)
            continue
        count = min(due, _READINGS)
        yield join(_TELEMETRY, simulation.readings(told, count))
        told += count
        # Also when there is more to tell at once: a client that takes everything must not keep the loop to itself.
        await asyncio.sleep(_PAUSE if due == count else 0)
