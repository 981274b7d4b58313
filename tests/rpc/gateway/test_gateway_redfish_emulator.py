"""The emulator of sushy-tools, a Redfish service of others, is read as any."""

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from consentry_gateway.sources.polling import Reports
from consentry_gateway.sources.redfish.access import RedfishAccess
from consentry_gateway.sources.redfish.source import RedfishSource
from support.agents import MADE_UP, told
from support.asking import Asked
from support.clocks import FakeClock


@pytest.fixture
def emulator(tmp_path: Path) -> Iterator[int]:
    """The port of sushy-tools' emulator."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (tmp_path / "emulator.conf").write_text(f'SUSHY_EMULATOR_FEATURE_SET = "full"\nSUSHY_EMULATOR_STATE_DIR = "{tmp_path}"\n')
    command = [sys.executable, "-c", "from sushy_tools.emulator.main import main; main()", "--fake", "--interface", "127.0.0.1"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--port", str(port), "--config", str(tmp_path / "emulator.conf")],
            stdout=log,
            stderr=log,
            cwd=tmp_path,
            env=os.environ | {"HOME": str(tmp_path)},
        )
    try:
        yield port
    finally:
        process.terminate()
        process.wait(10)


@contextlib.asynccontextmanager
async def _closing(source: RedfishSource) -> AsyncIterator[None]:
    yield
    await source.close()


@pytest.mark.slow
async def test_the_emulator_of_sushy_tools_is_read(emulator: int) -> None:
    reports = Reports(FakeClock())
    source = RedfishSource(FakeClock(), reports=reports)
    it = Asked("redfish", source, reports, RedfishAccess(scheme="http"), emulator)
    async with asyncio.timeout(60), _closing(source):
        while not (await it.poll()).reachable:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.1)  # until it listens
        poll = await it.poll()
        assert told(poll) == (MADE_UP / "redfish-sushy.expected").read_text(encoding="utf-8")
        assert poll.complete
