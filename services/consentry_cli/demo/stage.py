"""What the story is played on: the pair, gateways, recorded agents, all of them real processes on free loopback ports."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from consentry_cli.demo.platform import Platform
from consentry_cli.demo.processes import Processes, processes
from consentry_core.process.tls import ClientTls
from consentry_gateway.simulator import recorded

PARTNER = "acme"


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the pair serves; port 0 for a free one."""

    authority: str = "127.0.0.1:0"
    devices: str = "127.0.0.1:0"
    console: str = "127.0.0.1:0"


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything that runs. `addresses` are the ones that are served; `tls` how to reach them, None for plaintext."""

    folder: Path
    processes: Processes
    addresses: Addresses
    platform: Platform
    agents: recorded.RecordedAgents | None
    tls: ClientTls | None

    def gateway(self, customer: str, secret: str, recording: str, device: str) -> None:
        """Start a gateway that polls one recorded device every second and publishes for a customer."""
        assert self.agents is not None  # noqa: S101 - the story has agents
        folder = self.folder / customer
        folder.mkdir()
        agents = folder / "agents.toml"
        agents.write_text(
            f'[[agents]]\nid = "{device}"\nhost = "{recorded.HOST}"\nport = {self.agents.port}\ncommunity = "{recording}"\n',
            encoding="utf-8",
        )
        token = folder / "gateway.token"
        token.touch(mode=0o600)
        token.write_text(secret, encoding="utf-8")
        self.processes.start(
            f"gateway-{customer}", "gateway", "collect", f"--devices={self.addresses.devices}",
            f"--customer=customers/{customer}", f"--token-file={token}", f"--agents={agents}",
            f"--data-dir={folder / 'outbox'}", "--interval=1", *_trusting(self.tls),
        )  # fmt: skip

    def console(self, links: Mapping[str, str], listen: str) -> str:
        """Start the console, with one-time links: codes and tokens. Its address."""
        file = self.folder / "console-links.token"
        file.unlink(missing_ok=True)
        file.touch(mode=0o600)
        file.write_text(json.dumps(links), encoding="utf-8")
        trusting = _trusting(self.tls, "--authority-tls-ca")
        return self.processes.serve(
            "console",
            "console",
            f"--listen={listen}",
            f"--authority={self.addresses.authority}",
            f"--links-file={file}",
            *trusting,
        )

    def simulator(self, speed: int) -> None:
        """Start the gateway of the demo customer, whose fleet is made up and lives so many times as fast as the clock."""
        self.processes.start(
            "simulator", "gateway", "simulate", f"--devices={self.addresses.devices}",
            f"--token-file={self.folder / 'demo-gateway.token'}", f"--data-dir={self.folder / 'simulator'}",
            "--interval=1", f"--speed={speed}", *_trusting(self.tls),
        )  # fmt: skip


@contextlib.asynccontextmanager
async def stage(folder: Path, addresses: Addresses, *, agents: bool, tls: ClientTls | None = None) -> AsyncIterator[Stage]:
    """Initialise the folder, start the pair and, if wanted, the recorded agents; end them all afterwards.

    `tls`: over TLS, its certificate being what both services show.
    """
    with processes(folder) as running, contextlib.ExitStack() as stack:
        # The agents index their recordings for some seconds: meanwhile the pair comes up.
        starting = asyncio.create_task(asyncio.to_thread(recorded.start)) if agents else None
        try:
            served = await asyncio.to_thread(_start_pair, running, folder, addresses, tls)
        finally:
            replaying = await starting if starting is not None else None
            if replaying is not None:
                stack.callback(replaying.stop)
        operator = (folder / "operator.token").read_text(encoding="utf-8").strip()
        platform = Platform(served.authority, operator, tls)
        try:
            yield Stage(folder, running, served, platform, replaying, tls)
        finally:
            await platform.close()
            await asyncio.to_thread(running.stop_all)


def _trusting(tls: ClientTls | None, flag: str = "--tls-ca") -> Sequence[str]:
    return () if tls is None else (f"{flag}={tls.ca}",)


def _start_pair(running: Processes, folder: Path, addresses: Addresses, tls: ClientTls | None) -> Addresses:
    data_dir = f"--data-dir={folder}"
    shown = () if tls is None else (f"--tls-certificate={tls.certificate}", f"--tls-key={tls.key}")
    running.run("init", "init", data_dir)
    authority = running.serve("authority", "authority", f"--listen={addresses.authority}", data_dir, *shown)
    trusting = _trusting(tls, "--authority-tls-ca")
    devices = running.serve(
        "devices", "devices", f"--listen={addresses.devices}", f"--authority={authority}", data_dir, *shown, *trusting
    )
    return Addresses(authority, devices, addresses.console)
