"""The world that tests of bad input happen in."""

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.world import World, running_world


@pytest.fixture
async def world(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> AsyncIterator[World]:
    """See `support.world`.

    Whatever a test does with it, afterwards no secret is found where none belongs, and every refusal has said what it must.
    """
    caplog.set_level(logging.INFO)
    for name in ("authority", "core", "devices", "guard"):
        caplog.set_level(logging.DEBUG, f"consentry_{name}")
    # Every statement with its parameters, thousands of them: no service of ours runs like that.
    caplog.set_level(logging.WARNING, "sqlalchemy")
    async with running_world(tmp_path) as running:
        yield running
        logged = "\n".join(record.getMessage() for record in caplog.get_records("call")) + caplog.text
        assert running.leaks(logged) == []
        assert running.bare() == []
