"""What goes wrong around the services: no authority, a disk that takes nothing, a folder or a port that is somebody else's."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import sqlalchemy as sa

from consentry.devices.v1 import inventory_pb2
from consentry_authority.app import start as start_authority
from consentry_core.process.settings import SettingError
from consentry_core.rpc.client.channels import bearer, open_channel
from consentry_devices.app import DevicesSettings
from consentry_devices.app import start as start_devices
from support.authority import prepare, running_authority, settings_of
from support.calls import METHODS, call, short
from support.gateways import publish, readings
from support.requests import good
from support.world import World

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
DEVICES = sorted(path for path in METHODS if ".devices." in path)


def devices_settings(folder: Path, **changes: Any) -> DevicesSettings:
    settings: dict[str, Any] = {
        "listen": "127.0.0.1:0",
        "data_dir": folder,
        "token": "made-up",
        "authority": "127.0.0.1:1",
    } | changes
    return DevicesSettings(**settings)


# The authority


async def test_without_an_authority_every_method_on_device_data_asks_to_come_back(world: World, tmp_path: Path) -> None:
    """From the start on: good credentials and bad ones alike, since nobody can tell."""
    devices = await start_devices(devices_settings(tmp_path / "alone"))
    wrong = {}
    async with open_channel(devices.address) as channel:
        for path in DEVICES:
            for name in ("all key", "gateway of north", "operator"):
                raw = [message.SerializeToString() for message in good(world, path)]
                answer = await call(channel, path, raw, bearer(world.secrets[name]))
                world.answers.append(answer)
                if (
                    answer.told != (UNAVAILABLE, "AUTHORITY_UNREACHABLE")
                    or not answer.refusal
                    or not answer.refusal.retry_after
                ):
                    wrong[f"{short(path)}: {name}"] = answer.refusal
            missing = await call(channel, path, [b""], ())
            assert missing.told == (grpc.StatusCode.UNAUTHENTICATED, "CREDENTIAL_MISSING")
    await devices.stop()
    assert wrong == {}


@pytest.mark.slow
async def test_when_the_authority_goes_those_who_are_known_go_on_and_others_are_not_called_strangers(world: World) -> None:
    """For as long as the lease lasts. A good credential that was never seen here must not hear that it is not valid."""
    path = "/consentry.devices.v1.InventoryService/ListDevices"
    assert (await world.call(path, good(world, path))).refusal is None
    await world.pair.authority.authority.stop()
    assert (await world.call(path, good(world, path))).refusal is None
    for unseen in ("key of rival", "operator"):
        told = (await world.call(path, good(world, path), secret=unseen)).refusal
        assert told is not None
        assert (told.code, told.reason) == (UNAVAILABLE, "AUTHORITY_UNREACHABLE")
        assert told.retry_after
    unknown = inventory_pb2.ListDevicesRequest(parent="customers/unheard-of")
    asking = asyncio.create_task(world.call(path, [unknown]))
    told = (await asking).refusal
    assert told is not None
    assert (told.code, told.reason) == (UNAVAILABLE, "LEASE_LOST")


async def test_a_service_whose_own_token_is_refused_says_so_in_its_log_and_tells_its_callers_nothing_of_it(
    world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Of the wrong role, or none at all. To a caller it is the same as an authority that cannot be reached."""
    path = "/consentry.devices.v1.InventoryService/ListDevices"
    raw = [message.SerializeToString() for message in good(world, path)]
    for number, token in enumerate((world.secrets["operator"], "ct_nothing")):
        settings = devices_settings(tmp_path / str(number), token=token, authority=world.pair.authority.address)
        devices = await start_devices(settings)
        async with open_channel(devices.address) as channel:
            answer = await call(channel, path, raw, bearer(world.secrets["all key"]))
        await devices.stop()
        world.answers.append(answer)
        assert answer.told == (UNAVAILABLE, "AUTHORITY_UNREACHABLE")
    assert caplog.text.count("the authority refuses this service") >= 2


# The disk


class Disk:
    """Every SQLite file of this process; while it is `full`, they take nothing."""

    full = False

    def checkout(self, connection: Any, *_: Any) -> None:
        """Called for every connection that is about to be used."""
        connection.execute(f"PRAGMA query_only = {'ON' if self.full else 'OFF'}")


@pytest.fixture
def disk() -> Iterator[Disk]:
    disk = Disk()
    sa.event.listen(sa.pool.Pool, "checkout", disk.checkout)
    yield disk
    sa.event.remove(sa.pool.Pool, "checkout", disk.checkout)


async def test_while_the_disk_takes_nothing_changes_ask_to_come_back_and_questions_are_answered(
    world: World, disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    changing = ("Create", "Set", "Cancel", "Connect", "Disconnect", "Grant", "Revoke", "Update", "Disable", "Enable", "Delete",
                "Rotate", "Report", "Follow", "Add", "Remove")  # fmt: skip
    outcomes = {}
    disk.full = True
    with world.nothing_written():
        for path in METHODS:
            answer = await world.call(path, good(world, path))
            changes = path.rpartition("/")[2].startswith((*changing, "Publish"))
            outcomes[short(path)] = answer.told == ((UNAVAILABLE, "STORE_UNAVAILABLE") if changes else (grpc.StatusCode.OK, ""))
    disk.full = False
    assert {method for method, as_expected in outcomes.items() if not as_expected} == set()
    assert "the database cannot be used: attempt to write a readonly database" in caplog.text
    for path in ("KeyService/CreateKey", "KeyService/UpdateKey", "DirectoryService/CreatePartner"):
        full_path = f"/consentry.authority.v1.{path}"
        assert (await world.call(full_path, good(world, full_path))).refusal is None, "as before"
    await publish(world.pair.channel, bearer(world.secrets["gateway of north"]), readings(6, world.now, 1.0))


async def test_a_new_hash_that_cannot_be_kept_locks_nobody_out(tmp_path: Path, disk: Disk) -> None:
    """The cost of hashes was changed, and the disk is full: who comes with a good secret is let in all the same."""
    async with running_authority(tmp_path, argon2_time=2) as authority:
        disk.full = True
        answer = await call(authority.channel, "/consentry.authority.v1.TokenService/WhoAmI", [b""], bearer(authority.operator))
    assert answer.refusal is None


# Folders and ports


async def test_a_second_service_on_the_same_folder_is_refused_and_the_first_goes_on(world: World) -> None:
    folder = world.pair.folder / "devices"
    with world.nothing_written(), pytest.raises(SettingError, match=r"another device-data service uses .*--data-dir"):
        await start_devices(devices_settings(folder))
    await publish(world.pair.channel, bearer(world.secrets["gateway of north"]), readings(6, world.now, 1.0))


@pytest.mark.parametrize("content", [b"not a database" * 1000, b"SQLite format 3\0" + b"\xff" * 5000])
async def test_a_file_that_is_no_database_is_named_and_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "devices.db"
    file.write_bytes(content)
    for _ in range(2):  # the folder is free again
        with pytest.raises(SettingError, match=r"devices\.db cannot be used as a database .*--data-dir"):
            await start_devices(devices_settings(tmp_path))
    assert file.read_bytes() == content


async def test_a_database_of_another_program_is_not_written_over(tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "devices.db")) as connection:
        connection.execute("CREATE TABLE log (message TEXT)")
    with pytest.raises(SettingError, match="cannot be used as a database"):
        await start_devices(devices_settings(tmp_path))
    with contextlib.closing(sqlite3.connect(tmp_path / "devices.db")) as connection:
        assert connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall() == [("log",)]


@pytest.mark.parametrize("address", ["nowhere", "127.0.0.1:99999", "127.0.0.1:-1", "127.0.0.1:", ":7402", "", "127.0.0.1"])
async def test_an_address_that_cannot_be_served_is_named(tmp_path: Path, address: str) -> None:
    """Of either service, for the API and for operators alike; and everything that was opened is closed again."""
    prepare(tmp_path / "authority")
    for field in ("listen", "admin_listen"):
        if field == "admin_listen" and not address:
            continue  # off
        with pytest.raises(SettingError, match="cannot listen on"):
            await (await start_devices(devices_settings(tmp_path / "devices", **{field: address}))).stop()
        with pytest.raises(SettingError, match="cannot listen on"):
            await (await start_authority(settings_of(tmp_path / "authority", **{field: address}))).stop()
    await (await start_devices(devices_settings(tmp_path / "devices"))).stop()
    await (await start_authority(settings_of(tmp_path / "authority"))).stop()


# The wire


@pytest.mark.parametrize(
    "said", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\0" * 100_000]
)
async def test_who_speaks_no_grpc_does_no_harm(world: World, said: bytes) -> None:
    for address in (world.pair.authority.address, world.pair.devices.address):
        host, _, port = address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        with contextlib.suppress(OSError):  # hung up on meanwhile
            writer.write(said)
            await writer.drain()
            writer.write_eof()
            async with asyncio.timeout(10):
                await reader.read()
        writer.close()
    for path in ("/consentry.authority.v1.TokenService/WhoAmI", "/consentry.devices.v1.InventoryService/ListDevices"):
        assert (await world.call(path, good(world, path))).refusal is None


async def test_a_method_that_is_not_there(world: World) -> None:
    for channel in (world.pair.authority.channel, world.pair.channel):
        opened: Any = channel
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await opened.unary_unary("/consentry.authority.v1.KeyService/StealKey")(b"", metadata=bearer("x"))
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
