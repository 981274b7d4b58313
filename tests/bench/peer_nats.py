"""Publisher and subscribers of NATS, for `bench.peers`. Answers lines of JSON on its standard input.

    {"open": {"address", "streams"}}   connects so many subscribers, each with a connection of its own
    {"publish": {"address", "file"}}   publishes the recorded messages; when that began
    {"read": 1000}                     waits until each subscriber has had so many readings; when the last had
    {"close": true}                    hangs up

Each message is parsed and its readings are counted, as `bench.feed_readers` does. Times are wall-clock nanoseconds.
"""

import asyncio
import contextlib
import sys
import time
from functools import partial
from typing import Any

import nats

from bench.devices_process import answer_questions
from bench.feed_relay import recorded
from consentry.devices.v1 import feed_pb2

_SUBJECT = "telemetry"
_PATIENCE = 120.0


class _Peers:
    def __init__(self) -> None:
        self._connections: list[Any] = []
        self._readings: list[int] = []
        self._last = 0
        self._news = asyncio.Event()

    async def answer(self, question: dict[str, Any]) -> Any:
        """Answer one question."""
        ((what, how),) = question.items()
        return await getattr(self, f"_{what}_")(how)

    async def _open_(self, how: dict[str, Any]) -> Any:
        self._readings = [0] * how["streams"]
        for number in range(how["streams"]):
            connection = await nats.connect(f"nats://{how['address']}")
            self._connections.append(connection)
            await connection.subscribe(_SUBJECT, cb=partial(self._take, number), pending_msgs_limit=-1, pending_bytes_limit=-1)
            await connection.flush()
        return True

    async def _take(self, number: int, message: Any) -> None:
        response = feed_pb2.WatchResponse.FromString(message.data)
        self._readings[number] += sum(device.reading_count for device in response.telemetry.devices)
        self._last = time.time_ns()
        self._news.set()

    async def _publish_(self, how: dict[str, str]) -> Any:
        messages = recorded(how["file"])
        connection = await nats.connect(f"nats://{how['address']}", pending_size=64 * 1024 * 1024)
        began = time.time_ns()
        for message in messages:
            await connection.publish(_SUBJECT, message)
        await connection.drain()
        return began

    async def _read_(self, readings: int) -> Any:
        async with asyncio.timeout(_PATIENCE):
            while min(self._readings) < readings:
                self._news.clear()
                await self._news.wait()
        return self._last

    async def _close_(self, _: Any) -> Any:
        for connection in self._connections:
            await connection.close()
        self._connections = []
        return True


async def _serve() -> None:
    peers, loop = _Peers(), asyncio.get_running_loop()
    answer_questions(lambda question: asyncio.run_coroutine_threadsafe(peers.answer(question), loop).result())
    await asyncio.Event().wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve())
    sys.exit(0)
