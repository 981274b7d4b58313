"""Many readers in one process, for benchmarks. Answers lines of JSON on its standard input.

    {"open": {"address", "streams", "secrets", "customers", "live"}}
                                           opens streams; the seconds until all are synced, and failures
    {"told": {"customer_added": 1000}}     waits until so many events of a kind have come since; when the last came
    {"count": "telemetry"}                 how many events of a kind have come since
    {"ended": true}                        waits until all streams have ended; when each had its status, the statuses, and
                                           the seconds after which those that were told so may come back
    {"close": true}                        cancels what is open

Times are wall-clock nanoseconds of this host. The readers run at the lowest priority: they stand for other machines, and what
is measured shares its processors with nobody there. (At the same priority, with two cores, half of a barrier's time was waiting
for readers to be done with what they had received.)
"""

import asyncio
import collections
import contextlib
import os
import sys
import time
from typing import Any

import grpc

from bench.devices_process import answer_questions
from consentry.devices.v1 import feed_pb2, feed_pb2_grpc
from consentry_core.rpc.client.channels import bearer, open_channel
from consentry_core.rpc.errors import error_info, retry_after

_PATIENCE = 60.0
_STREAMS_PER_CHANNEL = 100


class Readers:
    """The streams that are open."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []
        self._channels: list[grpc.aio.Channel] = []
        self._told: collections.Counter[str] = collections.Counter()
        self._last: dict[str, int] = {}
        self._ended: list[int] = []
        self._return_after: list[float] = []
        self._statuses: collections.Counter[str] = collections.Counter()
        self._news = asyncio.Event()

    async def answer(self, question: dict[str, Any]) -> Any:
        """Answer one question."""
        ((what, how),) = question.items()
        return await getattr(self, f"_{what}_")(how)

    async def _open_(self, how: dict[str, Any]) -> Any:
        await self._close_(None)
        request = feed_pb2.WatchRequest(customers=[f"customers/{customer}" for customer in how["customers"]])
        if how["live"]:
            request.live.SetInParent()
        began = time.perf_counter()
        for number in range(how["streams"]):
            if number % _STREAMS_PER_CHANNEL == 0:
                self._channels.append(open_channel(how["address"]))
            secret = how["secrets"][number % len(how["secrets"])]
            self._tasks.append(asyncio.create_task(self._read(self._channels[-1], request, secret)))
        await self._until(lambda: self._told["synced"] + len(self._ended) >= how["streams"])
        return {"seconds": time.perf_counter() - began, "failed": self._statuses}

    async def _told_(self, how: dict[str, int]) -> Any:
        ((kind, count),) = how.items()
        await self._until(lambda: self._told[kind] >= count)
        return self._last[kind]

    async def _count_(self, kind: str) -> Any:
        return self._told[kind]

    async def _ended_(self, _: Any) -> Any:
        await self._until(lambda: len(self._ended) >= len(self._tasks))
        return {"times": self._ended, "statuses": self._statuses, "return_after": self._return_after}

    async def _close_(self, _: Any) -> Any:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for channel in self._channels:
            await channel.close()
        self._tasks, self._channels, self._ended, self._return_after = [], [], [], []
        self._told, self._statuses = collections.Counter(), collections.Counter()
        return True

    async def _until(self, enough: Any) -> None:
        async with asyncio.timeout(_PATIENCE):
            while not enough():
                self._news.clear()
                await self._news.wait()

    async def _read(self, channel: grpc.aio.Channel, request: feed_pb2.WatchRequest, secret: str) -> None:
        call: Any = feed_pb2_grpc.FeedServiceStub(channel).Watch(request, metadata=bearer(secret))
        try:
            async for response in call:
                kind = response.WhichOneof("event")
                self._told[kind] += 1
                self._last[kind] = time.time_ns()
                self._news.set()
            status = "OK"
        except grpc.aio.AioRpcError as error:
            status = f"{error.code().name} {error_info(error).reason}"
            seconds = retry_after(error)
            if seconds is not None:
                self._return_after.append(seconds)
        finally:
            call.cancel()
        self._ended.append(time.time_ns())
        self._statuses[status] += 1
        self._news.set()


async def _serve() -> None:
    readers, loop = Readers(), asyncio.get_running_loop()
    answer_questions(lambda question: asyncio.run_coroutine_threadsafe(readers.answer(question), loop).result())
    await asyncio.Event().wait()


if __name__ == "__main__":
    os.nice(19)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve())
    sys.exit(0)
