"""The beginning of the audit log, exported and removed: what is left is still verified, and so is what was exported."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from consentry_authority.audit.chain import EntryKind
from consentry_authority.commands.ports import Transaction
from consentry_authority.commands.records import PartnerRecord
from consentry_authority.settings import AuthoritySettings
from consentry_authority.setup.audit_log import entries, export, export_head, problems, read_exported
from consentry_authority.setup.first_start import initialize
from consentry_core.process.settings import SettingError
from consentry_core.sql.database import open_sqlite
from consentry_rule import PartnerId
from support.authority import settings_of
from support.clocks import FakeClock
from support.stores import store_in

DAY = 24 * 3600


@pytest.fixture
def settings(tmp_path: Path) -> AuthoritySettings:
    settings = settings_of(tmp_path / "authority")
    initialize(settings, clock=FakeClock())
    return settings


@pytest.fixture
def clock(settings: AuthoritySettings) -> Iterator[FakeClock]:
    """After thirty days on each of which a partner came."""
    clock = FakeClock()
    with store_in(settings, clock) as store:
        for number in range(30):
            clock.advance(DAY)
            store.write_now(lambda tx, number=number: _add(tx, f"partner-{number:02}"))  # type: ignore[misc]
        yield clock


def _add(tx: Transaction, partner: str) -> None:
    tx.partners.add(PartnerRecord(PartnerId(partner), "", tx.now))


def test_what_is_left_and_what_was_exported_are_verified(settings: AuthoritySettings, clock: FakeClock, tmp_path: Path) -> None:
    before, head = list(entries(settings, after=0)), export_head(settings)
    files = [tmp_path / "first.jsonl", tmp_path / "second.jsonl"]
    for file, older_than in zip(files, (20, 10), strict=True):
        last = export(settings, file, older_than=older_than, remove=True, clock=clock)
        assert last is not None
        assert problems(settings, [head])[1] == []
        assert problems(settings, [head, last], files[: files.index(file) + 1])[1] == []
    exported = [sealed for file in files for sealed in read_exported(file)]
    kept = list(entries(settings, after=0))
    assert exported == before[: len(exported)]
    assert [sealed.entry.number for sealed in kept] == list(range(len(exported) + 1, len(before) + 3))
    assert [sealed.entry.kind for sealed in kept[-2:]] == [EntryKind.EXPORTED] * 2
    assert files[0].stat().st_mode & 0o077 == 0


def test_without_remove_nothing_goes_and_a_file_is_never_overwritten(
    settings: AuthoritySettings, clock: FakeClock, tmp_path: Path
) -> None:
    before = list(entries(settings, after=0))
    assert export(settings, tmp_path / "all.jsonl", clock=clock) == export_head(settings)
    assert list(entries(settings, after=0)) == before == list(read_exported(tmp_path / "all.jsonl"))
    with pytest.raises(FileExistsError):
        export(settings, tmp_path / "all.jsonl", clock=clock)
    assert export(settings, tmp_path / "none.jsonl", older_than=365, clock=clock) is None
    assert not (tmp_path / "none.jsonl").exists()


def _execute(settings: AuthoritySettings, *statements: str) -> None:
    engine = open_sqlite(settings.database_file)
    with engine.connect().execution_options(consentry_write=True) as connection, connection.begin():
        for statement in statements:
            connection.exec_driver_sql(statement)
    engine.dispose()


def test_a_beginning_that_was_not_exported_cannot_be_removed(settings: AuthoritySettings, clock: FakeClock) -> None:
    with pytest.raises(sa.exc.IntegrityError):
        _execute(settings, "DELETE FROM audit WHERE number < 5")


def test_a_beginning_that_was_cut_off_is_found(settings: AuthoritySettings, clock: FakeClock, tmp_path: Path) -> None:
    """By whoever can write to the database, the row that says where the log begins included."""
    export(settings, tmp_path / "first.jsonl", older_than=20, remove=True, clock=clock)
    cut = (
        "UPDATE audit_base SET number = 15, digest = (SELECT digest FROM audit WHERE number = 15)",
        "DELETE FROM audit_customers WHERE number <= 15",
        "DELETE FROM audit WHERE number <= 15",
    )
    _execute(settings, *cut)
    assert any("its beginning was cut off" in finding for finding in problems(settings, [])[1])
    assert any("are missing" in finding for finding in problems(settings, [], [tmp_path / "first.jsonl"])[1])


def test_a_changed_entry_is_not_exported_and_nothing_is_removed(
    settings: AuthoritySettings, clock: FakeClock, tmp_path: Path
) -> None:
    _execute(settings, "DROP TRIGGER audit_no_update", "UPDATE audit SET actor = 'tokens/other' WHERE number = 7")
    before = list(entries(settings, after=0))
    with pytest.raises(SettingError, match="entry 7"):
        export(settings, tmp_path / "first.jsonl", remove=True, clock=clock)
    assert list(entries(settings, after=0)) == before


def test_a_changed_line_of_a_file_is_found(settings: AuthoritySettings, clock: FakeClock, tmp_path: Path) -> None:
    file = tmp_path / "first.jsonl"
    export(settings, file, older_than=20, remove=True, clock=clock)
    file.write_text(file.read_text().replace("partner-03", "partner-99"))
    assert any("does not fit its digest" in finding for finding in problems(settings, [], [file])[1])
    file.write_text("no entries")
    with pytest.raises(SettingError, match="holds no entries"):
        problems(settings, [], [file])
