"""The guard in somebody else's service: the documented example, run as a program of its own, against a real authority."""

import asyncio
import contextlib
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue

from consentry.authority.v1 import data_class_pb2, enforcement_pb2, keys_pb2
from consentry_core.rpc.client.channels import bearer, open_channel
from consentry_core.rpc.errors import error_info
from consentry_core.values.clock import SystemClock
from support.authority import RunningAuthority, running_authority

TOP = Path(__file__).parents[2]
PATIENCE = 20


@contextlib.asynccontextmanager
async def example(authority: RunningAuthority, folder: Path) -> AsyncIterator[grpc.aio.Channel]:
    """The example of the chapter, started as it stands; a channel to it."""
    chapter = (TOP / "services/consentry_guard/README.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"^```python\n(.*?)^```$", chapter, re.DOTALL | re.MULTILINE)
    (folder / "reports.py").write_text(program, encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "reports.py",
        cwd=folder, stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"AUTHORITY": authority.address, "SERVICE_TOKEN": authority.service},
    )  # fmt: skip
    assert process.stdout is not None
    port = int(await asyncio.wait_for(process.stdout.readline(), PATIENCE))
    try:
        async with open_channel(f"127.0.0.1:{port}") as channel:
            yield channel
    finally:
        process.kill()
        await process.wait()


def method(channel: grpc.aio.Channel, shape: str, name: str) -> Any:
    return getattr(channel, shape)(
        f"/example.Reports/{name}",
        request_serializer=StringValue.SerializeToString,
        response_deserializer=StringValue.FromString,
    )


@pytest.mark.slow
async def test_the_documented_service_is_protected(tmp_path: Path) -> None:
    """Unary and streaming: what is not allowed is refused, and a revocation is a barrier there too."""
    async with running_authority(tmp_path / "authority", clock=SystemClock()) as authority:
        await authority.partner("acme")
        await authority.valid_customer("north", "acme")
        await authority.valid_customer("south", "acme", data_classes=[data_class_pb2.DATA_CLASS_INVENTORY])
        key = await authority.key("acme")
        demo = await authority.key("acme", keys_pb2.Key.KIND_DEMO)
        async with example(authority, tmp_path) as channel:
            report, follow = method(channel, "unary_unary", "Report"), method(channel, "unary_stream", "Follow")
            answer = await report(StringValue(value="north"), metadata=bearer(key.secret), wait_for_ready=True)
            assert answer.value == "all quiet at north"
            overview = await method(channel, "unary_unary", "Overview")(StringValue(), metadata=bearer(key.secret))
            assert overview.value == "north, south"
            for secret, customer, reason in (
                (key.secret, "south", "DATA_CLASS_NOT_CONSENTED"),
                (key.secret, "nobody", "NOT_COVERED"),
                (demo.secret, "north", "NOT_DEMO_CUSTOMER"),
                ("nonsense", "north", "CREDENTIAL_INVALID"),
                (authority.operator, "north", "CALLER_NOT_ALLOWED"),
            ):
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await report(StringValue(value=customer), metadata=bearer(secret))
                assert error_info(caught.value).reason == reason
            stream = follow(StringValue(value="north"), metadata=bearer(key.secret))
            assert [(await stream.read()).value for _ in range(3)] == ["north 0", "north 1", "north 2"]
            revoked = await authority.revoke("north", "acme")
            assert revoked.enforcement.state == enforcement_pb2.Enforcement.STATE_ENFORCED
            assert [point.service for point in revoked.enforcement.points] == ["reports"]
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await asyncio.wait_for(stream.read(), PATIENCE)
            assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
            assert error_info(caught.value).reason == "CONSENT_REVOKED"
