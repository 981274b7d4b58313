"""A store of before there were checksums: its state gets them when it is opened, its log is handed out without."""

from pathlib import Path

from consentry_devices.storage import tables
from consentry_devices.storage.store import FILE, open_engine
from consentry_devices.storage.verifying import verify
from support.device_frames import NORTH, SOUTH
from support.watched_feed import watched_feed

_STATE = (tables.locations, tables.devices, tables.sensors, tables.alarms, tables.alarm_events, tables.latest)


async def test_a_store_of_before_is_read_as_it_is(tmp_path: Path) -> None:
    async with watched_feed(tmp_path) as feed:
        await feed.publish(NORTH, 1.0, 2.0)
    engine = open_engine(tmp_path / FILE)
    with engine.begin() as connection:
        for table in (tables.log, *_STATE):
            connection.exec_driver_sql(f"ALTER TABLE {table.name} DROP COLUMN checksum")
        connection.exec_driver_sql("ALTER TABLE store DROP COLUMN checked_from")
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0002'")
    engine.dispose()
    async with watched_feed(tmp_path) as feed:
        watching = feed.watch()
        await watching.until("synced")
        assert (watching.values(), watching.gaps()) == ([2.0], [])
        await feed.publish(SOUTH, 3.0)
    verified = verify(tmp_path)
    assert verified.problems == []
    assert verified.without == 2, "of the log, from before"


async def test_columns_stand_in_the_file_in_the_order_in_which_they_are_checked(tmp_path: Path) -> None:
    """For the migration reads them as they stand there."""
    async with watched_feed(tmp_path):
        pass
    engine = open_engine(tmp_path / FILE)
    with engine.connect() as connection:
        for table in _STATE:
            found = [row[1] for row in connection.exec_driver_sql(f"PRAGMA table_info({table.name})")]
            assert found == [column.name for column in table.columns]
            assert found[-1] == "checksum"
    engine.dispose()
