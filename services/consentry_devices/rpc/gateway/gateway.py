"""GatewayService: frames in, acknowledgements out. What is taken in, and when, is decided in `ingest` and by the appender."""

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

from consentry.devices.v1 import gateway_pb2, gateway_pb2_grpc
from consentry_core.rpc.server.open_call import current_call
from consentry_core.values.clock import Clock
from consentry_core.values.errors import ConsentryError, InvalidArgument
from consentry_core.values.names import resource_id
from consentry_devices.domain.frames import Frame, StreamKey
from consentry_devices.history.ranges import Work
from consentry_devices.ingest.streams import GatewayStream, Ingest, name_frame
from consentry_devices.rpc.gateway.frames import to_frame
from consentry_guard import guarded_call
from consentry_rule import CustomerId

Request = gateway_pb2.PublishRequest
Response = gateway_pb2.PublishResponse
_LOOKED_AT_ONCE = 100  # things: within a millisecond
_SHORTEST_EPOCH, _LONGEST_EPOCH = 16, 128


class GatewayServicer(gateway_pb2_grpc.GatewayServiceServicer):
    """See the proto."""

    def __init__(self, ingest: Ingest, clock: Clock, work: Work) -> None:
        self._ingest = ingest
        self._clock = clock
        self._work = work

    async def Publish(self, request_iterator: AsyncIterator[Request], context: Any) -> AsyncIterator[Response]:  # noqa: N802 - the proto's name
        """See the proto."""
        customer = guarded_call().customer
        key = _stream_key(await anext(request_iterator, Request()), customer)
        async with self._ingest.open(key, current_call.get().end) as stream:
            yield _acknowledgement(stream.last_number)
            async for number in stream.acknowledgements(self._frames(request_iterator, customer, stream)):
                yield _acknowledgement(number)

    async def _frames(
        self, requests: AsyncIterator[Request], customer: CustomerId, stream: GatewayStream
    ) -> AsyncIterator[Frame]:
        async for request in requests:
            if not request.HasField("frame"):
                raise InvalidArgument("message", "must be a frame; only the first message is a hello", reason="FRAME_MISSING")
            await stream.room(request.ByteSize())
            told = request.frame.inventory
            things = len(told.devices) + len(told.sensors) + len(told.locations) + len(request.frame.alarms)
            names = len(told.deleted_devices) + len(told.deleted_sensors) + len(told.deleted_locations)
            look = partial(to_frame, request.frame, customer, self._clock.now())
            try:
                # Readings are columns, and quickly looked at; of a large inventory each thing takes its time.
                frame = look() if things + names <= _LOOKED_AT_ONCE else await self._work(look)
            except ConsentryError as error:
                name_frame(error, request.frame.number)
                raise
            yield frame


def _stream_key(first: Request, customer: CustomerId) -> StreamKey:
    if not first.HasField("hello"):
        raise InvalidArgument("hello", "must be the first message of a stream", reason="HELLO_MISSING")
    gateway, epoch = first.hello.gateway, first.hello.epoch
    resource_id(gateway, "hello.gateway")
    if not (_SHORTEST_EPOCH <= len(epoch) <= _LONGEST_EPOCH and epoch.isascii() and epoch.isprintable()):
        raise InvalidArgument(
            "hello.epoch", f"must be a random name of {_SHORTEST_EPOCH} to {_LONGEST_EPOCH} printable ASCII characters",
            reason="EPOCH_INVALID",
        )  # fmt: skip
    return StreamKey(customer, gateway, epoch)


def _acknowledgement(number: int) -> Response:
    return Response(acknowledgement=Response.Acknowledgement(number=number))
