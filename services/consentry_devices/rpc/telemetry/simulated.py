"""SimulateTelemetry's messages, at the pace of the clock."""

import asyncio
from collections.abc import AsyncGenerator

from consentry.devices.v1 import telemetry_pb2
from consentry_core.pacing.lanes import Pace
from consentry_core.values.clock import SECOND, Clock
from consentry_core.values.encoding import RandomBytes
from consentry_devices.blocks.simulation import Simulation
from consentry_devices.rpc.messages import join

_READINGS = 2_000  # in one message: some 40 kB, made in a millisecond or two
_PAUSE = 0.02
_BEHIND = 1 * SECOND
"""Who reads more slowly than it asked for is this far behind at most: what would come before is left out."""

_TELEMETRY = telemetry_pb2.SimulateTelemetryResponse.TELEMETRY_FIELD_NUMBER


async def simulated(rate: int, sensor_count: int, clock: Clock, random: RandomBytes, pace: Pace) -> AsyncGenerator[bytes, None]:
    """Serialised `SimulateTelemetryResponse`s without end: `rate` readings a second of so many sensors.

    Each is made in a turn of its own: whoever takes everything that it gets keeps neither the loop nor other keys to itself.
    """
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
        await pace.turn()
        yield join(_TELEMETRY, simulation.readings(told, count))
        told += count
        await asyncio.sleep(_PAUSE if due == count else 0)
