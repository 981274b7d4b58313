"""The compose file, run without an engine: each service's very command, with its environment, on loopback ports and folders."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from consentry.authority.v1 import keys_pb2
from consentry_cli.demo.platform import Platform
from consentry_client import AsyncClient, Telemetry

TOP = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
PATIENCE = 60
HOME = "/var/lib/consentry"


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    with socket.socket(type=kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Composed:
    """The file's services, with what an engine would map put in place of it."""

    def __init__(self, folder: Path) -> None:
        self._compose: dict[str, Any] = YAML(typ="safe").load(TOP / "docker-compose.yml")
        self._folder = folder
        authority, devices = free_port(), free_port()
        self.authority, self.devices = f"127.0.0.1:{authority}", f"127.0.0.1:{devices}"
        self._snmp = str(free_port(socket.SOCK_DGRAM))
        self._mapped = {
            "0.0.0.0:7401": self.authority,
            "authority:7401": self.authority,
            "0.0.0.0:7402": self.devices,
            "devices:7402": self.devices,
            "/etc/consentry/agents.toml": str(folder / "agents.toml"),
        }
        agents = self._compose["configs"]["agents"]["content"]
        (folder / "agents.toml").write_text(agents.replace("1161", self._snmp), encoding="utf-8")

    async def start(self, name: str) -> asyncio.subprocess.Process:
        """Start a service as the file says, with no file but those of the volumes that it mounts."""
        service = self._compose["services"][name]
        mounts = {target: self._folder / volume for volume, target, _ in mounted(service)}
        home = mounts.get(HOME, self._folder / name)
        for folder in (home, *mounts.values()):
            folder.mkdir(exist_ok=True)
        mapped = self._mapped | {target: str(folder) for target, folder in mounts.items()}
        environment = {"PATH": f"{BIN}:{os.environ['PATH']}", "HOME": str(home), "CONSENTRY_DATA_DIR": str(home)}
        for variable, value in service.get("environment", {}).items():
            environment[variable] = _map(value, mapped)
        command = [_map(word, mapped).replace("1161", self._snmp) for word in service["command"]]
        program = service.get("entrypoint", [str(BIN / "consentry")])
        return await asyncio.create_subprocess_exec(*program, *command, cwd=home, env=environment)


def mounted(service: dict[str, Any]) -> list[tuple[str, str, str]]:
    """The volumes of a service: volume, where, and how."""
    return [(*volume.split(":"), "rw")[:3] for volume in service.get("volumes", ())]


def handed_out(folder: Path) -> list[str]:
    """The tokens that lie in volumes of their own."""
    return [file.read_text(encoding="utf-8").strip() for file in folder.glob("*-token/*")]


def _map(value: str, mapped: dict[str, str]) -> str:
    for inside, outside in mapped.items():
        value = value.replace(inside, outside)
    return value


def test_no_service_sees_a_file_that_is_not_its_own() -> None:
    """The operator's token and the keys are the authority's. Of the others, each reads its own token, and nobody else's."""
    services: dict[str, Any] = YAML(typ="safe").load(TOP / "docker-compose.yml")["services"]
    mounts = {name: mounted(service) for name, service in services.items() if name != "init"}
    assert [name for name, of in mounts.items() if any(volume == "authority" for volume, _, _ in of)] == ["authority"]
    users: dict[str, list[str]] = {}
    for name, of in mounts.items():
        for volume, target, how in of:
            assert volume in {name, f"{name}-token"}, f"{name} mounts {volume}"
            assert (target == HOME) == (how == "rw"), f"{name} may write to {target}"
            users.setdefault(volume, []).append(name)
    assert all(len(names) == 1 for names in users.values())
    tokens = {volume for volume in users if volume.endswith("-token")}
    assert tokens == {volume for volume, _, _ in mounted(services["init"]) if volume != "authority"}
    assert len(tokens) == 3
    made = (TOP / "services" / "Dockerfile").read_text(encoding="utf-8")
    assert all(target in made for volume, target, _ in mounted(services["init"]) if volume in tokens), "else they are root's"


@asynccontextmanager
async def running(*processes: asyncio.subprocess.Process) -> AsyncIterator[None]:
    """End the processes afterwards, and see that they end well."""
    try:
        yield
    finally:
        for process in reversed(processes):
            process.terminate()
        codes = [await asyncio.wait_for(process.wait(), PATIENCE) for process in processes]
    assert codes == [0] * len(processes)


@pytest.mark.slow
@pytest.mark.xdist_group("snmp")
async def test_the_composed_platform_serves_recorded_and_simulated_devices(tmp_path: Path) -> None:
    composed = Composed(tmp_path)
    initialised = await composed.start("init")
    assert await asyncio.wait_for(initialised.wait(), PATIENCE) == 0
    names = ["authority", "devices", "gateway", "recorded-devices", "simulator"]
    async with running(*[await composed.start(name) for name in names]):
        operator = (tmp_path / "authority" / "operator.token").read_text().strip()
        handed = handed_out(tmp_path)
        assert len(handed) == 3
        assert operator not in handed
        platform = Platform(composed.authority, operator)
        await platform.ready()
        await platform.create_partner("acme")
        key = await platform.create_key("acme", keys_pb2.Key.KIND_DEMO)
        await platform.close()
        missing = {"recorded-rack-pdu", "recorded-ups", "recorded-sensor", "ups-a"}
        async with AsyncClient(secret=key.secret, devices=composed.devices) as client, asyncio.timeout(PATIENCE):
            async for event in client.watch():
                if isinstance(event, Telemetry):
                    missing -= {device.device.rpartition("/")[2] for device in event.devices}
                if not missing:
                    break
        assert not missing
