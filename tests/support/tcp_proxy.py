"""A TCP proxy on loopback that a test can hold or cut, or that swallows: what a partition looks like from the two ends."""

import asyncio
import contextlib


class TcpProxy:
    """Forwards to `target` (`host:port`). `address` is where it listens once it was started."""

    def __init__(self, target: str) -> None:
        self._host, _, port = target.rpartition(":")
        self._port = int(port)
        self._up, self._down = asyncio.Event(), asyncio.Event()
        self._cut = False
        self._connections: set[asyncio.Task[None]] = set()
        self._lost: list[asyncio.Event] = []
        self.accepted = 0
        self._news = asyncio.Condition()
        self._server: asyncio.Server | None = None
        self.address = ""
        self.release()

    async def start(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def accepted_times(self, times: int) -> None:
        """Wait until so many connections have come."""
        async with asyncio.timeout(20), self._news:
            await self._news.wait_for(lambda: self.accepted >= times)

    async def close(self) -> None:
        """Hang up and listen no more."""
        if self._server is not None:
            self._server.close()
        self._cut = True  # also what was accepted just now, and has not begun
        self._hang_up()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def hold(self, *, up: bool = True, down: bool = True) -> None:
        """Let nothing through, towards the target or from it; connections stay open, and what comes is forwarded later."""
        if up:
            self._up.clear()
        if down:
            self._down.clear()

    def swallow(self) -> None:
        """Let the connections that there are pass nothing more, and stay open; new ones pass."""
        for lost in self._lost:
            lost.set()

    def cut(self) -> None:
        """Break all connections, and every new one."""
        self._cut = True
        self._hang_up()

    def release(self) -> None:
        """Let everything through."""
        self._cut = False
        self._up.set()
        self._down.set()

    def _hang_up(self) -> None:
        for connection in self._connections:
            connection.cancel()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        async with self._news:
            self.accepted += 1
            self._news.notify_all()
        self._lost.append(asyncio.Event())
        try:
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await self._forward(reader, writer, self._lost[-1])
        finally:
            self._connections.discard(task)
            writer.transport.abort()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, lost: asyncio.Event) -> None:
        if self._cut:
            return
        far_reader, far_writer = await asyncio.open_connection(self._host, self._port)
        pumps = [
            asyncio.create_task(_pump(reader, far_writer, self._up, lost)),
            asyncio.create_task(_pump(far_reader, writer, self._down, lost)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            far_writer.transport.abort()  # first: this may be cancelled while it waits
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gate: asyncio.Event, lost: asyncio.Event) -> None:
    while data := await reader.read(65536):
        await gate.wait()
        if not lost.is_set():
            writer.write(data)
            await writer.drain()
