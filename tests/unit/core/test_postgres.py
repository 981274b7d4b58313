"""`Database` on a real PostgreSQL: snapshots, writes, and its bad days."""

import logging
import threading
from collections.abc import Iterator

import psycopg
import pytest
import sqlalchemy as sa

from consentry_core.process.settings import SettingError
from consentry_core.sql.database import Database
from consentry_core.sql.postgres import open_postgres, shown_address
from consentry_core.values.errors import Unavailable
from support.postgres import PostgresServer, new_database

TABLE = sa.Table("numbers", sa.MetaData(), sa.Column("number", sa.BigInteger, primary_key=True))


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database(open_postgres(database_url))
    opened.write_now(TABLE.create)
    yield opened
    opened.close()


def insert(number: int) -> sa.Executable:
    return sa.insert(TABLE).values(number=number)


def numbers(connection: sa.Connection) -> list[int]:
    return list(connection.scalars(sa.select(TABLE.c.number).order_by(TABLE.c.number)))


async def test_what_is_read_is_one_moment_whatever_is_written_meanwhile(database: Database) -> None:
    def twice(connection: sa.Connection) -> tuple[list[int], list[int]]:
        before = numbers(connection)
        writing = threading.Thread(target=database.write_now, args=(lambda other: other.execute(insert(1)),))
        writing.start()
        writing.join()
        return before, numbers(connection)

    assert await database.read(twice) == ([], [])
    assert await database.read(numbers) == [1]


async def test_who_reads_cannot_write_and_who_fails_has_changed_nothing(database: Database) -> None:
    with pytest.raises(Unavailable):  # told as the state of a server that is read-only, which it is for this transaction
        await database.read(lambda connection: connection.execute(insert(1)))

    def fail(connection: sa.Connection) -> None:
        connection.execute(insert(2))
        raise KeyError

    with pytest.raises(KeyError):
        await database.write(fail)
    with pytest.raises(sa.exc.ProgrammingError):
        await database.read(lambda connection: connection.exec_driver_sql("SELECT nonsense"))
    assert await database.read(numbers) == []


async def test_a_server_that_is_killed_is_a_bad_moment_and_nothing_acknowledged_is_lost() -> None:
    server = PostgresServer()
    try:
        with new_database(server.url("postgres"), "killed") as url:
            database = Database(open_postgres(url))
            await database.write(TABLE.create)
            await database.write(lambda connection: connection.execute(insert(1)))
            server.kill()
            for ask in (database.read(numbers), database.write(lambda connection: connection.execute(insert(2)))):
                with pytest.raises(Unavailable) as refused:
                    await ask
                assert (refused.value.reason, refused.value.retry_after) == ("STORE_UNAVAILABLE", 2.0)
            server.start()
            assert await database.read(numbers) == [1]
            await database.write(lambda connection: connection.execute(insert(2)))

            def killed_midway(connection: sa.Connection) -> None:
                connection.execute(insert(3))
                server.kill()
                connection.execute(insert(4))

            with pytest.raises(Unavailable):
                await database.write(killed_midway)
            server.start()
            assert await database.read(numbers) == [1, 2]
            database.close()
    finally:
        server.stop()


async def test_a_backend_that_is_terminated_is_replaced_without_a_word(database: Database, database_url: str) -> None:
    def pid(connection: sa.Connection) -> int:
        return int(connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one())

    first = await database.read(pid)
    with psycopg.connect(sa.make_url(database_url).set(drivername="postgresql").render_as_string(), autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s)", [first])
    assert await database.read(pid) != first


async def test_a_read_only_server_refuses_writes_for_a_while(database: Database) -> None:
    def read_only(connection: sa.Connection) -> None:
        connection.exec_driver_sql("SET TRANSACTION READ ONLY")
        connection.execute(insert(1))

    with pytest.raises(Unavailable):
        await database.write(read_only)
    await database.write(lambda connection: connection.execute(insert(1)))
    assert await database.read(numbers) == [1]


async def test_a_paused_writer_loses_the_row_that_others_wait_for(database: Database) -> None:
    def waits(connection: sa.Connection) -> None:
        assert connection.exec_driver_sql("SHOW idle_in_transaction_session_timeout").scalar_one() == "5s"
        connection.exec_driver_sql("SET idle_in_transaction_session_timeout = 50")
        connection.execute(insert(1))
        connection.exec_driver_sql("COMMIT; BEGIN")
        connection.execute(sa.delete(TABLE))
        paused.set()
        done.wait(10)
        connection.execute(insert(2))

    paused, done = threading.Event(), threading.Event()
    failed: list[BaseException] = []

    def write() -> None:
        try:
            database.write_now(waits)
        except BaseException as error:  # noqa: BLE001 - looked at below
            failed.append(error)

    writing = threading.Thread(target=write)
    writing.start()
    assert paused.wait(10)
    with database.engine.connect().execution_options(consentry_write=True) as other, other.begin():
        assert other.execute(sa.delete(TABLE)).rowcount == 1  # waits until the paused one was put out
    done.set()
    writing.join()
    assert isinstance(failed[0], sa.exc.DBAPIError)
    assert await database.read(numbers) == []


@pytest.mark.parametrize(
    "address", ["nonsense", "sqlite:///x", "postgresql://u@h/d", "postgresql+psycopg://u@h", "postgresql+psycopg2://u@h/d"]
)
def test_what_is_no_address_is_told(address: str) -> None:
    with pytest.raises(SettingError, match="postgresql\\+psycopg://user@host/database"):
        open_postgres(address)


def test_nobody_answers_is_told_without_the_password(postgres: str) -> None:
    address = "postgresql+psycopg://consentry:s3cr3t-word@127.0.0.1:1/consentry"
    with pytest.raises(SettingError) as refused:
        open_postgres(address)
    assert "127.0.0.1:1" in str(refused.value)
    assert "s3cr3t-word" not in str(refused.value)
    assert "s3cr3t-word" not in shown_address(address)


def test_loose_commits_are_told(database_url: str, caplog: pytest.LogCaptureFixture) -> None:
    engine = sa.create_engine(database_url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        name = sa.make_url(database_url).database
        connection.exec_driver_sql(f"ALTER DATABASE {name} SET synchronous_commit = off")
    with caplog.at_level(logging.WARNING):
        open_postgres(database_url).dispose()
    assert any("synchronous_commit is off" in message for message in caplog.messages)
