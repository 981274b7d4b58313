"""Backups of services that run, put back; and databases that have lost their newest commits."""

import asyncio
import contextlib
import hashlib
import json
import os
import shutil
import sqlite3
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from consentry.authority.v1 import consent_pb2, coverage_pb2, directory_pb2, tokens_pb2
from consentry_authority.app import initialize, restored, start
from consentry_authority.setup.audit_log import problems
from consentry_cli.demo.platform import Platform
from consentry_core.process.settings import SettingError
from consentry_core.rpc.client.channels import bearer
from consentry_devices.rpc.converters import WireEncoder
from consentry_devices.storage.store import Store, open_store
from support.authority import RunningAuthority, running_authority, settings_of
from support.cli import consentry
from support.clocks import FakeClock
from support.device_frames import KNOWN, frame, stream, telemetry

DATABASES = ("authority.db", "devices.db")


def backed_up(folder: Path, destination: Path) -> None:
    result = consentry("backup", str(destination), "--data-dir", str(folder))
    assert result.exit_code == 0, result.output


def put_back(backup: Path, folder: Path) -> None:
    """As the README says: the former database goes away with what lies beside it."""
    for name in DATABASES:
        if (backup / name).exists():
            for file in folder.glob(f"{name}*"):
                file.unlink()
    for file in backup.iterdir():
        if file.name != "manifest.json":
            shutil.copy2(file, folder / file.name)


async def covered(authority: RunningAuthority, secret: str) -> set[str]:
    listed = await authority.coverage.ListCoveredCustomers(coverage_pb2.ListCoveredCustomersRequest(), metadata=bearer(secret))
    return {customer.name for customer in listed.customers}


async def test_a_backup_of_a_running_authority_put_back_is_the_authority_as_it_was(tmp_path: Path) -> None:
    """Revoked before it: stays so. Revoked or granted after it: not so any more, in another history."""
    folder, backup = tmp_path / "data", tmp_path / "backup"
    async with running_authority(folder) as authority:
        await authority.partner("acme")
        for customer in ("north", "south", "east"):
            await authority.valid_customer(customer, "acme")
        await authority.revoke("south", "acme")
        key = (await authority.key("acme")).secret
        await asyncio.to_thread(backed_up, folder, backup)
        lost = (await authority.revoke("north", "acme")).enforcement.revision
        await authority.consent("south", "acme")
        assert await covered(authority, key) == {"customers/south", "customers/east"}
    put_back(backup, folder)
    for refused in (lambda: start(settings_of(folder)), lambda: asyncio.to_thread(initialize, settings_of(folder))):
        with pytest.raises(SettingError, match=r"is a backup of 2|is not what it was: it stands at"):
            await refused()
    told = consentry("restored", "--data-dir", str(folder))
    assert told.exit_code == 0, told.output
    async with running_authority(folder) as authority:
        assert await covered(authority, key) == {"customers/north", "customers/east"}
        head = await authority.store.read(lambda view: view.facts.head())
        assert head.epoch != lost.partition(".")[0]
    _, found = problems(settings_of(folder), [])
    assert found == []


async def test_a_backup_says_what_it_is_and_is_for_its_owner_only(tmp_path: Path) -> None:
    folder, backup = tmp_path / "data", tmp_path / "backup"
    async with running_authority(folder) as authority:
        await authority.partner("acme")
        head = await authority.store.read(lambda view: view.facts.head())
        store = opened(folder)
        await committed(store, 3)
        await asyncio.to_thread(backed_up, folder, backup)
        await store.close()
    assert {file.name for file in backup.iterdir()} == {*DATABASES, "checksum.key", "audit.key", "manifest.json"}
    assert stat.S_IMODE(backup.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in backup.iterdir()} == {0o600}
    manifest = json.loads((backup / "manifest.json").read_text())
    assert manifest["files"]["authority.db"]["revision"] == str(head)
    assert manifest["files"]["devices.db"]["tail"] == store.log.tail()
    for name, said in manifest["files"].items():
        assert hashlib.sha256((backup / name).read_bytes()).hexdigest() == said["sha256"], name
    assert not any(b"ct_" in file.read_bytes() for file in backup.iterdir() if file.suffix != ".db"), "no token is in it"
    _, found = problems(settings_of(backup), [])
    assert found == []


async def test_a_copy_that_was_damaged_on_its_way_back_is_noticed_by_the_manifest(tmp_path: Path) -> None:
    folder, backup = tmp_path / "data", tmp_path / "backup"
    async with running_authority(folder) as authority:
        await authority.partner("acme")
        await asyncio.to_thread(backed_up, folder, backup)
    put_back(backup, folder)
    shutil.copy2(backup / "manifest.json", folder / "manifest.json")
    whole = (folder / "authority.db").read_bytes()
    (folder / "authority.db").write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    told = consentry("restored", "--data-dir", str(folder))
    assert told.exit_code != 0
    assert "authority.db is not what" in told.output
    (folder / "authority.db").write_bytes(whole)
    for _ in range(2):
        told = consentry("restored", "--data-dir", str(folder))
        assert told.exit_code == 0, told.output
    assert not (folder / "manifest.json").exists()
    assert (backup / "manifest.json").exists()


async def test_what_is_written_while_it_is_copied_is_in_it_or_not(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    async with running_authority(folder) as authority:
        await authority.partner("acme")
        copying = asyncio.create_task(asyncio.to_thread(backed_up, folder, tmp_path / "backup"))
        made = 0
        while not copying.done():
            await authority.customer(f"customer-{made}")
            made += 1
        await copying
    assert made > 0
    restored(settings_of(tmp_path / "backup"))
    for token in folder.glob("*.token"):
        shutil.copy2(token, tmp_path / "backup" / token.name)
    async with running_authority(tmp_path / "backup") as again:
        listed = await again.directory.ListCustomers(
            directory_pb2.ListCustomersRequest(page_size=1000), metadata=bearer(again.operator)
        )
        kept = sorted(int(one.name.rpartition("-")[2]) for one in listed.customers if "customer-" in one.name)
        assert kept == list(range(len(kept))), "none is missing before another"


class TestRefusals:
    """What no backup is made of, or into."""

    def test_nothing_is_overwritten(self, tmp_path: Path) -> None:
        initialize(settings_of(tmp_path / "data"))
        for there in ("backup", "backup.part"):
            (tmp_path / there).mkdir()
            result = consentry("backup", str(tmp_path / "backup"), "--data-dir", str(tmp_path / "data"))
            assert result.exit_code == 2
            assert str(tmp_path / there) in result.stderr.replace("\n", "")
            assert list((tmp_path / there).iterdir()) == []
            (tmp_path / there).rmdir()

    def test_of_a_damaged_database_nothing_is_left(self, tmp_path: Path) -> None:
        initialize(settings_of(tmp_path / "data"))
        file = tmp_path / "data" / "authority.db"
        with contextlib.closing(sqlite3.connect(file)) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            root, size = database.execute("SELECT rootpage, 4096 FROM sqlite_master WHERE name = 'customers'").fetchone()
        with file.open("r+b") as opened_file:
            opened_file.seek((root - 1) * size)
            opened_file.write(os.urandom(size))
        result = consentry("backup", str(tmp_path / "backup"), "--data-dir", str(tmp_path / "data"))
        assert result.exit_code == 2, result.output
        assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]

    def test_an_empty_folder_is_said_so(self, tmp_path: Path) -> None:
        result = consentry("backup", str(tmp_path / "backup"), "--data-dir", str(tmp_path))
        assert result.exit_code == 2
        assert "no database" in result.stderr

    async def test_a_copy_beside_the_former_wal_is_refused(self, tmp_path: Path) -> None:
        """SQLite would take the one's newest pages for the other's."""
        folder, backup = tmp_path / "data", tmp_path / "backup"
        async with running_authority(folder) as authority:
            await asyncio.to_thread(backed_up, folder, backup)
            await authority.partner("acme")
            shutil.copytree(folder, tmp_path / "killed")
        killed = tmp_path / "killed"
        shutil.copy2(backup / "authority.db", killed / "authority.db")
        for call in (restored, initialize):
            with pytest.raises(SettingError, match=r"authority\.db-wal is of another database"):
                call(settings_of(killed))
        (killed / "authority.db-wal").unlink()
        restored(settings_of(killed))


# What was committed, and is not there any more


@pytest.fixture
async def killed(tmp_path: Path) -> Path:
    """The folder of an authority and a device-data service as a kill -9 leaves it: the newest commits are in the -wal files."""
    live, killed = tmp_path / "live", tmp_path / "killed"
    async with running_authority(live) as authority:
        store = opened(live)
        await authority.partner("acme")
        await authority.valid_customer("north", "acme")
        for name in DATABASES:
            with contextlib.closing(sqlite3.connect(live / name)) as database:
                database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        await authority.revoke("north", "acme")
        await committed(store, 5)
        shutil.copytree(live, killed)
        await store.close()
    return killed


def lost(file: Path) -> None:
    file.unlink()


def cut_off(file: Path) -> None:
    """As by a disk that was full when it was copied."""
    os.truncate(file, 4096)


@pytest.mark.parametrize("how", [lost, cut_off])
async def test_a_lost_wal_is_noticed_at_the_start_and_by_verify(killed: Path, how: object) -> None:
    assert callable(how)
    how(killed / "authority.db-wal")
    for call in (lambda: start(settings_of(killed)), lambda: asyncio.to_thread(initialize, settings_of(killed))):
        with pytest.raises(
            SettingError, match=r"authority\.db is not what it was: it stands at \d+, and \d+ was committed"
        ) as told:
            await call()
        assert "authority.db-wal" in told.value.message
        assert "consentry restored" in told.value.message
    _, found = problems(settings_of(killed), [])
    assert any("is not what it was" in one for one in found)
    restored(settings_of(killed))
    async with running_authority(killed) as authority:
        answer = await authority.consents.GetConsent(
            consent_pb2.GetConsentRequest(name="customers/north/consents/acme"),
            metadata=bearer((await authority.token(tokens_pb2.Token.ROLE_CUSTOMER_ADMIN, "customers/north")).secret),
        )
        assert answer.consent.state == consent_pb2.Consent.STATE_ACTIVE, "which is why it is not started on silently"


@pytest.mark.parametrize("how", [lost, cut_off])
async def test_a_lost_tail_of_the_device_datas_log_is_noticed(killed: Path, how: object) -> None:
    assert callable(how)
    how(killed / "devices.db-wal")
    with pytest.raises(SettingError, match=r"devices\.db is not what it was: it stands at 0, and \d+ was committed"):
        opened(killed)
    result = consentry("restored", "--data-dir", str(killed))
    assert result.exit_code == 0, result.output
    store = opened(killed)
    assert store.log.tail() == 0
    await store.close()


async def test_what_a_kill_leaves_is_whole(killed: Path) -> None:
    async with running_authority(killed):
        pass
    store = opened(killed)
    assert store.log.tail() > 0
    await store.close()


@pytest.mark.parametrize("content", [b"", b"garbage", b"\xff" * 256, b"9999 epoch 0123456789abcdef\n"])
async def test_a_note_that_cannot_be_read_says_nothing(killed: Path, content: bytes) -> None:
    """A power failure can tear it; it is no reason not to start."""
    (killed / "authority.head").write_bytes(content)
    async with running_authority(killed):
        pass
    assert (killed / "authority.head").read_bytes() != content


async def test_a_database_of_another_history_is_noticed(killed: Path, tmp_path: Path) -> None:
    async with running_authority(tmp_path / "other") as other:
        for number in range(20):
            await other.partner(f"partner-{number}")
        shutil.copy2(killed / "authority.head", tmp_path / "authority.head")
    shutil.copy2(tmp_path / "authority.head", tmp_path / "other" / "authority.head")
    note = (killed / "authority.head").read_text().split()
    assert note[1] != ""
    for name in ("checksum.key", "audit.key"):
        assert (tmp_path / "other" / name).exists()
    with contextlib.closing(sqlite3.connect(tmp_path / "other" / "authority.db")) as database:
        database.execute("UPDATE revision SET epoch = 'another'")
        database.commit()
    with pytest.raises(SettingError, match="of another history"):
        await start(settings_of(tmp_path / "other"))


def opened(folder: Path) -> Store:
    return open_store(folder, encoder=WireEncoder(), clock=FakeClock(), random=os.urandom)


async def committed(store: Store, count: int) -> None:
    """So many frames, on the disk."""
    for number in range(1, count + 1):
        told = (
            frame(number, telemetry(float(number)), inventory=KNOWN) if number == 1 else frame(number, telemetry(float(number)))
        )
        await (await store.log.submit(stream(), told))


@pytest.mark.slow
async def test_processes_that_run_are_backed_up_killed_and_put_back(tmp_path: Path) -> None:
    """The commands themselves: init, authority, backup, kill -9, restored, authority."""
    folder, backup = tmp_path / "data", tmp_path / "backup"
    env = {
        "PATH": os.environ["PATH"], "CONSENTRY_DATA_DIR": str(folder), "CONSENTRY_AUTHORITY_LISTEN": "127.0.0.1:0",
        "CONSENTRY_AUTHORITY_READY_FILE": str(tmp_path / "ready"),
    }  # fmt: skip
    program = str(Path(sys.executable).with_name("consentry"))

    async def run(*words: str) -> int:
        process = await asyncio.create_subprocess_exec(program, *words, env=env)
        return await process.wait()

    @contextlib.asynccontextmanager
    async def serving() -> AsyncIterator[Platform]:
        (tmp_path / "ready").unlink(missing_ok=True)
        process = await asyncio.create_subprocess_exec(program, "authority", env=env)
        try:
            while not (tmp_path / "ready").exists():
                assert process.returncode is None
                await asyncio.sleep(0.02)
            platform = Platform((tmp_path / "ready").read_text(), (folder / "operator.token").read_text().strip())
            await platform.ready()
            yield platform
            await platform.close()
        finally:
            process.kill()
            await process.wait()

    async with asyncio.timeout(90):
        assert await run("init") == 0
        async with serving() as platform:
            await platform.create_partner("acme")
            for customer in ("north", "south"):
                await platform.create_customer(customer, directory_pb2.Subscription.PLAN_PAID)
                await platform.connect("acme", customer)
                await platform.consent(customer, "acme")
            await platform.revoke("south", "acme")
            assert await run("backup", str(backup)) == 0
            await platform.revoke("north", "acme")
        (folder / "authority.db-wal").rename(tmp_path / "wal")
        assert await run("authority") == 2, "the -wal is lost"
        put_back(backup, folder)
        assert await run("authority") == 2, "nobody has said that it was put back"
        assert await run("restored") == 0
        async with serving() as platform:
            await platform.create_partner("acme")
            states = {one.customer: one.valid for one in await platform.connections("acme")}
    assert states == {"customers/north": True, "customers/south": False}
