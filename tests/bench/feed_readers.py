"""Readers of telemetry in one process, each with a connection of its own, for `bench.feed`. Answers lines of JSON.

    {"open": {"address", "streams", "secret", "cursor"}}
                               opens streams, live or after a cursor; without a secret, of a bare relay; the seconds it took
    {"read": {"readings", "record"}}
                               waits until each stream has had so many readings, of each device one after the other; when
                               the last had, how long after they were stamped the blocks came, in ms, and how many calls
                               that took; writes what one stream received into a file, if one is named
    {"stall": true}            nobody reads on
    {"go": 10}                 the first so many of them do again; one that has lost its stream goes on after its cursor
    {"cursor": true}           the first stream's last cursor
    {"close": true}            cancels what is open

Every message is parsed and its readings are counted, of the service and of the relay alike. Times are wall-clock nanoseconds of
this host.
"""

import asyncio
import contextlib
import sys
import time
from typing import Any

import grpc

from bench.devices_process import answer_questions
from bench.feed_relay import WATCH as RELAY
from bench.feed_relay import record
from consentry.devices.v1 import feed_pb2
from consentry_core.rpc.client.channels import bearer, open_channel
from consentry_rule import DataClass

_WATCH = "/consentry.devices.v1.FeedService/Watch"
_PATIENCE = 120.0
_TELEMETRY = list(DataClass).index(DataClass.TELEMETRY) + 1


class _Stream:
    """One reader's stream, opened again after its cursor when it is lost."""

    def __init__(self, method: Any, request: feed_pb2.WatchRequest, metadata: Any, news: asyncio.Event) -> None:
        self._method = method
        self._request = request
        self._metadata = metadata
        self._news = news
        self._next: dict[str, float] = {}
        self.received: list[bytes] | None = None
        self.readings = self.calls = self.last = 0
        self.delays: list[float] = []
        self.opened = False
        self.going = asyncio.Event()
        self.going.set()
        self.reading = asyncio.create_task(self._read())

    @property
    def cursor(self) -> str:
        """The last one."""
        return self._request.after_cursor

    async def _read(self) -> None:
        while True:
            self.calls += 1
            call = self._method(self._request.SerializeToString(), metadata=self._metadata)
            try:
                async for message in call:
                    self._take(message)
                    await self.going.wait()
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
            finally:
                call.cancel()

    def _take(self, message: bytes) -> None:
        response = feed_pb2.WatchResponse.FromString(message)
        now = time.time_ns()
        self.opened = self.opened or not message or response.HasField("synced")
        for device in response.telemetry.devices:
            value = device.block.values[0]
            assert self._next.get(device.device, value) == value, f"{device.device}: {self._next[device.device]}, not {value}"
            self._next[device.device] = value + device.reading_count
            self.readings += device.reading_count
            self.delays.append((now - device.max_time_unix_nano) / 1e6)
        self.last = now
        if response.cursor:
            self._request.after_cursor = response.cursor
        if self.received is not None and response.HasField("telemetry"):
            self.received.append(message)
        self._news.set()


class _Readers:
    def __init__(self) -> None:
        self._streams: list[_Stream] = []
        self._channels: list[Any] = []
        self._news = asyncio.Event()

    async def answer(self, question: dict[str, Any]) -> Any:
        """Answer one question."""
        ((what, how),) = question.items()
        return await getattr(self, f"_{what}_")(how)

    async def _open_(self, how: dict[str, Any]) -> Any:
        request = feed_pb2.WatchRequest(data_classes=[_TELEMETRY])  # type: ignore[list-item]
        if how.get("cursor"):
            request.after_cursor = how["cursor"]
        else:
            request.live.SetInParent()
        method, metadata = (_WATCH, bearer(how["secret"])) if how.get("secret") else (RELAY, None)
        began = time.time_ns()
        for number in range(how["streams"]):
            self._channels.append(open_channel(how["address"]))
            question = feed_pb2.WatchRequest()
            question.CopyFrom(request)
            self._streams.append(_Stream(self._channels[-1].unary_stream(method), question, metadata, self._news))
            if number == 0:
                self._streams[0].received = []
        if not how.get("cursor"):
            await self._until(lambda: all(stream.opened for stream in self._streams))
        return {"began": began}

    async def _read_(self, how: dict[str, Any]) -> Any:
        await self._until(lambda: all(stream.readings >= how["readings"] for stream in self._streams))
        assert all(stream.readings == how["readings"] for stream in self._streams), "nothing comes twice"
        last = max(stream.last for stream in self._streams)
        delays = [delay for stream in self._streams for delay in stream.delays]
        received = self._streams[0].received or []
        if how.get("record"):
            record(received, how["record"])
        for stream in self._streams:
            stream.readings, stream.delays = 0, []
        received.clear()
        return {"last": last, "delays": delays, "calls": sum(stream.calls for stream in self._streams)}

    async def _stall_(self, _: Any) -> Any:
        for stream in self._streams:
            stream.going.clear()
        return True

    async def _go_(self, how_many: int) -> Any:
        for stream in self._streams[:how_many]:
            stream.going.set()
        return True

    async def _cursor_(self, _: Any) -> Any:
        return self._streams[0].cursor

    async def _close_(self, _: Any) -> Any:
        for stream in self._streams:
            stream.reading.cancel()
        await asyncio.gather(*(stream.reading for stream in self._streams), return_exceptions=True)
        for channel in self._channels:
            await channel.close()
        self._streams, self._channels = [], []
        return True

    async def _until(self, enough: Any) -> None:
        async with asyncio.timeout(_PATIENCE):
            while not enough():
                self._news.clear()
                waiting = asyncio.ensure_future(self._news.wait())
                ended = [stream.reading for stream in self._streams]
                await asyncio.wait([waiting, *ended], return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
                for reading in ended:
                    if reading.done():
                        reading.result()


async def _serve() -> None:
    readers, loop = _Readers(), asyncio.get_running_loop()
    answer_questions(lambda question: asyncio.run_coroutine_threadsafe(readers.answer(question), loop).result())
    await asyncio.Event().wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve())
    sys.exit(0)
