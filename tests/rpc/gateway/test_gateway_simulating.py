"""The simulated fleet, published to a real server; and settings that cannot be used."""

import asyncio
import random
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from consentry_core.process.settings import SettingError
from consentry_gateway.app import CollectSettings, SimulateSettings, start
from support.publishing import ScriptedService, serving

RANDOM = random.Random(3).randbytes  # noqa: S311 - to be repeated


def settings(
    folder: Path, address: str = "127.0.0.1:1", changes: Mapping[str, object] = MappingProxyType({})
) -> SimulateSettings:
    given: dict[str, object] = {
        "devices": address,
        "token": "ct_made_up",
        "data_dir": folder,
        "interval": 0.02,
        "speed": 20_000.0,
    }
    return SimulateSettings(**(given | dict(changes)))  # type: ignore[arg-type]


async def test_a_sped_up_fleet_has_a_power_failure_within_a_second_or_so(tmp_path: Path) -> None:
    service = ScriptedService()
    async with serving(service) as address, asyncio.timeout(20):
        gateway = await start(settings(tmp_path, address), random_bytes=RANDOM)
        labels: set[str] = set()
        while "Power Failure Cleared" not in labels:
            await service.committed_count(len(service.frames()) + 1 if service.hellos else 1)
            labels = {alarm.label for frame in service.frames() for alarm in frame.alarms}
        await gateway.stop()
    assert "Power Failure" in labels
    first, second = service.frames()[:2]
    assert [place.name.rpartition("/")[2] for place in first.inventory.locations][:2] == ["demo-site", "demo-building"]
    assert second.inventory.devices[0].name == "customers/demo/devices/ups-a"
    assert [device.parent for device in second.inventory.devices[1:]] == ["customers/demo/devices/ups-a"] * 2


async def test_what_was_collected_while_the_service_was_down_is_published_later(tmp_path: Path) -> None:
    service = ScriptedService()
    async with serving(ScriptedService()) as address:
        pass
    gateway = await start(settings(tmp_path, address), random_bytes=RANDOM)
    await gateway.stop()
    async with serving(service, address), asyncio.timeout(20):
        gateway = await start(settings(tmp_path, address), random_bytes=RANDOM)
        await service.committed_count(1)
        await gateway.stop()


async def test_a_token_file_that_is_spoilt_does_not_end_a_running_gateway(tmp_path: Path) -> None:
    """It goes on with the token that it had, and takes the next one that can be used."""
    service, file = ScriptedService(), tmp_path / "token"
    file.write_text("ct_first")
    async with serving(service) as address, asyncio.timeout(20):
        told = settings(tmp_path / "gateway", address, {"token": None, "token_file": file})
        gateway = await start(told, random_bytes=RANDOM)
        for content in ("ct_first".encode("utf-16"), b"", b"ct_second"):
            file.write_bytes(content)
            streams = len(service.hellos)
            await service.committed_count(len(service.frames()) + 1 if streams else 1)
            service.cut()
            while len(service.hellos) == streams:
                await service.committed_count(len(service.frames()) + 1 if service.hellos else 1)
        await gateway.stop()
    assert service.credentials[0] == "Bearer ct_first"
    assert "Bearer ct_second" in service.credentials
    assert set(service.credentials) == {"Bearer ct_first", "Bearer ct_second"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"token": None, "token_file": None}, "needs a token"),
        ({"token": None, "token_file": Path("/nonexistent/token")}, "cannot read the token file"),
        ({"customer": "north"}, "must be of the form customers/"),
        ({"gateway": "The Gateway"}, "--gateway"),
        ({"interval": 0.0}, "--interval"),
    ],
)
async def test_a_setting_that_cannot_be_used_is_named(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        await start(settings(tmp_path, changes=changes))


async def test_a_bad_agents_file_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    file = tmp_path / "agents.toml"
    file.write_text("[[agents]]\nhost = 7\n", encoding="utf-8")
    with pytest.raises(SettingError, match=r"line 1, agents\[0\].host"):
        await start(CollectSettings(token="ct_made_up", data_dir=tmp_path / "gateway", agents=file))
    assert not (tmp_path / "gateway").exists()


def test_a_token_is_not_shown(tmp_path: Path) -> None:
    assert "ct_made_up" not in repr(settings(tmp_path))
