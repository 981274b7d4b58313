"""The engines of the log, as the contract's tests need them: opened, opened beside the one that is open, and restored."""

import copy
import secrets
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from consentry_core.sql.database import Database, open_sqlite
from consentry_core.values.clock import SystemClock
from consentry_devices.domain.frames import Frame, StreamKey
from consentry_devices.domain.state import Snapshots
from consentry_devices.log.appender import AppendedLog
from consentry_devices.log.entries import Entry
from consentry_devices.log.memory import MemorySnapshots, MemoryStore
from consentry_devices.storage.engine import SqlEngine
from consentry_devices.storage.opening import open_run
from consentry_devices.storage.state import SqlState
from consentry_devices.storage.store import FILE, PRAGMAS, open_store
from support.device_frames import PlainEncoder, stream


@dataclass(frozen=True)
class OpenLog:
    """A log, and the current state that changes with it."""

    log: AppendedLog
    state: Snapshots

    async def append(self, *frames: Frame, of: StreamKey | None = None) -> None:
        """Submit frames, and wait until all of them are committed."""
        for answer in [await self.log.submit(of or stream(), one) for one in frames]:
            await answer

    async def entries(self, after: int = 0) -> list[Entry]:
        """All that is kept."""
        return list(await self.log.read_after(after, 100_000, max_bytes=10**9))

    async def seqs(self) -> Sequence[int]:
        """The numbers of all that is kept."""
        return [entry.seq for entry in await self.entries()]


class Keeper(Protocol):
    """Where an engine keeps one log."""

    def open(self) -> AbstractAsyncContextManager[OpenLog]:
        """The log; again and again the same one."""
        ...

    def open_beside(self) -> AbstractAsyncContextManager[OpenLog]:
        """The log that is open, as a process would that no lock has kept out."""
        ...

    def backup(self) -> "Keeper":
        """What the log is now, while it is closed, somewhere else."""
        ...


class InMemory:
    """See `Keeper`."""

    def __init__(self, _folder: Path) -> None:
        self._store = MemoryStore("store")

    @asynccontextmanager
    async def open(self) -> AsyncIterator[OpenLog]:
        log = self._store.open(PlainEncoder(), secrets.token_bytes)
        try:
            yield OpenLog(log, MemorySnapshots(self._store))
        finally:
            await log.close()

    def open_beside(self) -> AbstractAsyncContextManager[OpenLog]:
        return self.open()

    def backup(self) -> Keeper:
        other = InMemory(Path())
        other._store = copy.deepcopy(self._store)
        return other


class InSqlite:
    """See `Keeper`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "store"

    @asynccontextmanager
    async def open(self) -> AsyncIterator[OpenLog]:
        store = open_store(self._folder, encoder=PlainEncoder(), clock=SystemClock(), random=secrets.token_bytes)
        try:
            yield OpenLog(store.log, store.state)
        finally:
            await store.close()

    @asynccontextmanager
    async def open_beside(self) -> AsyncIterator[OpenLog]:
        database = Database(open_sqlite(self._folder / FILE, PRAGMAS))
        opened = database.write_now(lambda connection: open_run(connection, SystemClock(), secrets.token_bytes)).log
        log = AppendedLog(SqlEngine(database, opened.runs.current), PlainEncoder(), opened)
        try:
            yield OpenLog(log, SqlState(database))
        finally:
            await log.close()
            database.close()

    def backup(self) -> Keeper:
        folder = self._folder.parent / secrets.token_hex(4)
        shutil.copytree(self._folder, folder / "store")
        return InSqlite(folder)


ENGINES: dict[str, Callable[[Path], Keeper]] = {"memory": InMemory, "sqlite": InSqlite}
"""Another engine is another entry."""
