"""The gateway and the real device-data service behind the real guard."""

import asyncio
import random
from pathlib import Path

import pytest

from consentry.authority.v1 import keys_pb2
from consentry.devices.v1 import alarms_pb2, inventory_pb2, telemetry_pb2
from consentry_core.rpc.client.channels import bearer
from consentry_gateway.app import SimulateSettings, start
from support.pair import Pair, running_pair

RANDOM = random.Random(4).randbytes  # noqa: S311 - to be repeated
DEMO = "customers/demo"


def settings(pair: Pair, folder: Path) -> SimulateSettings:
    return SimulateSettings(
        devices=pair.devices.address, token=pair.authority.gateway, data_dir=folder / "gateway", interval=0.05, speed=20_000.0
    )


async def test_the_simulated_fleet_is_what_a_demo_key_sees(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with running_pair(tmp_path) as pair, asyncio.timeout(30):
        await pair.authority.partner("acme")
        key = await pair.authority.key("acme", keys_pb2.Key.KIND_DEMO)
        metadata = bearer(key.secret)
        gateway = await start(settings(pair, tmp_path), random_bytes=RANDOM)
        try:
            async with pair.watch(key.secret) as reader:
                labels: set[str] = set()
                while "Power Failure Cleared" not in labels:
                    labels.add((await reader.until("alarm_change")).alarm_change.alarm.label)
        finally:
            await gateway.stop()
        listed = await pair.inventory.ListDevices(inventory_pb2.ListDevicesRequest(parent=DEMO), metadata=metadata)
        devices = {device.name.rpartition("/")[2]: device for device in listed.devices}
        assert devices["ups-a-frame-1"].parent == f"{DEMO}/devices/ups-a"
        assert list(devices["ups-a"].gateways) == ["gateway"]
        latest = await pair.telemetry.QueryLatest(telemetry_pb2.QueryLatestRequest(parent=DEMO), metadata=metadata)
        assert len(latest.readings) > 60
        alarms = await pair.alarms.ListAlarms(alarms_pb2.ListAlarmsRequest(parent=DEMO), metadata=metadata)
        assert {"customers/demo/alarms/ups-a.power-failure"} <= {alarm.name for alarm in alarms.alarms}
    assert not [record for record in caplog.records if "refused" in record.getMessage()]


async def test_a_gateway_that_starts_again_goes_on_where_it_was(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with running_pair(tmp_path) as pair, asyncio.timeout(30):
        await pair.authority.partner("acme")
        key = await pair.authority.key("acme", keys_pb2.Key.KIND_DEMO)
        for _ in range(3):
            gateway = await start(settings(pair, tmp_path), random_bytes=RANDOM)
            try:
                async with pair.watch(key.secret, live={}) as reader:
                    await reader.until("telemetry")
            finally:
                await gateway.stop()
    assert not [record for record in caplog.records if "refused" in record.getMessage() or "epoch" in record.getMessage()]
