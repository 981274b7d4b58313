"""The first start, and starts that cannot be."""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from consentry.authority.v1 import tokens_pb2
from consentry_authority.app import AuthoritySettings, initialize, migrate_database, restored, rotate_checksum_key, start
from consentry_authority.setup.first_start import read_checksum_keys
from consentry_authority.storage.schema.tables import metadata
from consentry_core.process.settings import SettingError
from consentry_core.rpc.client.channels import bearer
from consentry_core.sql.database import open_sqlite
from consentry_core.values import names
from consentry_core.values.encoding import base64url
from support.authority import prepare, read_token, running_authority, settings_of

TOKENS = ("operator", "devices", "demo-gateway")


def contents(folder: Path) -> dict[str, bytes]:
    """The files that are not the database's."""
    return {file.name: file.read_bytes() for file in folder.iterdir() if "authority.db" not in file.name}


def test_it_makes_everything_readable_by_its_owner_only(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    assert initialize(settings_of(folder)) == folder / "operator.token"
    assert {file.name for file in folder.iterdir() if file.suffix not in {".db-wal", ".db-shm"}} == {
        "authority.db",
        "audit.key",
        "init.lock",
        "checksum.key",
        *(f"{name}.token" for name in TOKENS),
    }
    for file in folder.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0, file.name
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert len({read_token(folder, name) for name in TOKENS}) == 3


def test_it_makes_the_demo_customer(tmp_path: Path) -> None:
    prepare(tmp_path)
    engine = open_sqlite(tmp_path / "authority.db")
    with engine.connect() as connection:
        rows = connection.execute(sa.select(metadata.tables["customers"])).all()
    engine.dispose()
    assert [(row.id, row.demo) for row in rows] == [(names.DEMO_CUSTOMER, True)]


def test_done_again_it_changes_nothing(tmp_path: Path) -> None:
    prepare(tmp_path)
    before = contents(tmp_path)
    initialize(settings_of(tmp_path))
    assert contents(tmp_path) == before
    assert token_count(tmp_path) == 3


def test_done_again_it_adds_what_is_missing(tmp_path: Path) -> None:
    prepare(tmp_path)
    before = contents(tmp_path)
    (tmp_path / "devices.token").unlink()
    initialize(settings_of(tmp_path))
    after = contents(tmp_path)
    assert after.pop("devices.token") != before.pop("devices.token")
    assert after == before


def test_a_token_of_another_database_is_not_overwritten(tmp_path: Path) -> None:
    prepare(tmp_path)
    (tmp_path / "authority.db").unlink()
    (tmp_path / "devices.token").unlink()
    before = contents(tmp_path)
    with pytest.raises(SettingError, match=r"operator\.token holds a token that this folder's database does not know"):
        initialize(settings_of(tmp_path))
    assert contents(tmp_path) == before
    assert token_count(tmp_path) == 0


def test_a_file_that_cannot_be_written_leaves_no_token_behind(tmp_path: Path) -> None:
    (tmp_path / "demo-gateway.token").mkdir()
    with pytest.raises(SettingError, match=r"demo-gateway\.token is a directory"):
        initialize(settings_of(tmp_path))
    assert token_count(tmp_path) == 0
    assert not (tmp_path / "operator.token").exists()


async def test_a_folder_that_is_not_initialised_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=f"run `consentry init --data-dir {tmp_path}`"):
        await start(settings_of(tmp_path))
    with pytest.raises(SettingError, match="consentry init"):
        migrate_database(settings_of(tmp_path))


async def test_an_older_schema_says_what_to_run(tmp_path: Path) -> None:
    prepare(tmp_path)
    engine = open_sqlite(tmp_path / "authority.db")
    with engine.connect() as connection, connection.begin():
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '0001'"))
    engine.dispose()
    with pytest.raises(SettingError, match=f"run `consentry migrate --data-dir {tmp_path}`"):
        await start(settings_of(tmp_path))


async def test_a_schema_that_is_newer_than_the_program_is_refused_in_those_words(tmp_path: Path) -> None:
    prepare(tmp_path)
    engine = open_sqlite(tmp_path / "authority.db")
    with engine.connect() as connection, connection.begin():
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(SettingError, match=r"newer schema \(9999\) than this version of the program"):
        await start(settings_of(tmp_path))
    for command in (migrate_database, initialize, restored):
        with pytest.raises(SettingError, match=r"newer schema \(9999\)"):
            command(settings_of(tmp_path))


async def test_a_file_that_is_no_database_is_said_so(tmp_path: Path) -> None:
    prepare(tmp_path)
    (tmp_path / "authority.db").write_bytes(b"not a database" * 1000)
    with pytest.raises(SettingError, match="cannot be read as a database"):
        await start(settings_of(tmp_path))


async def test_a_data_folder_that_cannot_be_written_is_said_so(tmp_path: Path) -> None:
    prepare(tmp_path)
    with unable_to_write(tmp_path), pytest.raises(SettingError, match=r"cannot be written .*--data-dir") as refused:
        await start(settings_of(tmp_path))
    assert "\n" not in refused.value.format_message()
    with unable_to_write(tmp_path), pytest.raises(SettingError, match="cannot be written"):
        initialize(settings_of(tmp_path))


async def test_a_second_authority_on_the_folder_is_refused(tmp_path: Path) -> None:
    prepare(tmp_path)
    first = await start(settings_of(tmp_path))
    try:
        with pytest.raises(SettingError, match="another authority uses the data folder"):
            await start(settings_of(tmp_path))
    finally:
        await first.stop()
    await (await start(settings_of(tmp_path))).stop()


async def test_a_taken_port_is_said_so_and_everything_is_closed_again(tmp_path: Path) -> None:
    prepare(tmp_path / "a")
    prepare(tmp_path / "b")
    first = await start(settings_of(tmp_path / "a"))
    try:
        with pytest.raises(SettingError, match=f"cannot listen on {first.address}"):
            await start(settings_of(tmp_path / "b", listen=first.address))
    finally:
        await first.stop()
    await (await start(settings_of(tmp_path / "b"))).stop()


@pytest.mark.parametrize("text", ["", "tooshort\n", "not base64url!\n"])
def test_a_checksum_key_that_is_none_is_said_so_without_showing_it(tmp_path: Path, text: str) -> None:
    prepare(tmp_path)
    (tmp_path / "checksum.key").write_text(text)
    with pytest.raises(SettingError, match="must hold one key a line") as refused:
        read_checksum_keys(settings_of(tmp_path))
    assert not text.strip() or text.strip() not in refused.value.message


def test_the_checksum_keys_can_lie_elsewhere(tmp_path: Path) -> None:
    elsewhere = tmp_path / "keys"
    initialize(settings_of(tmp_path / "data", checksum_key_file=elsewhere))
    assert elsewhere.exists()
    assert not (tmp_path / "data" / "checksum.key").exists()


def test_the_default_address_is_this_machines_own() -> None:
    assert AuthoritySettings().listen == "127.0.0.1:7401"


def token_count(folder: Path) -> int:
    engine = open_sqlite(folder / "authority.db")
    with engine.connect() as connection:
        count = connection.execute(sa.select(sa.func.count()).select_from(metadata.tables["tokens"])).scalar_one()
    engine.dispose()
    return count


@contextlib.contextmanager
def unable_to_write(folder: Path) -> Iterator[None]:
    """A folder that may be read and not written. Root may write everywhere, so it steps down meanwhile."""
    folder.chmod(0o555)
    root = os.geteuid() == 0
    opened = [parent for parent in folder.parents if root and stat.S_IMODE(parent.stat().st_mode) & 0o005 != 0o005]
    modes = [(parent, stat.S_IMODE(parent.stat().st_mode)) for parent in opened]
    for parent, mode in modes:
        parent.chmod(mode | 0o005)
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        for parent, mode in modes:
            parent.chmod(mode)
        folder.chmod(0o755)


class TestChecksumKeys:
    """The keys in the file belong to the secrets in the database."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        prepare(tmp_path)
        return tmp_path

    async def test_a_new_one_makes_new_secrets_and_the_former_ones_go_on(self, folder: Path) -> None:
        settings = settings_of(folder)
        former = settings.checksum_keys_file.read_text()
        rotate_checksum_key(settings)
        newest, *others = settings.checksum_keys_file.read_text().splitlines(keepends=True)
        assert others == [former]
        assert newest != former
        assert settings.checksum_keys_file.stat().st_mode & 0o777 == 0o600
        async with running_authority(folder) as authority:
            issued = (await authority.token(tokens_pb2.Token.ROLE_OPERATOR)).secret
            assert issued.split("_")[-1][:4] != authority.operator.split("_")[-1][:4]
            await authority.tokens.WhoAmI(tokens_pb2.WhoAmIRequest(), metadata=bearer(issued))

    async def test_another_one_is_refused(self, folder: Path) -> None:
        file = settings_of(folder).checksum_keys_file
        file.write_text(base64url(b"x" * 32) + "\n")
        with pytest.raises(SettingError, match=r"is missing; put the former key's line back"):
            await start(settings_of(folder))

    async def test_one_that_a_live_secret_names_is_needed_and_others_are_not(self, folder: Path) -> None:
        settings = settings_of(folder)
        first = settings.checksum_keys_file.read_text()
        rotate_checksum_key(settings)
        async with running_authority(folder):
            pass
        newest = settings.checksum_keys_file.read_text().splitlines()[0]
        settings.checksum_keys_file.write_text(newest + "\n")
        with pytest.raises(SettingError, match="3 live secrets"):
            await start(settings)
        settings.checksum_keys_file.write_text(first)  # nothing was made with the newest one yet
        async with running_authority(folder) as authority:
            await authority.tokens.WhoAmI(tokens_pb2.WhoAmIRequest(), metadata=bearer(authority.operator))

    async def test_one_that_others_can_read_is_refused(self, folder: Path) -> None:
        settings_of(folder).checksum_keys_file.chmod(0o644)
        with pytest.raises(SettingError, match="chmod 600"):
            await start(settings_of(folder))
        configured = settings_of(folder, checksum_key_file=folder / "checksum.key")
        await (await start(configured)).stop()  # wherever somebody put it, that is theirs to guard
