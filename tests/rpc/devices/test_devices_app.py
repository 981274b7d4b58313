"""The device-data service as a whole: what it serves, when it does not start, and how it stops."""

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from consentry.devices.v1 import alarms_pb2, feed_pb2, gateway_pb2, inventory_pb2, inventory_pb2_grpc, telemetry_pb2
from consentry_core.process.settings import SettingError
from consentry_core.rpc.client.channels import open_channel
from consentry_core.rpc.errors import error_info, retry_after
from consentry_devices.app import SERVICES, DevicesSettings, start
from consentry_devices.rpc.policies import POLICIES
from support.clocks import FakeClock
from support.devices import KEY, RuleGate, running_devices

_FILES: tuple[Any, ...] = (alarms_pb2, feed_pb2, gateway_pb2, inventory_pb2, telemetry_pb2)


def test_every_method_has_a_policy_and_nothing_else_has() -> None:
    services = [service for file in _FILES for service in file.DESCRIPTOR.services_by_name.values()]
    methods = {f"/{service.full_name}/{method.name}" for service in services for method in service.methods}
    assert set(POLICIES) == methods
    assert {service.full_name for service in SERVICES} == {service.full_name for service in services}


async def test_every_method_is_served(tmp_path: Path) -> None:
    async with running_devices(tmp_path, RuleGate(FakeClock())) as service:
        for method in POLICIES:
            open_method: Any = service.channel.stream_stream(method)
            call = open_method(iter([b""]), timeout=10)
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await call.read()
            assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED, method


async def test_health_is_served_by_name(tmp_path: Path) -> None:
    async with running_devices(tmp_path, RuleGate(FakeClock())) as service:
        stub: Any = health_pb2_grpc.HealthStub(service.channel)
        for served in SERVICES:
            found = await stub.Check(health_pb2.HealthCheckRequest(service=served.full_name))
            assert found.status == health_pb2.HealthCheckResponse.SERVING


def _settings(folder: Path, **changes: object) -> DevicesSettings:
    values = {"listen": "127.0.0.1:0", "data_dir": folder, "token": "made-up", "authority": "127.0.0.1:1"} | changes
    return DevicesSettings(**values)  # type: ignore[arg-type]


async def test_a_port_that_is_taken_is_told_and_the_data_folder_is_free_again(tmp_path: Path) -> None:
    first = await start(_settings(tmp_path / "first"))
    with pytest.raises(SettingError, match="cannot listen on"):
        await start(_settings(tmp_path / "second", listen=first.address))
    second = await start(_settings(tmp_path / "second"))
    await second.stop()
    await first.stop()


async def test_a_data_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingError, match="cannot be written"):
        await start(_settings(tmp_path / "file" / "data"))


async def test_a_missing_token_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="consentry init"):
        await start(_settings(tmp_path, token=None))


async def test_a_token_is_read_from_its_file_and_never_shown(tmp_path: Path) -> None:
    (tmp_path / "devices.token").write_text("the-secret\n")
    settings = _settings(tmp_path, token=None)
    assert settings.own_token() == "the-secret"
    assert "made-up" not in repr(_settings(tmp_path))


async def test_without_an_authority_the_service_starts_and_answers_unavailable(tmp_path: Path) -> None:
    devices = await start(_settings(tmp_path))
    async with open_channel(devices.address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await inventory_pb2_grpc.InventoryServiceStub(channel).ListDevices(
                inventory_pb2.ListDevicesRequest(parent="customers/north"), metadata=KEY
            )
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
    assert error_info(raised.value).domain == "consentry"
    assert retry_after(raised.value)
    await devices.stop()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_process_goes_down_by_itself_when_signalled(tmp_path: Path, number: signal.Signals) -> None:
    ready = tmp_path / "ready"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CONSENTRY_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "consentry_devices", "--listen", "127.0.0.1:0", "--data-dir", str(tmp_path / "data"),
        "--authority", "127.0.0.1:1", "--ready-file", str(ready),
        env=environment | {"CONSENTRY_DEVICES_TOKEN": "made-up"}, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    log = b""
    try:
        async with asyncio.timeout(20):
            while b"serving on" not in log:
                line = await process.stderr.readline()
                assert line, log
                log += line
            process.send_signal(number)
            log += await process.stderr.read()
            assert await process.wait() == 0, log
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    assert ready.read_text().startswith("127.0.0.1:")
    assert b"made-up" not in log
