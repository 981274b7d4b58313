"""The store after its process was killed in the middle of commits, and after the machine lost what it had not written."""

import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from consentry_core.process.settings import SettingError
from consentry_core.values.clock import SystemClock
from consentry_devices.log.entries import Kind
from consentry_devices.storage.backup import restored
from consentry_devices.storage.store import FILE, open_store
from support.device_frames import NORTH, PlainEncoder, stream
from support.snapshots import snapshot_of

_TESTS = Path(__file__).parents[2]


def _append_until_killed(frames: int, *arguments: str) -> int:
    """Let a process append, and kill it (-9) once it said that so many more frames are committed; the last that it said."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [str(_TESTS), os.environ.get("PYTHONPATH")]))}
    command = [sys.executable, "-m", "support.appending_process", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        said = [int(process.stdout.readline()) for _ in range(frames)]  # it goes on appending meanwhile, group after group
        process.send_signal(signal.SIGKILL)
        said += [int(line) for line in process.stdout if line.endswith("\n")]
    return said[-1]


async def _check(folder: Path) -> int:
    """Whether the log is whole and the current state is what it says; the number of the last frame."""
    store = open_store(folder, encoder=PlainEncoder(), clock=SystemClock(), random=secrets.token_bytes)
    try:
        last = await store.log.last_number(stream())
        entries = await store.log.read_after(0, 1_000_000, max_bytes=10**9)
        assert [entry.seq for entry in entries] == list(range(1, store.log.tail() + 1))
        payloads = [entry.payload for entry in entries if entry.kind is Kind.TELEMETRY]
        assert payloads == [number.to_bytes(4, "big") * 5_000 for number in range(1, last + 1)]
        snapshot = await snapshot_of(store.state, NORTH)
        assert snapshot.seq == store.log.tail()
        assert [reading.value for reading in snapshot.latest] == ([float(last)] if last else [])
        assert len(snapshot.devices) == sum(entry.kind is Kind.INVENTORY for entry in entries) == last
        with store.database.engine.connect() as connection:
            assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
        return last
    finally:
        await store.close()


@pytest.mark.slow
async def test_after_kill_9_everything_that_was_acknowledged_is_there_and_nothing_is_there_by_half(tmp_path: Path) -> None:
    chance = random.Random(7)  # noqa: S311 - no secret
    for _ in range(3):
        acknowledged = _append_until_killed(chance.randint(20, 600), str(tmp_path))
        assert await _check(tmp_path) >= acknowledged


@pytest.mark.slow
async def test_after_writes_that_were_lost_or_torn_the_log_is_whole_up_to_some_commit(tmp_path: Path) -> None:
    """That some were acknowledged is noticed before anything is served."""
    chance = random.Random(7)  # noqa: S311 - no secret
    _append_until_killed(300, str(tmp_path / "store"), "in-the-wal")
    found = []
    for number in range(6):
        copy = tmp_path / f"copy-{number}"
        shutil.copytree(tmp_path / "store", copy)
        with (copy / f"{FILE}-wal").open("r+b") as log:
            size = (copy / f"{FILE}-wal").stat().st_size
            log.truncate(cut := chance.randint(0, size))
            log.seek(max(0, cut - 5_000))
            log.write(chance.randbytes(min(cut, 3_000)))
        with pytest.raises(SettingError, match=r"is not what it was: .*-wal was lost or cut off"):
            await _check(copy)
        restored(copy)  # as the error says, when there is no other -wal
        found.append(await _check(copy))
    assert len(set(found)) > 1
    assert max(found) <= await _check(tmp_path / "store")
