"""The baseline of `bench.feed`: a bare grpc.aio server that hands every message that it is sent to every stream that is open.

No gate, no guard, no cursor, no log: what moving these bytes costs with gRPC. `{"forget": true}` on standard input empties it.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import click
import grpc

from bench.devices_process import answer_questions
from consentry_core.rpc.server import OPTIONS, announce

PUBLISH, WATCH = "/consentry.bench.Relay/Publish", "/consentry.bench.Relay/Watch"


def record(messages: list[bytes], file: str) -> None:
    """Write messages to a file, each behind its length."""
    with Path(file).open("wb") as out:
        out.writelines(len(message).to_bytes(4, "big") + message for message in messages)


def recorded(file: str) -> list[bytes]:
    """The messages of a file."""
    data, messages, at = Path(file).read_bytes(), [], 0
    while at < len(data):
        start = at + 4
        at = start + int.from_bytes(data[at:start], "big")
        messages.append(data[start:at])
    return messages


class _Relay:
    def __init__(self) -> None:
        self._messages: list[bytes] = []
        self._news = asyncio.Event()

    async def publish(self, requests: AsyncIterator[bytes], context: Any) -> bytes:
        async for message in requests:
            self._messages.append(message)
            self._ring()
        return b""

    async def watch(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        messages, at = self._messages, 0
        yield b""  # open
        while True:
            while at < len(messages):
                yield messages[at]
                at += 1
            await self._news.wait()

    def forget(self) -> None:
        self._messages = []

    def _ring(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


async def _serve(ready_file: Path) -> None:
    relay, loop = _Relay(), asyncio.get_running_loop()
    server = grpc.aio.server(options=OPTIONS)
    handlers: dict[str, Any] = {
        "Publish": grpc.stream_unary_rpc_method_handler(relay.publish),
        "Watch": grpc.unary_stream_rpc_method_handler(relay.watch),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("consentry.bench.Relay", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()

    def answer(_: dict[str, Any]) -> Any:
        loop.call_soon_threadsafe(relay.forget)
        return True

    answer_questions(answer)
    announce(f"127.0.0.1:{port}", ready_file)
    await asyncio.Event().wait()


@click.command()
@click.option("--ready-file", type=click.Path(path_type=Path), required=True)
def main(ready_file: Path) -> None:
    """Serve."""
    asyncio.run(_serve(ready_file))


if __name__ == "__main__":
    main()
