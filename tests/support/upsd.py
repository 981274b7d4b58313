"""A `upsd` for the tests: what RFC 9271 says that it answers to what a gateway asks, with every way to answer badly.

It was checked against the real one, Debian's nut-server 2.8.0 with the driver dummy-ups: where that is installed,
`test_gateway_nut` asks both the same.
"""

import asyncio
import contextlib
import re
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from consentry_core.values.text import cleaned

UPS = {
    "battery.charge": "87",
    "battery.runtime": "1240",
    "battery.voltage": "27.4",
    "battery.temperature": "29.3",
    "device.mfr": "Eaton",
    "device.model": "5PX 1500i RT2U G2",
    "device.serial": "G320M49078",
    "device.type": "ups",
    "driver.name": "usbhid-ups",
    "input.frequency": "50.0",
    "input.voltage": "231.6",
    "outlet.1.desc": "PowerShare Outlet 1",
    "outlet.1.status": "on",
    "outlet.2.desc": "PowerShare Outlet 2",
    "outlet.2.status": "off",
    "outlet.2.current": "0.4",
    "output.current": "1.9",
    "output.frequency": "50.0",
    "output.voltage": "230.1",
    "ups.efficiency": "97",
    "ups.load": "29",
    "ups.power": "438",
    "ups.power.nominal": "1500",
    "ups.realpower": "402",
    "ups.realpower.nominal": "1500",
    "ups.status": "OL CHRG",
    "ups.temperature": "31.0",
    "ups.test.result": "Done and passed",
}
"""A UPS online."""


@dataclass(slots=True)
class Upsd:
    """What it has, and how it answers. `refuse`: the error that LIST VAR gets; `say`: instead of any answer to LIST VAR."""

    port: int = 0
    upses: dict[str, dict[str, str]] = field(default_factory=lambda: {"rack-3": dict(UPS)})
    password: str = ""
    tls: ssl.SSLContext | None = None
    refuse: str = ""
    say: bytes | None = None
    eager: bytes = b""
    heard: list[str] = field(default_factory=list)
    connections: int = 0
    open: dict[asyncio.Task[None], asyncio.StreamWriter] = field(default_factory=dict)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.connections += 1
        task = asyncio.create_task(self._serve(reader, writer))
        self.open[task] = writer
        await asyncio.wait([task])
        writer.close()
        del self.open[task]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while line := (await reader.readline()).decode():
                words = [word.strip('"') for word in re.findall(r'"(?:\\.|[^"])*"|\S+', line)]
                self.heard.append(cleaned(line.strip()))
                if words[0] == "STARTTLS" and self.tls is not None:
                    writer.write(b"OK STARTTLS\n" + self.eager)
                    await writer.drain()
                    await writer.start_tls(self.tls)
                    continue
                writer.write(self.answer(words))
                await writer.drain()

    def answer(self, words: list[str]) -> bytes:
        """The answer to a line."""
        match words:
            case ["STARTTLS"]:
                return b"ERR FEATURE-NOT-CONFIGURED\n"
            case ["USERNAME", _]:
                return b"OK\n"
            case ["PASSWORD", password]:
                return b"OK\n" if password == self.password else b"ERR ACCESS-DENIED\n"
            case ["LIST", "UPS"]:
                return _listed("UPS", [f'UPS {name} "Description unavailable"' for name in self.upses])
            case ["LIST", "VAR", ups] if self.say is not None:
                return self.say
            case ["LIST", "VAR", ups] if self.refuse or ups not in self.upses:
                return f"ERR {self.refuse or 'UNKNOWN-UPS'}\n".encode()
            case ["LIST", "VAR", ups]:
                return _listed(f"VAR {ups}", [f'VAR {ups} {name} "{value}"' for name, value in self.upses[ups].items()])
        return b"ERR UNKNOWN-COMMAND\n"

    async def cut(self) -> None:
        """End all connections."""
        while self.open:
            for task in self.open:
                task.cancel()
            await asyncio.sleep(0)


def _listed(what: str, lines: list[str]) -> bytes:
    return "".join(f"{line}\n" for line in [f"BEGIN LIST {what}", *lines, f"END LIST {what}"]).encode()


@contextlib.asynccontextmanager
async def serving(upsd: Upsd) -> AsyncIterator[Upsd]:
    """Serve it on a free port, or on its own again."""
    server = await asyncio.start_server(upsd.serve, "127.0.0.1", upsd.port)
    upsd.port = server.sockets[0].getsockname()[1]
    try:
        yield upsd
    finally:
        server.close()
        await upsd.cut()
        await server.wait_closed()
