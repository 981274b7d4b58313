"""An event loop whose time stands still while there is work and jumps when there is none, with datagrams that stay in it."""

import asyncio
import selectors
import socket
from collections.abc import Callable
from typing import Any

Deliver = Callable[[bytes, tuple[str, int], Callable[[bytes], None]], None]
"""What becomes of a datagram to an address: the last argument hands the sender an answer."""


class _Jumping(selectors.SelectSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready; when nothing is, time passes."""
        ready = super().select(0)
        if not ready and timeout is None:
            raise AssertionError("everybody waits for something that never comes")
        if not ready and timeout:
            self.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """See the module. `deliver` gets every datagram that is sent."""

    def __init__(self, deliver: Deliver) -> None:
        self._jumping = _Jumping()
        self._deliver = deliver
        super().__init__(self._jumping)

    def time(self) -> float:
        """Seconds since it began."""
        return self._jumping.now

    async def getaddrinfo(self, host: Any, port: Any, **_: Any) -> Any:
        """Addresses only."""
        return [(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_UDP, "", (host, port))]

    async def create_datagram_endpoint(self, protocol_factory: Any, **how: Any) -> Any:  # type: ignore[override]
        """A socket within the loop."""
        protocol = protocol_factory()
        transport = _Transport(self, protocol, how.get("remote_addr"))
        protocol.connection_made(transport)
        return transport, protocol


class _Transport(asyncio.DatagramTransport):
    def __init__(self, loop: VirtualLoop, protocol: Any, remote: Any) -> None:
        super().__init__()
        self._loop = loop
        self._protocol = protocol
        self._remote = remote
        self._closed = False

    def sendto(self, data: Any, addr: Any = None) -> None:
        """Send."""
        to = addr or self._remote

        def answered(answer: bytes) -> None:
            if not self._closed:
                self._protocol.datagram_received(answer, to)

        self._loop._deliver(bytes(data), to, answered)

    def close(self) -> None:
        """Nothing comes any more."""
        self._closed = True

    def is_closing(self) -> bool:
        """Whether it was closed."""
        return self._closed
