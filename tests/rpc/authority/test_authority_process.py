"""The authority as a process: it starts, says where it serves, and goes down when told to."""

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from consentry.authority.v1 import tokens_pb2, tokens_pb2_grpc
from consentry_core.rpc.client.channels import bearer, open_channel
from support.authority import prepare, read_token

pytestmark = pytest.mark.slow


async def spawn(folder: Path, listen: str = "127.0.0.1:0") -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "consentry_authority",
        f"--data-dir={folder}",
        f"--listen={listen}",
        stderr=asyncio.subprocess.PIPE,
    )


async def address_of(process: asyncio.subprocess.Process) -> str:
    """Where it serves, as its log says."""
    assert process.stderr is not None
    async with asyncio.timeout(30):
        async for line in process.stderr:
            _, found, address = line.decode().strip().partition("authority serves address=")
            if found:
                return address
    raise AssertionError("it ended without serving")


async def test_it_serves_until_it_is_told_to_stop(tmp_path: Path) -> None:
    prepare(tmp_path)
    process = await spawn(tmp_path)
    address = await address_of(process)
    async with open_channel(address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        health = await stub.Check(health_pb2.HealthCheckRequest(service="consentry.authority.v1.KeyService"))
        assert health.status == health_pb2.HealthCheckResponse.SERVING
        who = await tokens_pb2_grpc.TokenServiceStub(channel).WhoAmI(
            tokens_pb2.WhoAmIRequest(), metadata=bearer(read_token(tmp_path, "operator"))
        )
        assert who.role == tokens_pb2.Token.ROLE_OPERATOR
    process.send_signal(signal.SIGTERM)
    _, errors = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0, errors.decode()
    assert read_token(tmp_path, "operator").encode() not in errors


async def test_it_says_in_one_line_why_it_cannot_start(tmp_path: Path) -> None:
    process = await spawn(tmp_path / "new")
    _, errors = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 2
    (line,) = errors.decode().splitlines()
    assert "consentry init --data-dir" in line
