"""The processes that benchmarks measure: real ones, each with its log, gone at the end, killed if they do not go."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from consentry_core.rpc.client.channels import open_channel
from consentry_core.values.clock import SystemClock
from support.authority import RunningAuthority, prepare
from support.leaks import Leaks, assert_none

_PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Process:
    """A running process. `address` is where it serves, if it does."""

    process: subprocess.Popen[str]
    folder: Path
    name: str
    address: str

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    async def ask(self, **question: Any) -> Any:
        """Put a question to a process that answers lines of JSON on its standard input."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        line = await asyncio.to_thread(self.process.stdout.readline)
        if not line:
            raise RuntimeError(f"{self.name} ended:\n{self._last_words()}")
        return json.loads(line)

    def cpu_seconds(self) -> float:
        """The processor time that it has used."""
        threads = Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9

    def _last_words(self) -> str:
        return "\n".join((self.folder / f"{self.name}.log").read_text(encoding="utf-8").splitlines()[-20:])


class Stage:
    """Starts processes in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._processes: list[Process] = []

    async def start(self, name: str, module: str, *arguments: str, serves: bool = True, **variables: str) -> Process:
        """Start `python -m module`; one that serves is waited for."""
        ready = self.folder / f"{name}.ready"
        if serves:
            arguments = (*arguments, f"--ready-file={ready}")
        with (self.folder / f"{name}.log").open("w", encoding="utf-8") as log:
            process = subprocess.Popen(  # noqa: ASYNC220 - nothing else runs while processes are started
                [sys.executable, "-m", module, *arguments], text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=os.environ | _found() | variables,
            )  # fmt: skip
        started = Process(process, self.folder, name, "")
        self._processes.append(started)
        if not serves:
            return started
        async with asyncio.timeout(_PATIENCE):
            while not ready.exists():
                if process.poll() is not None:
                    raise RuntimeError(f"{name} ended:\n{started._last_words()}")
                await asyncio.sleep(0.02)  # nothing else tells that a file has come
        return Process(process, self.folder, name, ready.read_text(encoding="utf-8"))

    def started(self, name: str) -> Process:
        """A process that was started before."""
        return next(process for process in self._processes if process.name == name)

    def end(self) -> None:
        """End all of them, the last one first."""
        for started in reversed(self._processes):
            process = started.process
            process.send_signal(signal.SIGCONT)
            process.terminate()
            with contextlib.suppress(BrokenPipeError):
                process.communicate(timeout=None) if process.poll() is not None else _wait(process)


def _found() -> dict[str, str]:
    """What lets a process find what this one finds; under pytest that is more than its environment says."""
    tests = str(Path(__file__).parents[1])
    return {"PYTHONPATH": os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), tests)))}


def _wait(process: subprocess.Popen[str]) -> None:
    try:
        process.communicate(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()


@contextlib.contextmanager
def stage() -> Iterator[Stage]:
    """A stage in a folder of its own; both are gone at the end of the block, and no secret was left where none belongs."""
    with tempfile.TemporaryDirectory(prefix="consentry-bench-") as folder:
        started = Stage(Path(folder))
        try:
            yield started
        finally:
            started.end()
        left = Leaks()
        left.look_through(started.folder)
        assert_none(left.take())


@contextlib.asynccontextmanager
async def authority(stage: Stage, *, filled_by: Callable[[Path], None] | None = None) -> AsyncIterator[RunningAuthority]:
    """An authority in a process of its own, with what tests do to one. `filled_by` writes into its folder before it starts."""
    folder = stage.folder / "authority"
    folder.mkdir()
    prepare(folder)
    if filled_by is not None:
        filled_by(folder)
    process = await stage.start("authority", "consentry_authority", "--listen=127.0.0.1:0", f"--data-dir={folder}")
    served = cast("Any", SimpleNamespace(address=process.address, store=None))
    async with open_channel(process.address) as channel:
        yield RunningAuthority(served, folder, SystemClock(), channel)
