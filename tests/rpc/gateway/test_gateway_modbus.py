"""Devices that speak Modbus TCP: pymodbus's server with their registers, and servers with no manners at all."""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest

from consentry_gateway.sources.modbus.access import ModbusAccess
from consentry_gateway.sources.modbus.registers import MOST_REGISTERS, Block, blocks, coil, field, register, value_of
from consentry_gateway.sources.modbus.source import ModbusSource
from consentry_gateway.sources.polling import Reports
from support.agents import MADE_UP, told
from support.asking import Asked
from support.clocks import FakeClock
from support.modbus_devices import Device, meter, placed, serving, smart_ups, words

UPS, METER = ModbusAccess("apc-smart-ups", 1), ModbusAccess("schneider-pm5000", 7)


@contextlib.asynccontextmanager
async def asking(
    port: int, access: ModbusAccess, *, clock: FakeClock | None = None, patience: float = 5
) -> AsyncIterator[Asked]:
    """The gateway's side, with so many seconds of patience."""
    reports = Reports(FakeClock())
    source = ModbusSource(clock or FakeClock(), reports=reports, timeout=patience, retries=0)
    try:
        yield Asked("modbus", source, reports, access, port)
    finally:
        await source.close()


@pytest.mark.parametrize(("access", "registers", "name"), [(UPS, smart_ups, "smart-ups"), (METER, meter, "pm5560")])
async def test_all_that_is_read_of_a_device(access: ModbusAccess, registers: Callable[[], dict[int, int]], name: str) -> None:
    async with serving({access.unit: registers()}) as device, asking(device.port, access) as it:
        assert told(await it.poll()) == (MADE_UP / f"modbus-{name}.expected").read_text(encoding="utf-8")


async def test_no_register_is_asked_for_that_the_map_does_not_name() -> None:
    """The server has none but these, and says so; and those side by side come in one request."""
    async with serving({7: meter()}) as device, asking(device.port, METER) as it:
        assert (await it.poll()).complete
        assert {place for _, start, count in device.asked for place in range(start, start + count)} <= meter().keys()
        assert (3, 2999, 8) in device.asked
        assert len(device.asked) == 10


async def test_what_the_bits_say_is_raised_and_cleared() -> None:
    registers = smart_ups()
    async with serving({1: registers}) as device, asking(device.port, UPS) as it:
        for changes, expected in [
            ({}, []),
            ({1: 1 << 2, 18: 1}, ["Power Failure"]),
            ({1: 1 << 2, 18: 1 << 1}, ["Low Battery", "Power Failure"]),
            ({0: 1 << 5, 1: 1 << 1}, ["Overload"]),  # bit 21 of both words
            ({1: 1 << 3}, ["On Bypass"]),
            ({1: 1 << 4}, ["Output Off"]),
            ({1: 1 << 1 | 1 << 5, 21: 1 << 10}, ["Fan Failure", "UPS Fault"]),
            ({22: 1 | 1 << 2}, ["Battery Missing", "Replace Battery"]),
            ({23: 1 << 3}, ["Self-Test Failed"]),
            ({135: 45 * 128}, ["High Temperature"]),
            ({}, []),
        ]:
            registers |= smart_ups() | changes
            await device.again()
            assert await it.alarms() == [f"it: {label}" for label in expected], changes
        registers |= {1: 0}
        await device.again()
        assert (await it.values())["output.status"] == "unknown"


async def test_an_unknown_state_ends_no_alarm() -> None:
    registers = smart_ups() | {1: 1 << 2}
    async with serving({1: registers}) as device, asking(device.port, UPS) as it:
        assert await it.alarms() == ["it: Power Failure"]
        registers |= {1: 0}
        await device.again()
        assert await it.alarms() == ["it: Power Failure"]


async def test_a_register_that_the_device_lacks_takes_no_other_away() -> None:
    """It is not asked for again, until an hour has passed."""
    registers, clock = smart_ups(), FakeClock()
    del registers[128], registers[129], registers[154]
    async with serving({1: registers}) as device, asking(device.port, UPS, clock=clock) as it:
        poll = await it.poll()
        values = {reading.sensor.metric: reading.value for reading in poll.readings}
        assert poll.complete
        assert not {"battery.runtime", "ups.efficiency"} & values.keys()
        assert values["battery.charge"] == 98
        device.asked.clear()
        await it.poll()
        assert not any(start <= 128 < start + count or start == 154 for _, start, count in device.asked)
        registers |= smart_ups()
        await device.again()
        assert "battery.runtime" not in await it.values()
        clock.advance(3_601)
        assert (await it.values())["battery.runtime"] == 3_720


async def test_another_device_than_the_map_says_is_none_that_is_known(caplog: pytest.LogCaptureFixture) -> None:
    async with serving({1: meter()}) as device, asking(device.port, UPS) as it:
        poll = await it.poll()
        assert (poll.reachable, poll.complete, poll.readings) == (True, False, ())
    assert "none that is known, nothing is read from it (map apc-smart-ups, unit 1)" in caplog.text


@pytest.mark.parametrize("access", [UPS, METER])
async def test_a_device_that_says_0_for_what_it_does_not_have_is_none_that_is_known(access: ModbusAccess) -> None:
    async with serving({access.unit: dict.fromkeys(range(4_000), 0)}) as device, asking(device.port, access) as it:
        poll = await it.poll()
        assert (poll.reachable, poll.complete, poll.readings) == (True, False, ())


async def test_it_goes_and_comes_back(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    async with serving({7: meter()}) as device, asking(device.port, METER) as it:
        first = await it.poll()
        await device.stop()
        for _ in range(3):
            gone = await it.poll()
        assert (gone.reachable, gone.devices, gone.readings) == (False, first.devices, ())
        assert await it.alarms() == ["it: Device Communication Alert"]
        await device.start(device.port)
        assert await it.alarms() == []
        said = [record.getMessage() for record in caplog.records if "silent" in record.getMessage()]
        assert said == [
            f"agent device=it silent: nobody listens at 127.0.0.1 port {device.port}",
            "agent device=it silent: over",
        ]


@contextlib.asynccontextmanager
async def answering(answer: Callable[[bytes], bytes | None]) -> AsyncIterator[int]:
    """A server that answers to a request what it likes; None: it ends the connection."""
    open_now: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while (said := answer(await reader.readexactly(12))) is not None:
                writer.write(said)
                await writer.drain()
        writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(serve(reader, writer))
        open_now.add(task)
        await asyncio.wait([task])
        writer.close()
        open_now.discard(task)

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        while open_now:
            for task in open_now:
                task.cancel()
            await asyncio.sleep(0)


def _frame(request: bytes, data: bytes, *, unit: int | None = None) -> bytes:
    return request[:4] + struct.pack(">HB", len(data) + 1, request[6] if unit is None else unit) + data


def _exception(code: int) -> Callable[[bytes], bytes]:
    return lambda request: _frame(request, bytes([request[7] | 0x80, code]))


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda _: b"", "no answer from"),
        (lambda _: None, "no answer from"),
        (lambda _: b"\xff" * 1_000_000, "no answer from"),
        (lambda _: b"HTTP/1.1 400 Bad Request\r\n\r\n", "no answer from"),
        (lambda request: _frame(request, bytes([3, 4, 1, 2, 3, 4]), unit=200), "no answer from"),
        (lambda request: request[:4] + b"\xff\xff" + request[6:], "no answer from"),
        (lambda request: _frame(request, b""), "no answer from"),
        (_exception(10), "its gateway has no way to unit 1"),
        (_exception(11), "unit 1 does not answer its gateway"),
    ],
    ids=["silence", "end", "flood", "http", "another unit", "false length", "nothing", "no way", "no unit"],
)
async def test_a_server_without_manners_is_silent_in_words(
    answer: Callable[[bytes], bytes | None], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    patience = 0.15 if reason == "no answer from" else 5
    async with answering(answer) as port, asking(port, UPS, patience=patience) as it, asyncio.timeout(10):
        for _ in range(2):
            assert not (await it.poll()).reachable
    assert [reason in record.getMessage() for record in caplog.records] == [True]


@pytest.mark.parametrize(
    "answer",
    [_exception(4), _exception(6), lambda request: _frame(request, bytes([3, 10, *range(10)]))],
    ids=["failure", "busy", "another number of registers"],
)
async def test_what_a_device_cannot_say_now_is_unread_and_not_gone(
    answer: Callable[[bytes], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    """It was a UPS that could say everything before."""
    async with serving({1: smart_ups()}) as device, asking(device.port, UPS) as it:
        await it.poll()
        await device.stop()

        def partly(request: bytes) -> bytes:
            start, count = struct.unpack(">HH", request[8:12])
            if start >= 128:
                return answer(request)
            return _frame(
                request,
                bytes([3, 2 * count]) + struct.pack(f">{count}H", *(smart_ups()[start + place] for place in range(count))),
            )

        async with answering(partly) as port:
            it.agent = replace(it.agent, port=port)
            await it.source.close()
            it.source._known.clear()  # type: ignore[attr-defined] # it comes from another port
            poll = await it.poll()
    assert (poll.reachable, poll.complete, poll.device.model_name) == (True, False, "Smart-UPS SRT 3000")
    assert {reading.sensor.metric for reading in poll.readings} == {
        "output.status", "ups.load.status", "battery.status", "battery.replace", "ups.test.result",
    }  # fmt: skip
    assert caplog.text.count("not read: registers 128 to 131") == 1


def test_the_kinds_of_numbers() -> None:
    def value(kind: str, *registers: int, **more: object) -> object:
        return value_of(field(register(10, kind, **more)), registers)  # type: ignore[arg-type]

    assert [value("uint16", 0xFFFE), value("int16", 0xFFFE)] == [65_534, -2]
    assert [value("uint32", 1, 2), value("uint32s", 2, 1), value("int32", 0xFFFF, 0xFFFE)] == [65_538, 65_538, -2]
    assert [value("int64", *words("q", -5)), value("uint64", *words("Q", 1 << 63))] == [-5, 1 << 63]
    assert [value("float32", *words("f", 0.1)), value("float32s", *reversed(words("f", -2.5)))] == [0.1, -2.5]
    assert value("float64", *words("d", 1 / 3)) == 1 / 3
    assert [value("uint32", 1, 0, bit=16), value("uint32", 1, 0, bit=0)] == [1, 0]
    assert [value("uint16", 0b1010, bits=(2, 3, 1)), value("uint16", 0, bits=(2, 3, 1))] == [3, -1]
    assert [value("text2", 0x4142, 0x4300), value("decimal32", 1, 0)] == [b"ABC", "65536"]
    assert value_of(field(coil(5)), [True]) == 1
    for bad in (
        ("uint16", {"bit": 16}),
        ("int16", {"bit": 1}),
        ("text121", {}),
        ("float16", {}),
        ("uint16", {"table": "coil"}),
    ):
        with pytest.raises(ValueError, match=r"cannot be|no kind"):
            register(10, bad[0], **bad[1])
    with pytest.raises(ValueError, match="cannot be"):
        register(65_535, "uint32")


def test_requests_are_bounded_and_leave_gaps_alone() -> None:
    fields = [field(register(start)) for start in (5, 6, 8)] + [field(register(6, "uint32")), field(register(5, table="input"))]
    assert [(block.table, block.start, block.end) for block in blocks(fields)] == [("holding", 5, 9), ("input", 5, 6)]
    assert [(block.start, block.end) for block in blocks(field(register(start)) for start in (1, 3))] == [(1, 2), (3, 4)]
    many: list[Block] = blocks(field(register(start)) for start in range(1_000))
    assert max(block.end - block.start for block in many) == MOST_REGISTERS
    assert sum(len(block.fields) for block in many) == 1_000


async def test_coils_and_inputs_are_read_too() -> None:
    """No profile has them yet; the line to a device does."""
    from consentry_gateway.sources.modbus.client import Line  # noqa: PLC0415 - as the source does it

    device = Device({1: placed((0, [0b101, 7]))})
    await device.start()
    line = Line("127.0.0.1", device.port, 1, 1, 0)
    try:
        (block,) = blocks([field(coil(0)), field(coil(1)), field(coil(2))])
        assert list(await line.read(block)) == [1, 0, 1]
        (block,) = blocks([field(register(1, table="input"))])
        assert list(await line.read(block)) == [7]
    finally:
        line.close()
        await device.stop()


async def test_a_name_without_an_address_is_told(caplog: pytest.LogCaptureFixture) -> None:
    async with asking(502, UPS) as it:
        it.agent = replace(it.agent, host="no-such-host.invalid")
        assert not (await it.poll()).reachable
    assert "there is no address for no-such-host.invalid" in caplog.text
