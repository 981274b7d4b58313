"""What history would be without the product around it: a bare grpc.aio server that hands out the payloads of one device.

They are read with sqlite3 from the very file of the device-data service, and joined into messages of the same form and size.
"""

import asyncio
import signal
import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import click
import grpc

from consentry_core.process.lifecycle import settle
from consentry_core.rpc.server.serving import OPTIONS, announce
from consentry_devices.history.ranges import CHUNK_BYTES

_LENGTH_BYTES = 4
METHOD = "/consentry.bench.History/Read"


def payloads(database: Path, device: str) -> Iterator[bytes]:
    """The payloads of a device, in the order in which they were taken in."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True, check_same_thread=False)
    for (payload,) in connection.execute("SELECT payload FROM log WHERE device = ? ORDER BY seq", (device,)):
        yield payload
    connection.close()


def chunks(database: Path, device: str) -> Iterator[list[bytes]]:
    """The same, as many at a time as a message of the product's holds."""
    chunk, size = list[bytes](), 0
    for payload in payloads(database, device):
        chunk.append(payload)
        size += len(payload)
        if size >= CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def split(message: bytes) -> Iterator[bytes]:
    """The payloads in a message, each behind its length."""
    at = 0
    while at < len(message):
        start = at + _LENGTH_BYTES
        at = start + int.from_bytes(message[at:start])
        yield message[start:at]


def _server(database: Path) -> tuple[grpc.aio.Server, int]:
    async def read(request: bytes, context: object) -> AsyncIterator[bytes]:
        found = chunks(database, request.decode())
        while chunk := await asyncio.to_thread(next, found, None):
            yield b"".join([part for payload in chunk for part in (len(payload).to_bytes(_LENGTH_BYTES), payload)])

    server = grpc.aio.server(options=OPTIONS)
    _, service, method = METHOD.split("/")
    handler: Any = grpc.unary_stream_rpc_method_handler(read)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
    return server, server.add_insecure_port("127.0.0.1:0")


async def _serve(database: Path, ready_file: Path) -> None:
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    server, port = _server(database)
    await server.start()
    settle()  # as the services do
    announce(f"127.0.0.1:{port}", ready_file)
    await over.wait()
    await server.stop(None)


@click.command()
@click.option("--database", type=click.Path(path_type=Path), required=True)
@click.option("--ready-file", type=click.Path(path_type=Path), required=True)
def main(database: Path, ready_file: Path) -> None:
    """Serve until SIGTERM."""
    asyncio.run(_serve(database, ready_file))


if __name__ == "__main__":
    main()
