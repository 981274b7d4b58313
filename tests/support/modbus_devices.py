"""Modbus devices: pymodbus's server with the registers of made-up devices."""

import contextlib
import struct
from collections.abc import AsyncIterator, Mapping
from typing import Any

from pymodbus.pdu import ModbusPDU
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

Registers = dict[int, int]


def words(form: str, value: float | int) -> list[int]:
    """The registers of a number (a form of `struct`), the most significant one first."""
    data = struct.pack(f">{form}", value)
    return list(struct.unpack(f">{len(data) // 2}H", data))


def text(value: str, count: int) -> list[int]:
    """The registers of a text."""
    data = value.encode().ljust(2 * count, b" ")
    return list(struct.unpack(f">{count}H", data))


def placed(*parts: tuple[int, list[int]]) -> Registers:
    """Registers by their number."""
    return {start + place: word for start, found in parts for place, word in enumerate(found)}


def smart_ups() -> Registers:
    """An APC Smart-UPS online."""
    return placed(
        (0, words("I", 1 << 1 | 1 << 13)),
        (18, [0, 0, 0, 0, 0, 1 << 2 | 1 << 8]),
        (128, [*words("I", 3_720), 512 * 98, round(27.4375 * 32) & 0xFFFF]),
        (135, [round(26.5 * 128), round(31.25 * 256)]),
        (140, [round(1.875 * 32)]),
        (142, [round(230.5 * 64)]),
        (144, [50 * 128, *words("I", 1_234_567)]),
        (151, [round(231.25 * 64)]),
        (154, [(-2) & 0xFFFF]),
        (532, text("Smart-UPS SRT 3000", 16)),
        (564, text("AS1234567890", 8)),
        (588, [3_000, 2_700]),
    )


def meter() -> Registers:
    """A Schneider PM5560 that hangs on three phases; nothing is wired to its neutral input."""
    nan = [0xFFC0, 0]
    return placed(
        (29, text("Main feed A", 20)),
        (49, text("PM5560", 20)),
        (69, text("Schneider Electric", 20)),
        (129, words("I", 987_654_321)),
        (2999, [*words("f", 101.5), *words("f", 98.25), *words("f", 110.75), *nan, *nan, *words("f", 103.5)]),
        (
            3019,
            [
                *words("f", 400.1),
                *words("f", 401.2),
                *words("f", 399.9),
                *nan,
                *words("f", 231),
                *words("f", 230.9),
                *words("f", 231.3),
            ],
        ),
        (3053, [*words("f", 22.125), *words("f", 21.5), *words("f", 24.75), *words("f", 68.375)]),
        (3075, words("f", 71.25)),
        (3109, words("f", 49.98)),
        (3203, words("q", 123_456_789)),
    )


@contextlib.asynccontextmanager
async def serving(units: Mapping[int, Registers], port: int = 0) -> AsyncIterator["Device"]:
    """Devices at one address, by their unit. What is changed in their registers is there with the next request."""
    device = Device(units)
    await device.start(port)
    try:
        yield device
    finally:
        await device.stop()


class Device:
    """A server. `asked`: the requests that came, as (function, first register, how many)."""

    def __init__(self, units: Mapping[int, Registers]) -> None:
        self.units = units
        self.asked: list[tuple[int, int, int]] = []
        self.port = 0
        self._server: ModbusTcpServer | None = None

    async def start(self, port: int = 0) -> None:
        """Listen; anew with the registers as they are now."""
        devices = [SimDevice(unit, simdata=_simulated(found)) for unit, found in self.units.items()]
        self._server = ModbusTcpServer(devices, address=("127.0.0.1", port), trace_pdu=self._heard)
        await self._server.serve_forever(background=True)
        listening: Any = self._server.transport
        self.port = listening.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """End."""
        if self._server is not None:
            await self._server.shutdown()  # type: ignore[no-untyped-call]
            self._server = None

    async def again(self) -> None:
        """Come back, at the same port, with the registers as they are now."""
        await self.stop()
        await self.start(self.port)

    def _heard(self, sending: bool, pdu: ModbusPDU) -> ModbusPDU:
        if not sending:
            self.asked.append((pdu.function_code, pdu.address, pdu.count))
        return pdu


def _simulated(registers: Registers) -> list[SimData]:
    found: list[SimData] = []
    run: list[int] = []
    start = -1
    for place in [*sorted(registers), 1 << 20]:
        if run and place != start + len(run):
            found.append(SimData(start, values=run, datatype=DataType.REGISTERS))
            run = []
        if place < 1 << 20:
            start = start if run else place
            run.append(registers[place])
    return found
