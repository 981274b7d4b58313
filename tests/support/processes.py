"""Processes that a test starts, kills, stops and lets go on; and what it did to them, with times."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from consentry_core.process.settings import PREFIX
from consentry_core.values.clock import SystemClock
from support.late_writes import Pause

_TESTS = Path(__file__).parents[1]
_PATIENCE = 60.0
boot = SystemClock().boot


async def until(happened: Callable[[], bool], what: str, patience: float = _PATIENCE, every: float = 0.005) -> None:
    """Wait for something that nothing tells of but looking."""
    end = time.monotonic() + patience
    while not happened():
        assert time.monotonic() < end, f"not within {patience:g} s: {what}"
        await asyncio.sleep(every)


class Process:
    """A module of the tests as a process of its own. What it prints is in `<name>.log` in the folder."""

    def __init__(self, name: str, folder: Path, module: str, *arguments: str) -> None:
        self.name = name
        self.pauses: list[Pause] = []
        self.kills = 0
        self._folder = folder
        self._command = [sys.executable, "-m", module, *arguments]
        self._running: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith(PREFIX)}
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(_TESTS), os.environ.get("PYTHONPATH")]))
        with (self._folder / f"{self.name}.log").open("ab") as log:
            # Its standard input stays open for as long as this process lives, and it ends with it.
            self._running = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=log, stderr=log, cwd=self._folder, env=environment
            )

    @property
    def ended(self) -> int | None:
        """The status it ended with, once it has."""
        return None if self._running is None else self._running.poll()

    def last_words(self) -> str:
        """The end of its log."""
        return (self._folder / f"{self.name}.log").read_text(encoding="utf-8", errors="replace")[-3000:]

    async def kill(self) -> None:
        """Kill it (-9) and wait until it is gone. One that is gone already stays so."""
        if self._running is not None:
            with contextlib.suppress(ProcessLookupError):
                self._running.kill()
            await asyncio.to_thread(self._running.wait)
            assert self._running.stdin is not None
            self._running.stdin.close()
            self._running = None

    async def wait(self, patience: float) -> None:
        """Wait until it has ended by itself, well."""
        await until(lambda: self.ended is not None, f"{self.name} ends", patience)
        assert self.ended == 0, self.last_words()

    async def pause(self, seconds: float) -> None:
        """Let the kernel stop it for so long."""
        await self.stand_still()
        try:
            await asyncio.sleep(seconds)
        finally:
            self.go_on()

    async def stand_still(self) -> None:
        """Have the kernel stop it; returns once it does stand still."""
        assert self._running is not None
        stat = Path(f"/proc/{self._running.pid}/stat")
        self._running.send_signal(signal.SIGSTOP)
        await until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T", f"{self.name} stands still")
        self._stopped = boot()

    def go_on(self) -> None:
        """Let a stopped one go on."""
        self.pauses.append(Pause(self.name, self._stopped, boot()))
        if self._running is not None:
            self._running.send_signal(signal.SIGCONT)


class Service(Process):
    """A service of the product, its begun writes on record; always on the same port once it has one."""

    def __init__(self, name: str, folder: Path, *arguments: str, broken: tuple[str, ...] = ()) -> None:
        self.record = folder / f"{name}.writes"
        self._ready = folder / f"{name}.ready"
        self._arguments = arguments
        self._broken = broken
        self._listen = "127.0.0.1:0"
        super().__init__(name, folder, "support.recorded_process")
        self._base = list(self._command)

    @property
    def address(self) -> str:
        """Where it serves."""
        return self._listen

    def add_arguments(self, *arguments: str) -> None:
        """Start it with these too, from now on."""
        self._arguments += arguments

    async def serve(self) -> None:
        """Start it and wait until it serves. A port that somebody else was given meanwhile is waited for."""
        self._command = [
            *self._base, str(self.record), *self._broken, *self._arguments,
            f"--listen={self._listen}", f"--ready-file={self._ready}",
        ]  # fmt: skip
        self._ready.unlink(missing_ok=True)
        end = time.monotonic() + _PATIENCE
        self.start()
        while not self._ready.exists():
            if self.ended is not None:
                assert time.monotonic() < end, self.last_words()
                await self.kill()
                await asyncio.sleep(0.2)
                self.start()
            assert time.monotonic() < end, f"{self.name} does not serve: {self.last_words()}"
            await asyncio.sleep(0.01)
        self._listen = self._ready.read_text(encoding="utf-8")

    async def restart(self, after: float) -> None:
        """Kill it (-9) and start it again."""
        self.kills += 1
        await self.kill()
        await asyncio.sleep(after)
        await self.serve()
