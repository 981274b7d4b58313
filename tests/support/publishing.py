"""A GatewayService for the publisher's tests, on a real server: keeps what it committed, and misbehaves when it is told to."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc

from consentry.devices.v1 import gateway_pb2, gateway_pb2_grpc
from consentry_core.rpc.errors import STATUS_OF, to_status, trailing_metadata
from consentry_core.values.errors import ConsentryError

Frame = gateway_pb2.PublishRequest.Frame
Response = gateway_pb2.PublishResponse


class ScriptedService(gateway_pb2_grpc.GatewayServiceServicer):
    """Commits frames. `answer` may return an error for a frame, which ends the stream; what stays None is committed.

    With `acknowledge` False frames are committed and nobody is told.
    """

    def __init__(self) -> None:
        self.committed: dict[str, list[Frame]] = {}
        self.received: list[int] = []
        self.hellos: list[gateway_pb2.PublishRequest.Hello] = []
        self.credentials: list[Any] = []
        self.answer: Callable[[Frame], ConsentryError | None] = lambda _frame: None
        self.acknowledge = True
        self._changed = asyncio.Condition()
        self._cut = asyncio.Event()

    async def Publish(self, request_iterator: AsyncIterator[Any], context: Any) -> AsyncIterator[Response]:  # noqa: N802
        """See the proto."""
        requests = aiter(request_iterator)
        hello = (await anext(requests)).hello
        self.hellos.append(hello)
        self.credentials += [value for key, value in context.invocation_metadata() if key == "authorization"]
        frames = self.committed.setdefault(hello.epoch, [])
        self._cut.clear()
        yield _acknowledgement(len(frames))
        while (request := await self._next(requests, context)) is not None:
            frame = request.frame
            self.received.append(frame.number)
            error = self.answer(frame)
            if error is not None:
                error.metadata = {**error.metadata, "frame_number": str(frame.number)}
                await _abort(context, error)
            if frame.number == len(frames) + 1:
                frames.append(frame)
            else:
                assert frame.number <= len(frames), "numbers have no holes"
            async with self._changed:
                self._changed.notify_all()
            if self.acknowledge:
                yield _acknowledgement(len(frames))

    async def _next(self, requests: AsyncIterator[Any], context: Any) -> Any:
        cut, request = asyncio.create_task(self._cut.wait()), asyncio.ensure_future(anext(requests, None))
        await asyncio.wait([cut, request], return_when=asyncio.FIRST_COMPLETED)
        cut.cancel()
        if not request.done():
            request.cancel()
            await context.abort(grpc.StatusCode.UNAVAILABLE, "cut off by the test")
        return request.result()

    def cut(self) -> None:
        """End the open stream."""
        self._cut.set()

    def frames(self) -> list[Frame]:
        """What was committed in the newest epoch."""
        return self.committed[self.hellos[-1].epoch]

    async def committed_count(self, count: int) -> None:
        """Wait until the newest epoch has so many frames."""
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(lambda: bool(self.hellos) and len(self.frames()) >= count)


@contextlib.asynccontextmanager
async def serving(service: ScriptedService, address: str = "127.0.0.1:0") -> AsyncIterator[str]:
    """The service on a server of its own; the address."""
    server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
    gateway_pb2_grpc.add_GatewayServiceServicer_to_server(service, server)
    port = server.add_insecure_port(address)
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


async def _abort(context: Any, error: ConsentryError) -> None:
    await context.abort(STATUS_OF[type(error)], error.message, trailing_metadata(to_status(error)))


def _acknowledgement(number: int) -> Response:
    return Response(acknowledgement=Response.Acknowledgement(number=number))
