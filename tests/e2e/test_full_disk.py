"""A disk that is full, as a service finds it: health tells the truth of it, and of the end of it, by itself.

Real processes, whose files the kernel lets grow no more (`RLIMIT_FSIZE`): SQLite gets the errors that a full disk gives.
"""

import asyncio
import resource
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from bench.stage import Process, authority, stage
from consentry.authority.v1 import directory_pb2
from consentry_core.rpc.client.channels import bearer, open_channel

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
PATIENCE = 20.0
pytestmark = pytest.mark.slow


def _grow(process: Process, limit: int) -> None:
    """Let the process's files be so large."""
    pid = process.process.pid
    _, most = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (limit, most))


async def _until(channel: grpc.aio.Channel, service: str, status: Any) -> None:
    """Wait until health says so of a service; told by a watch."""
    stub: Any = health_pb2_grpc.HealthStub(channel)
    call = stub.Watch(health_pb2.HealthCheckRequest(service=service))
    async with asyncio.timeout(PATIENCE):
        while (await call.read()).status != status:
            pass
    call.cancel()


async def _status(channel: grpc.aio.Channel, service: str) -> Any:
    stub: Any = health_pb2_grpc.HealthStub(channel)
    return (await stub.Check(health_pb2.HealthCheckRequest(service=service))).status


async def test_health_says_that_nothing_can_be_written_and_that_it_can_again() -> None:
    with stage() as processes:
        async with authority(processes) as running:
            devices = await processes.start(
                "devices", "consentry_devices", "--listen=127.0.0.1:0", f"--authority={running.address}",
                f"--token-file={running.folder / 'devices.token'}", f"--data-dir={processes.folder / 'devices'}",
            )  # fmt: skip
            async with open_channel(devices.address) as channel:
                # Reading goes on where nothing has to be written for it.
                places = [
                    (devices, channel, ("", "consentry.devices.v1.GatewayService"), "consentry.devices.v1.InventoryService"),
                    (
                        processes.started("authority"), running.channel,
                        ("", "consentry.authority.v1.ConsentService", "consentry.authority.v1.EnforcementService"),
                        "consentry.authority.v1.CoverageService",
                    ),
                ]  # fmt: skip
                for process, of, services, reading in places:
                    for service in services:
                        await _until(of, service, SERVING)
                    _grow(process, 1)
                    for service in services:
                        await _until(of, service, NOT_SERVING)
                    assert await _status(of, reading) == SERVING
                    _grow(process, resource.RLIM_INFINITY)
                    for service in services:
                        await _until(of, service, SERVING)
                await running.directory.ListPartners(
                    directory_pb2.ListPartnersRequest(), metadata=bearer(running.operator), timeout=PATIENCE
                )
