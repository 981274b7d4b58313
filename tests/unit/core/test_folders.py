"""Data folders: whatever others could have put there, or could put there, is refused by name before anything is read."""

import errno
import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from consentry_authority.app import initialize, migrate_database, restored, rotate_checksum_key, start
from consentry_authority.setup.audit_log import export_head
from consentry_core.process import folders
from consentry_core.process.folders import FolderLock
from consentry_core.process.lifecycle import check_writable
from consentry_core.process.settings import SettingError
from consentry_devices.rpc.converters import WireEncoder
from consentry_devices.settings import DevicesSettings
from consentry_devices.storage.store import open_store
from consentry_gateway.outbox.outbox import Outbox
from support.authority import prepare, settings_of
from support.clocks import FakeClock

NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


async def serve(folder: Path) -> None:
    await (await start(settings_of(folder))).stop()


async def open_devices(folder: Path) -> None:
    await open_store(folder, encoder=WireEncoder(), clock=FakeClock(), random=os.urandom).close()


async def open_outbox(folder: Path) -> None:
    Outbox(folder, os.urandom).close()


def at_once(call: Callable[[Path], object]) -> Callable[[Path], object]:
    async def called(folder: Path) -> None:
        call(folder)

    return called


OPENING = {
    "authority": serve,
    "init": at_once(lambda folder: initialize(settings_of(folder))),
    "migrate": at_once(lambda folder: migrate_database(settings_of(folder))),
    "restored": at_once(lambda folder: restored(settings_of(folder))),
    "rotate-checksum-key": at_once(lambda folder: rotate_checksum_key(settings_of(folder))),
    "audit": at_once(lambda folder: export_head(settings_of(folder))),
    "devices": open_devices,
    "gateway": open_outbox,
}
"""Everything that opens a data folder."""


def another_may_write(folder: Path) -> str:
    folder.chmod(0o777)
    return "can be written by others"


def another_made_it(folder: Path) -> str:
    os.chown(folder, NOBODY, NOBODY)
    return rf"belongs to user {NOBODY}.*run it as"


def another_may_rename_it(folder: Path) -> str:
    folder.parent.chmod(0o777)
    return f"the folder {folder.parent}, above the data folder"


def another_owns_what_it_is_in(folder: Path) -> str:
    os.chown(folder.parent, NOBODY, NOBODY)
    return f"the folder {folder.parent}, above the data folder {folder}, belongs to user {NOBODY}"


FOLDERS = [another_may_write, another_may_rename_it] + ([another_made_it, another_owns_what_it_is_in] * (os.geteuid() == 0))


@pytest.mark.parametrize("spoil", FOLDERS, ids=lambda spoil: spoil.__name__)
@pytest.mark.parametrize("program", OPENING)
async def test_a_folder_that_is_not_ours_alone_is_refused(tmp_path: Path, program: str, spoil: Callable[[Path], str]) -> None:
    folder = tmp_path / "above" / "data"
    prepare(folder)
    said = spoil(folder)
    before = {file: file.lstat().st_mtime_ns for file in folder.iterdir()}
    with pytest.raises(SettingError, match=said):
        await OPENING[program](folder)  # type: ignore[misc] # all of them are coroutines
    assert {file: file.lstat().st_mtime_ns for file in folder.iterdir()} == before


def link(file: Path) -> str:
    elsewhere = file.parent.parent / f"elsewhere-{file.name}"
    if file.exists():
        file.rename(elsewhere)
    else:
        elsewhere.touch()
    file.symlink_to(elsewhere)
    return "symbolic link"


def hard_link(file: Path) -> str:
    file.touch()
    os.link(file, file.parent.parent / f"elsewhere-{file.name}")
    return "hard links"


def pipe(file: Path) -> str:
    file.unlink(missing_ok=True)
    os.mkfifo(file)
    return "pipe"


def for_all(file: Path) -> str:
    file.touch()
    file.chmod(0o666)
    return "can be written by others"


def anothers(file: Path) -> str:
    file.touch()
    os.chown(file, NOBODY, NOBODY)
    return f"belongs to user {NOBODY}"


PLANTING = [link, hard_link, pipe, for_all] + [anothers] * (os.geteuid() == 0)
FILES = {
    "authority": ("authority.db", "authority.db-wal", "authority.lock", "checksum.key", "audit.key", "operator.token"),
    "init": ("authority.db", "checksum.key", "audit.key", "operator.token", "devices.token.new", "init.lock"),
    "audit": ("authority.db", "audit.key"),
    "restored": ("authority.db", "authority.lock", "audit.key"),
    "rotate-checksum-key": ("checksum.key", "checksum.key.new"),
    "devices": ("devices.db", "devices.db-wal", "devices.lock", "accesses"),
    "gateway": ("pending.sqlite3", "pending.sqlite3-wal"),
}


@pytest.mark.parametrize("plant", PLANTING, ids=lambda plant: plant.__name__)
@pytest.mark.parametrize("program", FILES)
async def test_what_was_planted_in_it_is_refused_by_name(tmp_path: Path, program: str, plant: Callable[[Path], str]) -> None:
    for name in FILES[program]:
        folder = tmp_path / name / "data"
        prepare(folder)
        said = plant(folder / name)
        with pytest.raises(SettingError, match=said) as refused:
            await OPENING[program](folder)  # type: ignore[misc] # likewise
        assert str(folder / name) in refused.value.message


@as_root
async def test_nobody_makes_itself_an_operator(tmp_path: Path) -> None:
    """By a database of its own, with a token in it that it knows, in a folder that it may write to."""
    folder, own = tmp_path / "data", tmp_path / "own"
    prepare(own)
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    for file in own.iterdir():
        file.rename(folder / file.name)
        os.chown(folder / file.name, NOBODY, NOBODY)
    with pytest.raises(SettingError, match="can be written by others"):
        initialize(settings_of(folder))
    folder.chmod(0o700)
    with pytest.raises(SettingError, match=f"belongs to user {NOBODY}"):
        initialize(settings_of(folder))


async def test_the_devices_token_in_the_folder_is_no_link(tmp_path: Path) -> None:
    """One that is named by a setting may be: Kubernetes gives secrets so."""
    prepare(tmp_path / "data")
    token = tmp_path / "data" / "devices.token"
    link(token)
    with pytest.raises(SettingError, match="symbolic link"):
        DevicesSettings(data_dir=tmp_path / "data").own_token()
    assert DevicesSettings(token_file=token).own_token().startswith("ct_")


def test_a_group_that_is_ours_alone_is_nobody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The private groups of many systems, and what Kubernetes makes of a volume with `fsGroup`."""
    tmp_path.chmod(0o770)
    members: set[int] = set()
    monkeypatch.setattr(folders, "_has_others", lambda group, user: bool(members - {0, user}))
    check_writable(tmp_path)
    members.add(4711)
    with pytest.raises(SettingError, match="can be written by others"):
        check_writable(tmp_path)


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.EWOULDBLOCK, "another authority uses"),
        (errno.ENOLCK, "gives no locks"),
        (errno.EOPNOTSUPP, "gives no locks"),
        (errno.EROFS, "gives no locks"),
        (errno.EIO, "gives no locks"),
    ],
)
def test_a_file_system_without_locks_is_told_from_another_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, said: str
) -> None:
    def flock(descriptor: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(SettingError, match=said) as refused:
        FolderLock(tmp_path, "authority.lock", "authority")
    assert ("another authority" in refused.value.message) == (number == errno.EWOULDBLOCK)


def test_an_outbox_that_is_taken_is_told_from_one_that_is_none(tmp_path: Path) -> None:
    first = Outbox(tmp_path, os.urandom)
    with pytest.raises(SettingError, match="another gateway uses it"):
        Outbox(tmp_path, os.urandom)
    first.close()
    (tmp_path / "pending.sqlite3").write_bytes(b"no database" * 1000)
    with pytest.raises(SettingError, match="file is not a database") as refused:
        Outbox(tmp_path, os.urandom)
    assert "another gateway" not in refused.value.message


def test_a_lock_that_cannot_be_opened_says_why(tmp_path: Path) -> None:
    (tmp_path / "authority.lock").mkdir()
    with pytest.raises(SettingError, match=r"authority\.lock cannot be opened \(Is a directory\)"):
        FolderLock(tmp_path, "authority.lock", "authority")
