"""The gate in front of every method, on a real server: what gets in, what gets out, and how a call is ended from outside."""

import asyncio
import contextlib
import gc
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue

from consentry_core.rpc.client.channels import open_channel
from consentry_core.rpc.errors import error_info, retry_after
from consentry_core.rpc.server.open_call import OpenCall, current_call
from consentry_core.rpc.server.serving import RpcServer
from consentry_core.values import errors

METHODS = ("UnaryUnary", "UnaryStream", "StreamUnary", "StreamStream")


@dataclass
class TestGate:
    """Lets everybody in; each call's write check is `check`."""

    __test__ = False
    check: Callable[[], None] = lambda: None
    refusal: errors.ConsentryError | None = None
    refusals: list[errors.ConsentryError] = field(default_factory=list)
    admitted: list[OpenCall] = field(default_factory=list)
    released: list[OpenCall] = field(default_factory=list)

    async def admit(self, call: OpenCall) -> None:
        if self.refusal is not None:
            raise self.refusal
        if self.refusals:
            raise self.refusals.pop(0)
        call.check_write = lambda: self.check()  # noqa: PLW0108 - looked up anew each time
        self.admitted.append(call)

    def refused(self, call: OpenCall, error: errors.ConsentryError) -> None:
        """Nothing to note."""

    def release(self, call: OpenCall) -> None:
        self.released.append(call)


class Echo:
    """Says everything twice where it can; misbehaves on certain words."""

    def __init__(self) -> None:
        self.waiting = asyncio.Event()
        self.cleaned_up = asyncio.Event()

    async def word(self, text: str) -> StringValue:
        if text == "crash":
            raise RuntimeError("the password is hunter2")
        if text == "abort":
            await current_call.get().context.abort(grpc.StatusCode.ABORTED, "by itself")
        if text == "refuse":
            raise errors.Unavailable("not now", retry_after=2.5)
        if text == "wait":
            self.waiting.set()
            try:
                await asyncio.Event().wait()
            finally:
                self.cleaned_up.set()
        return StringValue(value=text)

    async def unary_unary(self, request: StringValue, context: Any) -> StringValue:
        return await self.word(request.value)

    async def unary_stream(self, request: StringValue, context: Any) -> AsyncIterator[StringValue]:
        yield StringValue(value="first")
        yield await self.word(request.value)

    async def stream_unary(self, requests: AsyncIterator[StringValue], context: Any) -> StringValue:
        words = [request.value async for request in requests]
        return await self.word("".join(words))

    async def stream_stream(self, requests: AsyncIterator[StringValue], context: Any) -> AsyncIterator[StringValue]:
        yield StringValue(value="first")
        self.waiting.set()
        async for request in requests:
            yield await self.word(request.value)

    def add_to(self, server: grpc.aio.Server) -> None:
        codec: dict[str, Any] = {
            "request_deserializer": StringValue.FromString,
            "response_serializer": StringValue.SerializeToString,
        }
        handlers = {
            "UnaryUnary": grpc.unary_unary_rpc_method_handler(self.unary_unary, **codec),
            "UnaryStream": grpc.unary_stream_rpc_method_handler(self.unary_stream, **codec),
            "StreamUnary": grpc.stream_unary_rpc_method_handler(self.stream_unary, **codec),
            "StreamStream": grpc.stream_stream_rpc_method_handler(self.stream_stream, **codec),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", handlers),))


def raw_method(channel: grpc.aio.Channel, shape: str, path: str) -> Any:
    """A method that takes and gives bytes as they are."""
    return getattr(channel, shape)(path)


@dataclass
class Served:
    """A server, what stands in front of it, and a channel to it."""

    gate: TestGate
    echo: Echo
    server: RpcServer
    channel: grpc.aio.Channel
    address: str

    def method(self, shape: str, method: str) -> Any:
        return raw_method(self.channel, shape, f"/test.Echo/{method}")

    async def call(self, method: str, *words: str | bytes) -> list[str]:
        """All answers of one call. Bytes are sent as they are, well-formed or not."""
        raw = [word if isinstance(word, bytes) else StringValue(value=word).SerializeToString() for word in words]
        if method == "UnaryUnary":
            answers = [await self.method("unary_unary", method)(raw[0])]
        elif method == "StreamUnary":
            answers = [await self.method("stream_unary", method)(iter(raw))]
        elif method == "UnaryStream":
            answers = [answer async for answer in self.method("unary_stream", method)(raw[0])]
        else:
            answers = [answer async for answer in self.method("stream_stream", method)(iter(raw))]
        return [StringValue.FromString(answer).value for answer in answers]


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    gate, echo = TestGate(), Echo()
    server = RpcServer(gate, [], echo.add_to)
    address = await server.start("127.0.0.1:0")
    channel = open_channel(address)
    yield Served(gate, echo, server, channel, address)
    await channel.close()
    await server.stop(grace=0.5)


@contextlib.contextmanager
def refused(code: grpc.StatusCode, reason: str = "") -> Any:
    """The block's call is refused with this status and reason."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        yield caught
    assert caught.value.code() is code, caught.value
    assert error_info(caught.value).reason == reason


@pytest.mark.parametrize("method", METHODS)
async def test_every_shape_passes(served: Served, method: str) -> None:
    expected = {"UnaryUnary": ["a"], "StreamUnary": ["a"], "UnaryStream": ["first", "a"], "StreamStream": ["first", "a"]}
    assert await served.call(method, "a") == expected[method]
    assert served.gate.admitted == served.gate.released


@pytest.mark.parametrize("method", METHODS)
async def test_whoever_is_not_admitted_learns_nothing_else(served: Served, method: str) -> None:
    """Authentication comes first: even a malformed message is answered with the refusal."""
    served.gate.refusal = errors.Unauthenticated("the credential is not valid")
    with refused(grpc.StatusCode.UNAUTHENTICATED, "CREDENTIAL_INVALID"):
        await served.call(method, b"\xff\xff")


@pytest.mark.parametrize("method", METHODS)
async def test_a_malformed_message_is_an_invalid_argument(served: Served, method: str) -> None:
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "MESSAGE_MALFORMED"):
        await served.call(method, b"\xff\xff")


@pytest.mark.parametrize("method", METHODS)
async def test_an_unforeseen_error_says_nothing_but_its_number(
    served: Served, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await served.call(method, "crash")
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    details = caught.value.details() or ""
    assert "hunter2" not in details
    number = details.split()[2].rstrip(";")
    assert f"id={number}" in caplog.text
    assert "hunter2" in caplog.text


@pytest.mark.parametrize("method", METHODS)
async def test_our_errors_carry_their_details(served: Served, method: str) -> None:
    with refused(grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE") as caught:
        await served.call(method, "refuse")
    assert retry_after(caught.value) == 2.5
    assert error_info(caught.value).domain == "consentry"


@pytest.mark.parametrize("method", METHODS)
async def test_no_message_is_handed_over_that_the_check_refuses(served: Served, method: str) -> None:
    """Not the first, and not a later one either."""
    refusal = errors.PermissionDenied("no", reason="CONSENT_REVOKED")

    def refuse() -> None:
        raise refusal

    served.gate.check = refuse
    received: list[bytes] = []
    with refused(grpc.StatusCode.PERMISSION_DENIED, "CONSENT_REVOKED"):
        received += (word.encode() for word in await served.call(method, "a"))
    assert received == []


@pytest.mark.parametrize("method", ["UnaryUnary", "UnaryStream"])
async def test_a_client_that_tries_again_by_its_service_config_is_let_in_later(served: Served, method: str) -> None:
    """It does so only as long as it has seen nothing but a status."""
    served.gate.refusals += [errors.Unavailable("not now"), errors.ResourceExhausted("slower")]
    policy = {
        "maxAttempts": 4,
        "initialBackoff": "0.01s",
        "maxBackoff": "0.01s",
        "backoffMultiplier": 1,
        "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED"],
    }
    config = json.dumps({"methodConfig": [{"name": [{}], "retryPolicy": policy}]})
    async with grpc.aio.insecure_channel(served.address, options=[("grpc.service_config", config)]) as channel:
        assert (await replace(served, channel=channel).call(method, "a"))[-1] == "a"
    assert served.gate.refusals == []


async def test_the_check_runs_before_every_message(served: Served) -> None:
    checks = 0

    def count() -> None:
        nonlocal checks
        checks += 1

    served.gate.check = count
    await served.call("StreamStream", "a", "b", "c")
    assert checks == 4


@pytest.mark.parametrize("method", METHODS)
async def test_ending_a_call_wakes_it_and_answers_at_once(served: Served, method: str) -> None:
    """Also one that waits for something that never comes; what it holds is cleaned up."""
    call = asyncio.create_task(served.call(method, "wait"))
    await asyncio.wait_for(served.echo.waiting.wait(), 5)
    (open_call,) = served.gate.admitted
    open_call.end(errors.PermissionDenied("no", reason="CONSENT_REVOKED"))
    open_call.end(errors.Unavailable("the first reason counts"))
    with refused(grpc.StatusCode.PERMISSION_DENIED, "CONSENT_REVOKED"):
        await asyncio.wait_for(call, 5)
    assert served.gate.released == [open_call]


async def test_ending_a_call_that_waits_for_its_client_to_send(served: Served) -> None:
    never = asyncio.Event()

    async def silent() -> AsyncIterator[bytes]:
        await never.wait()
        yield b""

    call = served.method("stream_stream", "StreamStream")(silent())
    assert await call.read() == StringValue(value="first").SerializeToString()
    (open_call,) = served.gate.admitted
    open_call.end(errors.Unauthenticated("gone"))
    assert await asyncio.wait_for(call.code(), 5) is grpc.StatusCode.UNAUTHENTICATED
    call.cancel()


async def becomes_stuck(gate: TestGate, begun: list[int]) -> int:
    """Wait until the transport takes no more; returns how many messages were begun. Nothing tells of it: looks again."""
    stuck_at = -1
    while not (stuck_at == len(begun) and gate.admitted[0].stuck_in_write):
        stuck_at = len(begun)
        await asyncio.sleep(0.2)
    return stuck_at


async def test_a_call_that_is_stuck_in_a_write_begins_no_other() -> None:
    """Its client does not read: the cut is a mark, and when the write at last goes through, nothing follows it."""
    begun: list[int] = []

    async def flood(request: bytes, context: Any) -> AsyncIterator[bytes]:
        for number in range(10_000):
            begun.append(number)
            yield bytes(200_000)

    def add(server: grpc.aio.Server) -> None:
        handler: Any = grpc.unary_stream_rpc_method_handler(flood)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Flood", {"Flood": handler}),))

    gate = TestGate()
    server = RpcServer(gate, [], add)
    channel = open_channel(await server.start("127.0.0.1:0"))
    call = raw_method(channel, "unary_stream", "/test.Flood/Flood")(b"")
    await call.wait_for_connection()
    stuck_at = await becomes_stuck(gate, begun)
    gate.admitted[0].end(errors.PermissionDenied("no", reason="CONSENT_REVOKED"))
    received = 0
    with refused(grpc.StatusCode.PERMISSION_DENIED, "CONSENT_REVOKED"):
        async for _ in call:
            received += 1
    assert len(begun) == stuck_at
    assert received <= stuck_at
    await channel.close()
    await server.stop()


@pytest.mark.parametrize("ended", [False, True])
async def test_a_client_that_goes_away_while_a_write_is_stuck_is_no_error(
    ended: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Whether the call was ended before or not: nobody is left to be told anything."""
    begun: list[int] = []
    gate, left = TestGate(), asyncio.Event()

    async def flood(request: bytes, context: Any) -> AsyncIterator[bytes]:
        context.add_done_callback(lambda _: left.set())
        for number in range(10_000):
            begun.append(number)
            yield bytes(200_000)

    def add(server: grpc.aio.Server) -> None:
        handler: Any = grpc.unary_stream_rpc_method_handler(flood)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Flood", {"Flood": handler}),))

    server = RpcServer(gate, [], add)
    channel = open_channel(await server.start("127.0.0.1:0"))
    call = raw_method(channel, "unary_stream", "/test.Flood/Flood")(b"")
    await call.wait_for_connection()
    stuck_at = await becomes_stuck(gate, begun)
    if ended:
        gate.admitted[0].end(errors.PermissionDenied("no", reason="CONSENT_REVOKED"))
    call.cancel()
    await asyncio.wait_for(left.wait(), 5)
    await channel.close()
    await server.stop(grace=5)
    assert gate.released == gate.admitted
    assert len(begun) == stuck_at
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


async def test_a_client_that_goes_away_is_no_error(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    call = served.method("unary_unary", "UnaryUnary")(StringValue(value="wait").SerializeToString())
    await asyncio.wait_for(served.echo.waiting.wait(), 5)
    call.cancel()
    await asyncio.wait_for(served.echo.cleaned_up.wait(), 5)
    assert await served.call("UnaryUnary", "a") == ["a"]
    assert served.gate.released == served.gate.admitted
    assert "internal error" not in caplog.text


@pytest.mark.parametrize("method", METHODS)
async def test_a_method_may_end_its_call_by_itself(served: Served, method: str) -> None:
    with refused(grpc.StatusCode.ABORTED):
        await served.call(method, "abort")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("word", ["a", "refuse"])
async def test_a_finished_call_holds_its_secret_no_longer(served: Served, method: str, word: str) -> None:
    """Whoever keeps it, for a list or a log, keeps no credential."""
    with contextlib.suppress(grpc.aio.AioRpcError):
        await served.call(method, word)
    (call,) = served.gate.admitted
    assert call.metadata == ()


@pytest.mark.parametrize("word", ["a", "refuse", "abort", b"\xff\xff"])
@pytest.mark.parametrize("method", METHODS)
async def test_a_finished_call_is_freed_at_once(served: Served, method: str, word: str | bytes) -> None:
    """However it ended: one that waits for the garbage collector keeps its buffers, and costs more."""
    await served.call(method, "a")  # what is made once is there now
    gc.collect()
    gc.disable()
    try:
        for _ in range(20):
            with contextlib.suppress(grpc.aio.AioRpcError):
                await served.call(method, word)
        served.gate.admitted.clear()
        served.gate.released.clear()
        left = [found for found in gc.get_objects() if isinstance(found, OpenCall)]
    finally:
        gc.enable()
    assert len(left) <= 2, "the last one may still be ending"


async def test_a_method_that_is_not_there(served: Served) -> None:
    with refused(grpc.StatusCode.UNIMPLEMENTED):
        await served.method("unary_unary", "Nothing")(b"")


async def test_stopping_ends_open_calls_and_lets_nobody_in(served: Served) -> None:
    call = asyncio.create_task(served.call("StreamStream", "wait"))
    await asyncio.wait_for(served.echo.waiting.wait(), 5)
    await served.server.stop(grace=5)
    with refused(grpc.StatusCode.UNAVAILABLE, "DRAINING") as caught:
        await call
    assert retry_after(caught.value) is not None
