"""Traps and informs: a hint that an agent has news, and nothing more. What is so, the poll says that follows.

Whoever can send a packet can send a hint, so it costs no more than a poll, and polls keep their distance (`sources.Collector`).
An inform of version 1 or 2c is acknowledged, if it comes from an agent that is polled; one of version 3 is a hint only.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from consentry_core.process.settings import SettingError
from consentry_gateway.sources.snmp import ber

OnHint = Callable[[str], bool]
"""Told the address that a trap came from; whether an agent is polled there."""


class Traps(asyncio.DatagramProtocol):
    """A listener."""

    def __init__(self, on_hint: OnHint) -> None:
        self._on_hint = on_hint
        self._transport: asyncio.DatagramTransport | None = None
        self.port = 0

    @classmethod
    async def listen(cls, address: str, on_hint: OnHint) -> "Traps":
        """Listen at `host:port`. SettingError when that cannot be."""
        host, _, port = address.rpartition(":")
        if not port.isdecimal() or int(port) > 65535:
            raise SettingError(f"--traps must be host:port, such as 0.0.0.0:162, not {address}")
        loop = asyncio.get_running_loop()
        try:
            transport, traps = await loop.create_datagram_endpoint(
                lambda: cls(on_hint),
                local_addr=(host.strip("[]") or "0.0.0.0", int(port)),  # noqa: S104 - devices are elsewhere
            )
        except OSError as error:
            raise SettingError(f"cannot listen for traps at {address} ({error.strerror}); give another with --traps") from error
        traps.port = transport.get_extra_info("sockname")[1]
        return traps

    def connection_made(self, transport: Any) -> None:
        """Keep the socket, for acknowledgements."""
        self._transport = transport

    def datagram_received(self, data: bytes, address: Any) -> None:
        """Pass a hint on, and acknowledge an inform."""
        if not self._on_hint(address[0].removeprefix("::ffff:")):
            return
        answer = ber.acknowledgement(data)
        if answer is not None and self._transport is not None:
            self._transport.sendto(answer, address)

    def close(self) -> None:
        """Close the socket."""
        if self._transport is not None:
            self._transport.close()
