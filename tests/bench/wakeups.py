"""Why a message waits for hundreds of steps of grpc.aio's event loop: gRPC alone, nothing of ours but the mending of it.

    python -m bench.wakeups            as grpcio does it
    python -m bench.wakeups --mended   with `consentry_core.rpc.server.wakeups`

One server with a thousand open streams. Again and again it writes a message to all of them, and at the same moment a client of
its own makes a unary call, whose handler does nothing. Printed is how long that call takes, and how many steps the event loop
makes meanwhile. In most of them there is nothing left to do: gRPC's reader takes one byte of its socket pair, handles all that
has completed, and is called again for each byte that is left. The thread that writes these bytes stands still once the pair is
full, and what completes later is then let in one by one.

The readers, and whoever makes the call, are processes of their own.
"""

import asyncio
import contextlib
import multiprocessing
import statistics
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc

STREAMS, ROUNDS, SIZE = 1_000, 60, 200
_PER_CHANNEL = 100
OPTIONS = (("grpc.server.max_pending_requests", 20_000), ("grpc.server.max_pending_requests_hard_limit", 20_000))


class Streams(grpc.GenericRpcHandler):
    """`/s/Watch` streams what `send` is told; `/s/Echo` answers nothing at once."""

    def __init__(self) -> None:
        self.waiting: set[asyncio.Event] = set()
        self.all_open = asyncio.Event()

    def service(self, details: Any) -> Any:
        """See `grpc.GenericRpcHandler`."""
        if details.method == "/s/Watch":
            return grpc.unary_stream_rpc_method_handler(self._watch)
        return grpc.unary_unary_rpc_method_handler(self._echo)

    def send(self) -> None:
        """Let every stream write one message."""
        for event in self.waiting:
            event.set()

    async def _watch(self, _: bytes, context: Any) -> AsyncIterator[bytes]:
        event, message = asyncio.Event(), bytes(SIZE)
        self.waiting.add(event)
        if len(self.waiting) == STREAMS:
            self.all_open.set()
        while True:
            await event.wait()
            event.clear()
            yield message

    async def _echo(self, _: bytes, context: Any) -> bytes:
        return b""


async def _read(address: str, count: int) -> None:
    channels = [grpc.aio.insecure_channel(address) for _ in range(-(-count // _PER_CHANNEL))]

    async def stream(channel: Any) -> None:
        async for _ in channel.unary_stream("/s/Watch")(b""):
            pass

    await asyncio.gather(*(stream(channels[number % len(channels)]) for number in range(count)), return_exceptions=True)


def _readers(address: str) -> None:
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_read(address, STREAMS))


async def _call(address: str, pipe: Any) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        echo: Any = channel.unary_unary("/s/Echo")
        await echo(b"")
        pipe.send(0.0)
        while await asyncio.to_thread(pipe.recv):
            began = time.perf_counter()
            await echo(b"")
            pipe.send(time.perf_counter() - began)


def _caller(address: str, pipe: Any) -> None:
    asyncio.run(_call(address, pipe))


async def _serve(mended: bool) -> None:
    if mended:
        from consentry_core.rpc.server.wakeups import take_all_at_once  # noqa: PLC0415 - without it, this needs nothing but grpcio

        take_all_at_once()
    loop: Any = asyncio.get_running_loop()
    steps, step = 0, loop._run_once

    def counted() -> None:
        nonlocal steps
        steps += 1
        step()

    loop._run_once = counted
    streams, server = Streams(), grpc.aio.server(options=OPTIONS)
    server.add_generic_rpc_handlers((streams,))
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    spawning = multiprocessing.get_context("spawn")
    ours, theirs = spawning.Pipe()
    processes = [spawning.Process(target=_readers, args=(address,)), spawning.Process(target=_caller, args=(address, theirs))]
    for process in processes:
        process.start()
    try:
        await asyncio.to_thread(ours.recv)
        await streams.all_open.wait()
        took, made = list[float](), list[int]()
        for _ in range(ROUNDS):
            await asyncio.sleep(0.2)
            streams.send()
            await asyncio.sleep(0)
            before = steps
            ours.send(True)
            took.append((await asyncio.to_thread(ours.recv)) * 1e3)
            made.append(steps - before)
        ours.send(False)
    finally:
        for process in processes:
            process.kill()
    took.sort()
    print(f"{STREAMS} streams written to, {'mended' if mended else 'as grpcio does it'}: a unary call beside that takes "
          f"p50 {statistics.median(took):.1f} ms, p90 {took[len(took) * 9 // 10]:.1f} ms; "
          f"the event loop makes {statistics.median(made):.0f} steps meanwhile")  # fmt: skip


if __name__ == "__main__":
    asyncio.run(_serve("--mended" in sys.argv))
