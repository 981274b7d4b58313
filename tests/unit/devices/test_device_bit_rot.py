"""Flipped bits in the database's file: what was not written is never handed out, and what is missing is said."""

import logging
import random
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from consentry.devices.v1 import gap_pb2
from consentry_cli.cli import cli
from consentry_core.sql.database import Database
from consentry_devices.domain.alarms import Alarm
from consentry_devices.domain.state import BEGINNING, Damaged, Thing
from consentry_devices.log.entries import Entry, Kind
from consentry_devices.rpc.converters import WireEncoder
from consentry_devices.storage.engine import SqlEngine
from consentry_devices.storage.state import SqlState
from consentry_devices.storage.store import FILE, open_engine, open_store
from consentry_devices.storage.verifying import verify
from consentry_rule import ALL_DATA_CLASSES, Instant
from support.clocks import FakeClock
from support.device_frames import NORTH, NOW, SECOND, SOUTH
from support.watched_feed import WatchedFeed, watched_feed

FLIPS = 60


@dataclass(frozen=True)
class Told:
    """What a store answers."""

    entries: dict[int, Entry]
    blocks: frozenset[bytes]
    things: frozenset[Thing]
    says_gap: bool


async def _fill(feed: WatchedFeed) -> None:
    for turn in range(30):
        for customer in (NORTH, SOUTH):
            values = [turn + value / 7 for value in range(3 if turn % 3 else 700)]
            alarm = Alarm(f"a{turn}", "ups", "Power lost", "On battery", 3, Instant(NOW + turn))
            await feed.publish(customer, *values, start=NOW + turn * 1_000 * SECOND, alarms=[alarm])


async def _told(file: Path) -> Told:
    database = Database(open_engine(file))
    try:
        log, state = SqlEngine(database, ""), SqlState(database)
        entries: list[Entry] = []
        while more := await log.read_after(entries[-1].seq if entries else 0, 1_000, max_bytes=10**6):
            entries += more
        blocks: set[bytes] = set()
        things: set[Thing] = set()
        gap = any(entry.kind is Kind.DAMAGED for entry in entries)
        for customer in (NORTH, SOUTH):
            found = await state.history(
                customer, "ups", Instant(0), Instant(2**62), after=BEGINNING, up_to=10**6, max_bytes=10**9
            )
            blocks.update(found.payloads)
            told: list[Sequence[Thing]] = []
            await state.snapshot(customer, ALL_DATA_CLASSES, None, told.append)
            things.update(thing for some in told for thing in some)
            gap |= found.damaged
        gap |= any(isinstance(thing, Damaged) for thing in things)
        return Told(
            {entry.seq: entry for entry in entries if entry.kind is not Kind.DAMAGED},
            frozenset(blocks),
            frozenset(thing for thing in things if not isinstance(thing, Damaged)),
            gap,
        )
    finally:
        database.close()


@asynccontextmanager
async def _store(folder: Path) -> AsyncIterator[WatchedFeed]:
    async with watched_feed(folder) as feed:
        await _fill(feed)
        yield feed


def _settle(folder: Path) -> None:
    """Everything into the one file."""
    engine = open_engine(folder / FILE)
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    engine.dispose()


def _places(data: bytes, entries: Sequence[Entry], chance: random.Random) -> list[int]:
    """Bytes of rows that hold entries or current state: of what is in them, and of what stands around it."""
    found = [data.find(entry.payload[:40]) for entry in entries if len(entry.payload) >= 40]
    starts = [place for place in found if place > 0]
    rows = [start + chance.randrange(-90, 200) for start in chance.choices(starts, k=FLIPS)]
    state = [place + chance.randrange(-30, 60) for place in _all(data, b"Power lost")]
    return rows + chance.sample(state, min(len(state), 30))


def _all(data: bytes, text: bytes) -> list[int]:
    places, at = [], data.find(text)
    while at >= 0:
        places.append(at)
        at = data.find(text, at + 1)
    return places


@pytest.mark.slow
async def test_no_flipped_bit_comes_out_as_another_value(tmp_path: Path) -> None:
    async with _store(tmp_path):
        pass
    _settle(tmp_path)
    file, copy = tmp_path / FILE, tmp_path / "copy"
    written = await _told(file)
    assert len(written.entries) > 100
    assert not written.says_gap
    data, chance = file.read_bytes(), random.Random(1)  # noqa: S311 - places
    missing = said = 0
    for place in _places(data, list(written.entries.values()), chance):
        damaged = bytearray(data)
        damaged[place] ^= 1 << chance.randrange(8)
        copy.write_bytes(damaged)
        told = await _told(copy)
        for seq, entry in told.entries.items():
            assert replace(entry, take_time=Instant(0), historical=False) == replace(
                written.entries[seq], take_time=Instant(0), historical=False
            ), place
        assert told.blocks <= written.blocks, place
        assert told.things <= written.things, place
        if (len(told.entries), told.blocks, told.things) != (len(written.entries), written.blocks, written.things):
            missing += 1
            said += told.says_gap
        for left in ("copy-wal", "copy-shm"):
            (tmp_path / left).unlink(missing_ok=True)
    assert missing > FLIPS / 3
    assert said == missing, "what is not here is said"


def _damage(folder: Path, statement: str) -> None:
    engine = open_engine(folder / FILE)
    with engine.begin() as connection:
        connection.exec_driver_sql(statement)
    engine.dispose()


_CHANGES = [
    "UPDATE log SET payload = substr(payload, 1, length(payload) - 1) || x'01' WHERE seq = 4",
    "UPDATE log SET customer = 'south' WHERE seq = 4",
    "DELETE FROM log WHERE seq = 4",
    "UPDATE log SET min_time = min_time + 1 WHERE seq = 4",
]


@pytest.mark.parametrize("change", _CHANGES)
async def test_a_reader_is_told_of_a_gap_and_goes_on(tmp_path: Path, change: str, caplog: pytest.LogCaptureFixture) -> None:
    async with watched_feed(tmp_path) as feed:
        watching = feed.watch()
        begin = (await watching.until("synced")).cursor
        await feed.publish(NORTH, 1.0)
        await feed.publish(NORTH, 2.0, 3.0)
        await feed.publish(NORTH, 4.0)
        await feed.publish(NORTH, 5.0)
        _damage(tmp_path, change)
        feed.restart()
        with caplog.at_level(logging.ERROR):
            back = await feed.pull(begin)
        damaged = gap_pb2.Gap(cause=gap_pb2.Gap.CAUSE_DAMAGED)
        assert back.gaps() == [damaged]
        assert back.values() == [1.0, 2.0, 3.0, 5.0]
        assert (await feed.pull(back.received[-2].cursor)).gaps() == []


@pytest.mark.parametrize(
    ("table", "statement", "missing"),
    [
        ("latest", "UPDATE latest SET value = value + 1 WHERE customer = 'north'", "telemetry"),
        ("sensors", "UPDATE sensors SET unit = 'W' WHERE customer = 'north'", None),
        ("alarms", "UPDATE alarms SET severity = 1 WHERE customer = 'north'", "alarm_change"),
    ],
)
async def test_damaged_state_is_a_gap_of_a_snapshot_and_verify_names_it(
    tmp_path: Path, table: str, statement: str, missing: str | None
) -> None:
    async with watched_feed(tmp_path) as feed:
        await feed.publish(NORTH, 1.0, alarms=[Alarm("a", "ups", "Power lost", "", 3, Instant(NOW))])
        assert verify(tmp_path).problems == []
        _damage(tmp_path, statement)
        watching = feed.watch()
        await watching.until("synced")
        (gap,) = watching.gaps()
        assert (gap.cause, gap.customer) == (gap_pb2.Gap.CAUSE_DAMAGED, "customers/north")
        assert missing not in watching.events()
    (problem,) = verify(tmp_path).problems
    assert problem.startswith(f"{table}: 'north'")


async def test_what_was_written_before_there_were_checksums_is_handed_out(tmp_path: Path) -> None:
    """And `verify` counts it."""
    async with watched_feed(tmp_path) as feed:
        begin = (await feed.watch().until("synced")).cursor
        await feed.publish(NORTH, 1.0)
        _damage(tmp_path, "UPDATE log SET checksum = NULL")
        _damage(tmp_path, "UPDATE store SET checked_from = 100")
        feed.restart()
        assert (await feed.pull(begin)).values() == [1.0]
    verified = verify(tmp_path)
    assert (verified.problems, verified.without) == ([], 2)


@pytest.mark.parametrize("change", _CHANGES)
async def test_verify_names_what_is_damaged_and_fails(tmp_path: Path, change: str) -> None:
    async with watched_feed(tmp_path) as feed:
        for value in (1.0, 2.0, 3.0, 4.0):
            await feed.publish(NORTH, value)
        fine = CliRunner().invoke(cli, ["devices", "verify", "--data-dir", str(tmp_path)])
        assert (fine.exit_code, "everything is as it was written" in fine.output) == (0, True)
        _damage(tmp_path, change)
        found = CliRunner().invoke(cli, ["devices", "verify", "--data-dir", str(tmp_path)])
        assert found.exit_code == 1
        assert "log: entry 4" in found.output


async def test_the_service_opens_what_is_damaged(tmp_path: Path) -> None:
    async with _store(tmp_path):
        _damage(tmp_path, _CHANGES[0])
    store = open_store(tmp_path, encoder=WireEncoder(), clock=FakeClock(), random=secrets.token_bytes)
    assert store.log.tail() > 0
    await store.close()
