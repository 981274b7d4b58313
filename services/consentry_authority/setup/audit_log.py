"""The audit log for who runs the authority: its key file, and what `consentry audit` does with the data folder.

Verifying reads the database as it is, also while an authority runs on it, and changes nothing.
"""

import contextlib
import itertools
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from consentry_authority.audit.chain import FIRST_DIGEST, AuditKeys, Entry, Head, Sealed, verify
from consentry_authority.secrets.key_file import make_keys, read_keys
from consentry_authority.settings import AuthoritySettings
from consentry_authority.storage.backup import head_of
from consentry_authority.storage.logs import audit as rows
from consentry_authority.storage.logs.audited_state import AuditedState
from consentry_authority.storage.opening import open_existing
from consentry_core.process.settings import SettingError
from consentry_core.sql.database import Database
from consentry_core.sql.kept_head import behind, noted
from consentry_core.values.clock import SECOND, Clock, SystemClock
from consentry_core.values.encoding import RandomBytes
from consentry_rule import Instant

_DAY: Final = 24 * 3600 * SECOND


def read_audit_keys(settings: AuthoritySettings) -> AuditKeys:
    """The keys of the log. SettingError when there are none."""
    lost = "put the audit keys back; a folder that never had an audit log gets one from `consentry migrate`"
    return AuditKeys(read_keys(settings.audit_keys_file, lost=lost, own=settings.audit_key_file is None))


def read_or_make_audit_keys(settings: AuthoritySettings, random: RandomBytes) -> AuditKeys:
    """The keys of the log; a new one when there is no file yet."""
    make_keys(settings.audit_keys_file, random)
    return read_audit_keys(settings)


def check_keys_fit(engine: sa.Engine, settings: AuthoritySettings, keys: AuditKeys) -> None:
    """SettingError when the log was written with a key that is not in the file: what came now would not be of one chain."""
    with engine.connect() as connection, connection.begin():
        last = next(rows.entries(connection, after=rows.head(connection).number - 1), None)
    if last is not None and not keys.knows(last.key_id):
        raise SettingError(
            f"the audit log's last entry was sealed with key {last.key_id}, which is not in {settings.audit_keys_file}; "
            "put that key back, a new one goes before it"
        )


def problems(settings: AuthoritySettings, heads: Sequence[Head], files: Sequence[Path] = ()) -> tuple[Head, list[str]]:
    """The log's end, and what is wrong with its chain, its end, whether it tells of every change, and with what it tells of.

    `files`: what was exported and removed, in order. With them the log is read from its first entry; without, from where it
    begins now, and what no entry has touched since is not looked at.
    """
    keys = read_audit_keys(settings)
    before = noted(settings.database_file)
    with _reading(settings) as connection:
        head, base = rows.head(connection), rows.base(connection)
        told = behind(settings.database_file, head_of(connection), before)
        if files:
            base = Head(0, FIRST_DIGEST)
        last, state = base.number, AuditedState(whole=base.number == 0)

        def counted() -> Iterator[Sealed]:
            nonlocal last
            for sealed in _all_entries(files, connection):
                last = sealed.entry.number
                state.take(sealed.entry)
                yield sealed

        found = [told] if told else []
        found += verify(keys, counted(), [head, *heads] if head.number else heads, base)
        if last > head.number:
            found.append(f"the log ends with entry {last}, and the database says {head.number}: entries were added")
        found += [f"change {number} of the history has no entry" for number in rows.unwritten_changes(connection)]
        found += [f"entry {number} is not where its customers look for it" for number in rows.misfiled(connection)]
        found += state.differences(connection)
    return head, found


def export(
    settings: AuthoritySettings, file: Path, *, older_than: int = 0, remove: bool = False, clock: Clock | None = None
) -> Head | None:
    """Write the entries that are older than so many days to a new file, and verify what was written; None when there are none.

    `remove` takes them out of the database then, a piece at a time; also while an authority runs on it. SettingError when the
    chain does not fit: nothing is removed.
    """
    now, keys = (clock or SystemClock()).now(), read_audit_keys(settings)
    with _reading(settings) as connection:
        base = rows.base(connection)
        last = rows.last_before(connection, Instant(now - older_than * _DAY + 1))
        if last is None:
            return None
        with os.fdopen(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8") as written:
            for sealed in itertools.takewhile(lambda each: each.entry.number <= last.number, rows.entries(connection)):
                written.write(json.dumps(asdict(sealed)) + "\n")
            written.flush()
            os.fsync(written.fileno())
    # What of the former beginnings its entries say is in them, or in what is kept.
    found = [line for line in verify(keys, read_exported(file), [last], base) if not line.startswith("the log begins")]
    if found:
        raise SettingError(f"{file} does not fit the chain, and nothing was removed: {found[0]}")
    if remove:
        engine = open_existing(settings.database_file)
        database = Database(engine)
        try:
            database.write_now(lambda connection: rows.begin_after(connection, keys, last, now))
            while database.write_now(rows.remove_exported):
                pass
        finally:
            database.close()
    return last


def read_exported(file: Path) -> Iterator[Sealed]:
    """The entries in a file that `export` has written. SettingError for any other."""
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            try:
                said = json.loads(line)
                yield Sealed(Entry(**said["entry"]), said["key_id"], said["digest"])
            except (ValueError, KeyError, TypeError) as error:
                raise SettingError(f"{file} holds no entries of an audit log; `consentry audit export` writes them") from error


def _all_entries(files: Sequence[Path], connection: sa.Connection) -> Iterator[Sealed]:
    last = 0
    for sealed in itertools.chain.from_iterable(map(read_exported, files)):
        last = sealed.entry.number
        yield sealed
    yield from rows.entries(connection, after=last)


def export_head(settings: AuthoritySettings) -> Head:
    """The log's end."""
    with _reading(settings) as connection:
        return rows.head(connection)


def entries(settings: AuthoritySettings, *, after: int) -> Iterator[Sealed]:
    """The log, those after a number."""
    with _reading(settings) as connection:
        yield from rows.entries(connection, after=after)


@contextlib.contextmanager
def _reading(settings: AuthoritySettings) -> Iterator[sa.Connection]:
    engine = open_existing(settings.database_file, copy=True)
    try:
        with engine.connect() as connection, connection.begin():
            yield connection
    finally:
        engine.dispose()
