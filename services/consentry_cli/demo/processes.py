"""The processes that the demo starts: each with a log of its own, all of them gone at the end, whatever happens."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import click

from consentry_core.process.settings import PREFIX

_PATIENCE = 60.0
_GRACE = 10.0


class Processes:
    """Real processes, started with this program's own Python, without any `CONSENTRY_` settings but the ones given."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def run(self, name: str, *arguments: str, **settings: str) -> None:
        """Run a command to its end; raises with its last words when it fails."""
        process = self._spawn(name, arguments, settings)
        if process.wait(_PATIENCE) != 0:
            raise self._failure(name, f"ended with {process.returncode}")

    def start(self, name: str, *arguments: str, **settings: str) -> None:
        """Start a command that stays."""
        self._running[name] = self._spawn(name, arguments, settings)

    def serve(self, name: str, *arguments: str, **settings: str) -> str:
        """Start a service, wait until it serves, and return its address."""
        ready = self._folder / f"{name}.ready"
        ready.unlink(missing_ok=True)
        self.start(name, *arguments, f"--ready-file={ready}", **settings)
        end = time.monotonic() + _PATIENCE
        while not ready.exists():
            if self._running[name].poll() is not None or time.monotonic() > end:
                raise self._failure(name, "did not come up")
            time.sleep(0.02)  # nothing else tells that a file has come
        return ready.read_text(encoding="utf-8")

    def check(self) -> None:
        """Raise when one of them has ended by itself."""
        for name, process in self._running.items():
            if process.poll() is not None:
                raise self._failure(name, f"ended by itself with {process.returncode}")

    def stop(self, name: str) -> None:
        """End one of them and wait for it: with SIGTERM, so that it drains."""
        process = self._running.pop(name)
        process.terminate()
        try:
            process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def stop_all(self) -> None:
        """End all of them, the last one first."""
        for process in self._running.values():
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        for name in reversed(tuple(self._running)):
            self.stop(name)

    def _spawn(self, name: str, arguments: tuple[str, ...], settings: Mapping[str, str]) -> subprocess.Popen[bytes]:
        environment = {key: value for key, value in os.environ.items() if not key.startswith(PREFIX)}
        environment |= {PREFIX + key.upper(): value for key, value in settings.items()}
        with (self._folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - our own command
                [sys.executable, "-m", "consentry_cli", *arguments],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self._folder, env=environment,
            )  # fmt: skip

    def _failure(self, name: str, what: str) -> click.ClickException:
        words = (self._folder / f"{name}.log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return click.ClickException("\n".join([f"`{name}` {what}; its last words:", *words[-15:]]))


@contextlib.contextmanager
def processes(folder: Path) -> Iterator[Processes]:
    """Processes that are gone at the end of the block."""
    running = Processes(folder)
    try:
        yield running
    finally:
        running.stop_all()
