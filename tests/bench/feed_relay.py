"""The baseline of `bench.feed`: a bare grpc.aio server that stores every message and hands it to every stream that is open.

No gate, no guard, no cursor, no check: what moving these bytes costs with gRPC, and keeping them with sqlite3, on disk at each
commit, as the service's own database is set up. What comes while a commit is under way is the next one. `{"forget": true}` on
standard input empties it.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import click
import grpc

from bench.devices_process import answer_questions
from consentry_core.rpc.server.serving import OPTIONS, announce
from consentry_core.sql.database import PRAGMAS

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
    def __init__(self, database: Path) -> None:
        self._messages: list[bytes] = []
        self._arrived: list[bytes] = []
        self._news, self._work = asyncio.Event(), asyncio.Event()
        self._database = sqlite3.connect(database, isolation_level=None, check_same_thread=False)
        for pragma in PRAGMAS:
            self._database.execute(f"PRAGMA {pragma}")
        self._database.execute("CREATE TABLE log (seq INTEGER PRIMARY KEY, payload BLOB)")

    async def publish(self, requests: AsyncIterator[bytes], context: Any) -> bytes:
        async for message in requests:
            self._arrived.append(message)
            self._work.set()
        return b""

    async def store(self) -> None:
        """Commit what has arrived, then hand it out; for ever."""
        while True:
            await self._work.wait()
            self._work.clear()
            group, self._arrived = self._arrived, []
            await asyncio.to_thread(self._insert, group)
            self._messages += group
            self._ring()

    def _insert(self, group: list[bytes]) -> None:
        self._database.execute("BEGIN IMMEDIATE")
        self._database.executemany("INSERT INTO log (payload) VALUES (?)", [(message,) for message in group])
        self._database.execute("COMMIT")

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
    relay, loop = _Relay(ready_file.with_name("relay.db")), asyncio.get_running_loop()
    storing = asyncio.create_task(relay.store())
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
    await storing


@click.command()
@click.option("--ready-file", type=click.Path(path_type=Path), required=True)
def main(ready_file: Path) -> None:
    """Serve."""
    asyncio.run(_serve(ready_file))


if __name__ == "__main__":
    main()
