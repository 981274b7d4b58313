"""Every method of both services, called with bytes as they are: what a client could send that is none of ours."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message

from consentry.authority.v1 import consent_pb2, coverage_pb2, directory_pb2, enforcement_pb2, keys_pb2, tokens_pb2
from consentry.devices.v1 import alarms_pb2, feed_pb2, gateway_pb2, inventory_pb2, telemetry_pb2
from consentry_authority.admission.policies import POLICIES as AUTHORITY_POLICIES
from consentry_core.callers.policy import Policies
from consentry_devices.rpc.policies import POLICIES as DEVICES_POLICIES
from support.refusals import Refusal, refusal

POLICIES: Policies = {**AUTHORITY_POLICIES, **DEVICES_POLICIES}
"""Of both services."""

_FILES: Sequence[Any] = (
    consent_pb2,
    coverage_pb2,
    directory_pb2,
    enforcement_pb2,
    keys_pb2,
    tokens_pb2,
    alarms_pb2,
    feed_pb2,
    gateway_pb2,
    inventory_pb2,
    telemetry_pb2,
)
METHODS: Mapping[str, MethodDescriptor] = {
    f"/{service.full_name}/{method.name}": method
    for file in _FILES
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}

ENDLESS = frozenset(
    {
        "/consentry.authority.v1.CoverageService/WatchCoverage",
        "/consentry.devices.v1.TelemetryService/SimulateTelemetry",
    }
)
"""Streams that no request makes end by themselves; of these the first message counts."""

Metadata = Sequence[tuple[str, str | bytes]]
_PATIENCE = 20.0


@dataclass(frozen=True, slots=True)
class Answer:
    """How a call ended: the refusal, or None, and what was received."""

    refusal: Refusal | None
    received: tuple[bytes, ...]
    error: grpc.aio.AioRpcError | None = None

    @property
    def code(self) -> grpc.StatusCode:
        """The status."""
        return grpc.StatusCode.OK if self.refusal is None else self.refusal.code

    @property
    def told(self) -> tuple[grpc.StatusCode, str]:
        """Status and reason."""
        return self.code, "" if self.refusal is None else self.refusal.reason

    def everything(self) -> str:
        """Every word of an error, details and metadata included."""
        if self.error is None:
            return ""
        return " ".join(
            str(part)
            for part in (
                self.error.details(),
                self.error.debug_error_string(),
                self.error.trailing_metadata(),
                self.error.initial_metadata(),
            )
        )


def short(path: str) -> str:
    """`Service/Method`, for asserting on."""
    return path.rpartition(".")[2]


def encoded(messages: Iterable[Message]) -> tuple[bytes, ...]:
    """The messages of a request."""
    return tuple(message.SerializeToString() for message in messages)


async def call(
    channel: grpc.aio.Channel, path: str, messages: Sequence[bytes], metadata: Metadata, *, first_only: bool = False
) -> Answer:
    """Send these messages (of a method that takes one, the first) and read until the call has ended.

    With `first_only`, of a method that is asked once and answers with a stream, until its first message.
    """
    while True:
        answer = await _call(channel, path, messages, metadata, first_only=first_only or path in ENDLESS)
        if not (answer.error is not None and answer.error.details() == _WRITTEN_TOO_LATE):
            return answer


# The status of a call that ended while its client was writing is lost in gRPC's own client now and then.
_WRITTEN_TOO_LATE = "Internal error from Core"


async def _call(
    channel: grpc.aio.Channel, path: str, messages: Sequence[bytes], metadata: Metadata, *, first_only: bool
) -> Answer:
    method, opened = METHODS[path], cast("Any", channel)
    received: list[bytes] = []
    try:
        async with asyncio.timeout(_PATIENCE):
            if not method.server_streaming:
                received.append(await opened.unary_unary(path)(messages[0], metadata=metadata))
                return Answer(None, tuple(received))
            if method.client_streaming:
                stream = opened.stream_stream(path)(iter(messages), metadata=metadata)
            else:
                stream = opened.unary_stream(path)(messages[0], metadata=metadata)
            try:
                while (message := await stream.read()) is not grpc.aio.EOF:
                    received.append(message)
                    if first_only and not method.client_streaming:
                        break
            finally:
                stream.cancel()
    except grpc.aio.AioRpcError as error:
        return Answer(refusal(error), tuple(received), error)
    return Answer(None, tuple(received))
