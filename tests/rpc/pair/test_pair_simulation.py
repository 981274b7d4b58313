"""Made-up readings behind the real guard: for any key, without a customer, and no longer than the key lives."""

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest

from consentry.authority.v1 import keys_pb2
from consentry.devices.v1 import telemetry_pb2
from consentry_core.rpc.client.channels import bearer
from support.pair import PATIENCE, running_pair
from support.refusals import refusal_of


@pytest.mark.parametrize("kind", [keys_pb2.Key.KIND_DEMO, keys_pb2.Key.KIND_ALL_CUSTOMERS])
async def test_the_stream_ends_with_the_key(tmp_path: Path, kind: keys_pb2.Key.Kind.ValueType) -> None:
    async with running_pair(tmp_path) as pair:
        await pair.authority.partner("acme")
        admin = bearer(await pair.authority.admin("partners/acme"))
        key = await pair.authority.key("acme", kind)
        request = telemetry_pb2.SimulateTelemetryRequest(measurements_per_second=10_000, sensor_count=1_000)
        call: Any = pair.telemetry.SimulateTelemetry(request, metadata=bearer(key.secret))
        for _ in range(3):
            message = await call.read()
            assert {table.device.split("/")[1] for table in message.telemetry} == {"simulated"}
        await pair.authority.keys.DeleteKey(keys_pb2.DeleteKeyRequest(name=key.name), metadata=admin)

        async def rest() -> None:
            while await call.read() is not grpc.aio.EOF:
                pass

        refused = await refusal_of(asyncio.wait_for(rest(), PATIENCE))
        assert (refused.code, refused.reason) == (grpc.StatusCode.UNAUTHENTICATED, "CREDENTIAL_INVALID")
