"""A reader that counts what a counting gateway publishes: with the product's own client, as a process that a test kills.

    python -m support.counting_reader ADDRESS SECRET_FILE DATABASE COUNTED_FILE

What it was told and the cursor that came with it are written in one transaction: a kill loses both or neither. Every sensor has
to count up by one, and so have the alarm's events and the devices' names; whatever else it is told is put down as wrong.

Once the file says how many frames were counted, it ends when it has all of them.
"""

import sqlite3
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from consentry_client import AlarmChange, Client, Event, Heartbeat, InventoryChange, Synced, Telemetry
from support.counting_gateway import DEVICES, READINGS, SENSORS, STEPS

_TABLES = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
CREATE TABLE IF NOT EXISTS position (one INTEGER PRIMARY KEY CHECK (one = 1), cursor TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS last (what TEXT PRIMARY KEY, count INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS wrong (what TEXT NOT NULL);
"""
EVERYTHING = {
    **{f"{device}/{sensor}": "readings" for device in DEVICES for sensor in SENSORS},
    **dict.fromkeys(DEVICES, "names"),
    "alarm": "events",
}
"""What is counted."""


class Ledger:
    """What was told so far, on disk. One reader writes it, anybody may look."""

    def __init__(self, path: Path) -> None:
        self._file = sqlite3.connect(path, isolation_level=None)
        self._file.executescript(_TABLES)
        self._last = self.last()

    def cursor(self) -> str | None:
        """Where to go on; None before the start is complete."""
        row = self._file.execute("SELECT cursor FROM position").fetchone()
        return None if row is None else str(row[0])

    def last(self) -> dict[str, int]:
        """The highest count of everything that is counted."""
        return dict(self._file.execute("SELECT what, count FROM last"))

    def wrong(self) -> list[str]:
        """What should not have been told."""
        return [row[0] for row in self._file.execute("SELECT what FROM wrong")]

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def counted(self) -> dict[str, int]:
        """`last`, as the one reader has it in memory."""
        return self._last

    def take(self, event: Event) -> None:
        """Write down an event and its cursor, together."""
        self._file.execute("BEGIN IMMEDIATE")
        changed: dict[str, int] = {}
        for what, count in _counts(event):
            expected = changed.get(what, self._last.get(what, 0)) + 1
            if count != expected:
                self._wrong(f"{what}: {count} where {expected} was due")
            changed[what] = count
        if not isinstance(event, (AlarmChange, Heartbeat, InventoryChange, Synced, Telemetry)) and self._last:
            self._wrong(f"{event}")
        self._file.executemany("INSERT OR REPLACE INTO last VALUES (?, ?)", changed.items())
        self._file.execute("INSERT OR REPLACE INTO position VALUES (1, ?)", (event.cursor,))
        self._file.execute("COMMIT")
        self._last |= changed

    def _wrong(self, what: str) -> None:
        self._file.execute("INSERT INTO wrong VALUES (?)", (what,))


def _counts(event: Event) -> Iterator[tuple[str, int]]:
    match event:
        case Telemetry():
            for reading in event.readings():
                _, _, _, device, _, sensor = reading.sensor.split("/")
                yield f"{device}/{sensor}", int(reading.value)
        case InventoryChange():
            for told in event.devices:
                if told.display_name != "0":  # as they are first told
                    yield told.name.rpartition("/")[2], int(told.display_name)
        case AlarmChange():
            yield "alarm", event.event.number


def due(frames: int) -> dict[str, int]:
    """What everything has counted up to after so many frames."""
    of = {"readings": READINGS * frames, "names": frames // STEPS, "events": frames // STEPS}
    return {what: of[kind] for what, kind in EVERYTHING.items() if of[kind]}


def count(address: str, secret_file: Path, database: Path, counted_file: Path) -> None:
    """Read until everything that was counted has been told."""
    ledger = Ledger(database)
    total: int | None = None
    with Client(secret=secret_file.read_text(encoding="utf-8"), devices=address) as client:
        for event in client.watch(after_cursor=ledger.cursor(), heartbeat_interval=timedelta(seconds=1)):
            ledger.take(event)
            if total is None and counted_file.exists():
                total = int(counted_file.read_text(encoding="utf-8"))
            if total is not None and ledger.counted() == due(total):
                return


if __name__ == "__main__":
    count(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4]))
