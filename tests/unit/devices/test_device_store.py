"""The store on a real SQLite file: schema, lock, snapshots, and what happens when the disk says no."""

import asyncio
import os
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from consentry_core.process.settings import SettingError
from consentry_core.sql.database import open_sqlite
from consentry_core.values.errors import InvalidArgument, Unavailable
from consentry_devices.domain.alarms import Alarm
from consentry_devices.domain.inventory import InventoryChange, Location
from consentry_devices.domain.state import BEGINNING
from consentry_devices.log.entries import Entry
from consentry_devices.storage import tables, transaction
from consentry_devices.storage.migrations import migrate
from consentry_devices.storage.store import Store, open_store
from consentry_rule import Instant
from support.clocks import FakeClock
from support.device_frames import NORTH, NOW, SOUTH, PlainEncoder, device, frame, sensor, stream, telemetry
from support.snapshots import snapshot_of


def opened(folder: Path) -> Store:
    return open_store(folder, encoder=PlainEncoder(), clock=FakeClock(), random=secrets.token_bytes)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = opened(tmp_path)
    yield store
    await store.close()


async def _entries(store: Store) -> list[Entry]:
    return list(await store.log.read_after(0, 10_000, max_bytes=10**9))


def test_the_migrated_schema_is_that_of_the_tables(tmp_path: Path) -> None:
    engine = open_sqlite(tmp_path / "devices.db")
    migrate(engine)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, tables.metadata) == []
        made = sa.create_engine("sqlite://")
        tables.metadata.create_all(made)
        ddl = "SELECT sql FROM sqlite_master WHERE tbl_name <> 'alembic_version' ORDER BY name"
        with made.connect() as other:

            def schema(of: sa.Connection) -> list[str]:
                return [" ".join((sql or "").split()) for sql in of.scalars(sa.text(ddl))]

            assert schema(connection) == schema(other)
        made.dispose()
    migrate(engine)
    engine.dispose()


async def test_commits_are_on_disk_before_they_are_answered(store: Store) -> None:
    with store.database.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"


async def test_a_second_process_is_kept_out_and_let_in_afterwards(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib\nfrom consentry_core.process.settings import SettingError\n"
        "from consentry_core.process.folders import FolderLock\n"
        "try:\n    FolderLock(pathlib.Path(sys.argv[1]), 'devices.lock', 'device-data service')\n"
        "except SettingError as error:\n    sys.exit(error.message)\n"
    )

    def other() -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=False)

    store = opened(tmp_path)
    kept_out = await asyncio.to_thread(other)
    assert kept_out.returncode == 1
    assert "another device-data service uses the data folder" in kept_out.stderr
    await store.close()
    assert (await asyncio.to_thread(other)).returncode == 0


async def test_a_second_service_in_this_process_is_kept_out_too(store: Store, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="another device-data service"):
        opened(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere; the next test stands in for it")
def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(SettingError, match="cannot be written"):
        opened(tmp_path)


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingError, match="cannot be written"):
        opened(tmp_path / "file" / "data")


async def test_files_are_for_their_owner_only(tmp_path: Path) -> None:
    """Also in a folder that was there before, and that others may look into."""
    store = opened(tmp_path / "data")
    assert (tmp_path / "data").stat().st_mode & 0o077 == 0
    await store.close()
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o755)
    store = opened(tmp_path / "shared")
    assert {file.name for file in (tmp_path / "shared").iterdir() if file.stat().st_mode & 0o077} == set()
    await store.close()


async def test_a_snapshot_holds_one_customers_things_parents_first(store: Store) -> None:
    told = InventoryChange(
        NOW,
        (Location("z", "Site", 1, ""), Location("a", "Room", 3, "z")),
        (device("zz"), replace(device("mm", parent="zz"), location="a"), device("aa", parent="mm")),
        (sensor("zz"),),
    )
    alarm = Alarm("power", "zz", "Power Failure", "", 7, NOW)
    await (await store.log.submit(stream(), frame(1, telemetry(1.0, "text", of="zz"), inventory=told, alarms=(alarm,))))
    await (await store.log.submit(stream(SOUTH), frame(1, telemetry(1.0, customer=SOUTH))))
    snapshot = await snapshot_of(store.state, NORTH)
    assert [location.id for location in snapshot.locations] == ["z", "a"]
    assert [(each.id, each.gateways) for each in snapshot.devices] == [("zz", ("gw",)), ("mm", ("gw",)), ("aa", ("gw",))]
    assert [event.alarm for event in snapshot.alarms] == [alarm]
    assert [(reading.device, reading.value) for reading in snapshot.latest] == [("zz", "text")]
    assert snapshot.seq == store.log.tail()


async def test_in_one_group_the_refused_frame_alone_is_left_out(store: Store) -> None:
    other = replace(stream(), gateway="other")
    frames = [
        (stream(), frame(1, telemetry(1.0))),
        (other, frame(1, telemetry(1.0, of="unknown"), inventory=InventoryChange(NOW, (), (device("new"),)))),
        (stream(), frame(2, telemetry(2.0))),
        (other, frame(1, telemetry(3.0))),
    ]
    answers = [await store.log.submit(of, one) for of, one in frames]
    results = await asyncio.gather(*answers, return_exceptions=True)
    assert [isinstance(result, InvalidArgument) for result in results] == [False, True, False, False]
    assert "new" not in {each.id for each in (await snapshot_of(store.state, NORTH)).devices}


async def test_a_group_that_cannot_be_written_leaves_nothing_and_can_be_sent_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await (await store.log.submit(stream(), frame(1, telemetry(1.0))))
    before = (await _entries(store), await snapshot_of(store.state, NORTH))
    told = InventoryChange(NOW, (), (device("new"),))

    def full_disk(*_: object, **__: object) -> None:
        raise sa.exc.OperationalError("INSERT", {}, OSError("disk full"))

    with monkeypatch.context() as patched:
        patched.setattr(transaction, "upsert", full_disk)
        with pytest.raises(Unavailable):
            await (await store.log.submit(stream(), frame(2, telemetry(2.0), inventory=told)))
    assert (await _entries(store), await snapshot_of(store.state, NORTH)) == before
    assert await store.log.last_number(stream()) == 1
    await (await store.log.submit(stream(), frame(2, telemetry(2.0), inventory=told)))
    assert store.log.tail() == before[1].seq + 2


async def test_a_store_of_a_newer_version_is_refused_in_those_words(tmp_path: Path) -> None:
    await opened(tmp_path).close()
    engine = open_sqlite(tmp_path / "devices.db")
    with engine.connect() as connection, connection.begin():
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(SettingError, match=r"newer schema \(9999\) than this version of the program"):
        opened(tmp_path)


async def test_of_old_frames_only_the_number_is_remembered(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transaction, "REMEMBERED_FRAMES", 5)
    for number in range(1, 21):
        await (await store.log.submit(stream(), frame(number, telemetry(1.0))))
    with store.database.engine.connect() as connection:
        kept = list(connection.scalars(sa.select(tables.gateway_frames.c.number)))
    assert sorted(kept) == [16, 17, 18, 19, 20]
    tail = store.log.tail()
    assert await (await store.log.submit(stream(), frame(1, digest=b"whatever"))) == 1
    with pytest.raises(InvalidArgument):
        await (await store.log.submit(stream(), frame(20, digest=b"other")))
    assert store.log.tail() == tail


async def test_numbers_are_not_given_again_after_entries_are_removed(tmp_path: Path) -> None:
    store = opened(tmp_path)
    await (await store.log.submit(stream(), frame(1, telemetry(1.0))))
    tail = store.log.tail()
    await store.database.write(lambda connection: connection.execute(sa.delete(tables.log)))
    await store.close()
    store = opened(tmp_path)
    assert store.log.tail() == tail
    await (await store.log.submit(stream(), frame(2, telemetry(1.0))))
    assert [entry.seq for entry in await _entries(store)] == [tail + 1]
    await store.close()


async def test_history_is_read_through_its_index(store: Store) -> None:
    seen: list[tuple[str, object]] = []

    def remember(_connection: object, _cursor: object, statement: str, parameters: object, *_: object) -> None:
        seen.append((statement, parameters))

    sa.event.listen(store.database.engine, "before_cursor_execute", remember)

    await store.state.history(NORTH, "ups", Instant(0), NOW, after=BEGINNING, up_to=10, max_bytes=1)
    statement, parameters = seen[-1]
    with store.database.engine.connect() as connection:
        plan = str(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all())  # type: ignore[arg-type]
    assert "log_by_time" in plan
    assert "TEMP B-TREE" not in plan


async def test_a_store_of_the_first_version_goes_on_with_what_it_has(tmp_path: Path) -> None:
    engine = open_sqlite(tmp_path / "devices.db")
    migrate(engine, "0001")
    rows = [
        (1, "north", "inventory", "inventory", None, 30, 30, 0, b"\1"),
        (2, "north", "telemetry", "telemetry", "ups", 10, 20, 0, b"\2"),
        (3, "north", "telemetry", "telemetry", "ups", 40, 50, 0, b"\3"),
    ]
    with engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO store VALUES ('the-store', 1, x'0a', x'0b', 3)")
        connection.exec_driver_sql("INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
    engine.dispose()
    store = opened(tmp_path)
    assert (store.log.store_id, store.log.first(), store.log.tail(), store.cursor_key) == ("the-store", 1, 3, b"\x0b")
    assert [(entry.payload, entry.take_time) for entry in await _entries(store)] == [(b"\1", 30), (b"\2", 30), (b"\3", 50)]
    assert store.log.run_of(1) == store.log.run_of(3) != store.log.run_of(4)
    await (await store.log.submit(stream(), frame(1, telemetry(1.0))))
    assert store.log.tail() == 5
    await store.close()
