"""Every method of every service that is registered, those of others included: each has an answer, and none is a crash.

Found in the running services themselves: what their reflection lists, and what the port for operators serves. A service that
somebody registers tomorrow is called here by name.
"""

import asyncio
import logging
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import MethodDescriptor
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from consentry_core.callers.policy import PUBLIC_METHODS
from consentry_core.rpc.client.channels import bearer, open_channel
from consentry_core.rpc.server.serving import serve_channelz
from support.calls import METHODS
from support.pair import Pair, running_pair

CRASHES = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.CANCELLED}
CHANNELZ = "grpc.channelz.v1.Channelz"
GRPCURL = Path(__file__).parents[2] / ".venv" / "bin" / "grpcurl"


async def _services(channel: grpc.aio.Channel) -> Sequence[str]:
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(cast("grpc.Channel", channel))
    call = stub.ServerReflectionInfo()
    await call.write(reflection_pb2.ServerReflectionRequest(list_services="*"))
    answer = await call.read()
    call.cancel()
    return [service.name for service in answer.list_services_response.service]


def _methods(services: Sequence[str]) -> dict[str, MethodDescriptor]:
    pool = descriptor_pool.Default()
    return {f"/{name}/{method.name}": method for name in services for method in pool.FindServiceByName(name).methods}


async def _code(channel: grpc.aio.Channel, path: str, method: MethodDescriptor, metadata: Any = ()) -> grpc.StatusCode:
    """How it answers an empty request; of a stream, its first message."""
    opened: Any = channel
    try:
        async with asyncio.timeout(20):
            if method.client_streaming:
                call = opened.stream_stream(path)(iter([b""]), metadata=metadata)
            elif method.server_streaming:
                call = opened.unary_stream(path)(b"", metadata=metadata)
            else:
                await opened.unary_unary(path)(b"", metadata=metadata)
                return grpc.StatusCode.OK
            await call.read()
            call.cancel()
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


async def test_every_method_answers_anybody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    async with running_pair(tmp_path) as pair:
        for channel in (pair.authority.channel, pair.channel):
            methods = _methods(await _services(channel))
            assert {path for path in methods if path.startswith("/grpc.")} == PUBLIC_METHODS
            strangers = {path: await _code(channel, path, method) for path, method in methods.items()}
            expected = dict.fromkeys(methods, grpc.StatusCode.UNAUTHENTICATED) | dict.fromkeys(
                PUBLIC_METHODS, grpc.StatusCode.OK
            )
            assert strangers == expected
            known = {
                path: await _code(channel, path, method, bearer(pair.authority.operator)) for path, method in methods.items()
            }
            assert {path: code for path, code in known.items() if code in CRASHES} == {}
        found = {path for channel in (pair.authority.channel, pair.channel) for path in _methods(await _services(channel))}
    assert found == set(METHODS) | PUBLIC_METHODS
    assert "Traceback" not in caplog.text


async def test_every_method_for_operators_answers() -> None:
    server, address = await _admin()
    async with open_channel(address) as channel:
        codes = {path: await _code(channel, path, method) for path, method in _methods([CHANNELZ]).items()}
    await server.stop(None)
    assert len(codes) == 7
    assert {path: code for path, code in codes.items() if code in CRASHES} == {}


async def _admin() -> tuple[grpc.aio.Server, str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    return await serve_channelz(address), address


async def _described(pair: Pair, symbol: str) -> str:
    """What `grpcurl describe` says of it."""
    command = [str(GRPCURL), "-plaintext", pair.authority.address, "describe", symbol]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=30, check=False)
    return done.stdout + done.stderr


async def test_describe_finds_what_is_in_services_messages_and_enumerations(tmp_path: Path) -> None:
    async with running_pair(tmp_path) as pair:
        for symbol, words in {
            "consentry.authority.v1.KeyService": "is a service",
            "consentry.authority.v1.KeyService.CreateKey": "is a method",
            "consentry.authority.v1.Key.hint": "is a field",
            "consentry.authority.v1.Key.Kind": "is an enum",
            "consentry.authority.v1.Key.Kind.KIND_DEMO": "is an enum value",
            "consentry.authority.v1.DataClass.DATA_CLASS_ALARMS": "is an enum value",
            "grpc.health.v1.Health.List": "is a method",
        }.items():
            assert words in await _described(pair, symbol), symbol
        assert "not found" in (await _described(pair, "consentry.authority.v1.KeyService.NoSuchMethod")).lower()


async def test_health_lists_every_service_and_says_which_there_is_not(tmp_path: Path) -> None:
    health_messages: Any = health_pb2  # typeshed's has not heard of `List`
    async with running_pair(tmp_path) as pair:
        stub: Any = health_pb2_grpc.HealthStub(pair.channel)
        answer = await stub.List(health_messages.HealthListRequest())
        names = [name for name in await _services(pair.channel) if name.startswith("consentry.")]
        assert sorted(answer.statuses) == sorted(["", *names])
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Check(health_pb2.HealthCheckRequest(service="no.Such"))
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        assert "Health.List" in (caught.value.details() or "")
