"""A database's first start: its epoch, its own random keys, and the demo customer."""

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from consentry_authority.audit.chain import AuditKeys, EntryKind
from consentry_authority.setup.data_folder import check_own
from consentry_authority.storage.backup import copied_at, head_of, unmark
from consentry_authority.storage.enforcement.members import EVERYTHING, open_receipt
from consentry_authority.storage.history import wanted
from consentry_authority.storage.logs.audit import Note, append
from consentry_authority.storage.schema import tables as t
from consentry_authority.storage.schema.migrations import is_current, migrate
from consentry_core.process.settings import SettingError
from consentry_core.sql.database import open_sqlite
from consentry_core.sql.kept_head import Head, KeptHead, behind
from consentry_core.values import names
from consentry_core.values.encoding import RandomBytes, base64url, from_base64url, new_public_id
from consentry_rule import Instant

_PUT_BACK: Final = "put the former key's line back into the file of checksum keys, below the newest"
_PAGE_TOKEN_KEY: Final = "page_token_key"  # noqa: S105 - the name of a setting


def open_history(connection: sa.Connection, random: RandomBytes, now: Instant) -> None:
    """Give a migrated database what every one of them has. What is there already stays as it is."""
    if connection.scalar(sa.select(t.revision.c.number)) is None:
        connection.execute(sa.insert(t.revision).values(id=1, epoch=new_public_id(random), number=0))
    if connection.scalar(sa.select(t.settings.c.value).where(t.settings.c.name == _PAGE_TOKEN_KEY)) is None:
        connection.execute(sa.insert(t.settings).values(name=_PAGE_TOKEN_KEY, value=base64url(random(32))))
    if connection.scalar(sa.select(t.customers.c.id).where(t.customers.c.id == names.DEMO_CUSTOMER)) is None:
        connection.execute(
            sa.insert(t.customers).values(id=names.DEMO_CUSTOMER, display_name="Demo customer", create_time=now, demo=True)
        )


def open_existing(file: Path, *, copy: bool = False) -> sa.Engine:
    """A database that is initialised and up to date. SettingError, saying which command to run, for any other.

    Also for a backup's copy, as long as nobody has said that it was put back; `copy`: one is looked at only.
    """
    engine = _open(file)
    try:
        _check_ready(engine, file)
        if not copy:
            _refuse_copy(engine, file)
    except sa.exc.DatabaseError as error:
        engine.dispose()
        raise SettingError(f"{file} cannot be read as a database ({error.orig})") from error
    except SettingError:
        engine.dispose()
        raise
    return engine


def migrate_existing(file: Path) -> None:
    """Bring an initialised database to the newest schema."""
    engine = _open(file)
    try:
        migrate(engine)
    finally:
        engine.dispose()


def begin_new_epoch(file: Path, audit_keys: AuditKeys, random: RandomBytes, now: Instant) -> None:
    """A backup was put back: from here on it is another history, whose numbers mean nothing in the former one.

    Whoever served by the former history is not among the members of this one, and may hold a lease for a while. A member that
    will never answer stands for all of them: barriers wait for it, as for any that is silent, until no such lease is usable.
    And what the backup denies may have been allowed since, in what was lost: beginning anew is itself a change that takes
    access away, from anybody. Until that is enforced nothing counts as enforced, whichever change brought it about.
    """
    engine = _open(file)
    try:
        with engine.connect().execution_options(consentry_write=True) as connection, connection.begin():
            began = sa.update(t.revision).values(epoch=new_public_id(random), number=t.revision.c.number + 1)
            number = connection.execute(began.returning(t.revision.c.number)).scalar_one()
            open_receipt(connection, number, now, "", [EVERYTHING])
            wanted.begin_anew(connection, number)
            former = f"before-{new_public_id(random)}"
            row = {"incarnation": former, "service": "served before the restore", "join_time": now, "leases": 0}
            connection.execute(sa.insert(t.members).values(row))
            note = Note(time=now, kind=EntryKind.CHANGE, method="consentry restored", outcome="OK", document="{}")
            append(connection, audit_keys, [note])
            unmark(connection)
            head = head_of(connection)
        with contextlib.closing(KeptHead(file)) as kept_head:
            kept_head.write(head)
    finally:
        engine.dispose()


def hold_head(engine: sa.Engine, file: Path) -> KeptHead:
    """The note of where the database stands, to be kept from now on. SettingError when it says that commits were lost."""
    kept_head = KeptHead(file)
    try:
        with engine.connect() as connection, connection.begin():
            kept_head.require(head_of(connection))
    except BaseException:
        kept_head.close()
        raise
    return kept_head


def refuse_behind(engine: sa.Engine, file: Path, noted: Head | None) -> None:
    """SettingError for a database, initialised or not, that has lost commits by what was noted before it was opened."""
    with engine.connect() as connection, connection.begin():
        head = head_of(connection) if connection.scalar(sa.select(t.revision.c.number)) is not None else Head("", 0)
    told = behind(file, head, noted)
    if told:
        raise SettingError(told)


def _open(file: Path) -> sa.Engine:
    check_own(file.parent)
    if not file.exists():
        raise _not_initialized(file)
    return open_sqlite(file)


def _check_ready(engine: sa.Engine, file: Path) -> None:
    if not is_current(engine):
        raise SettingError(f"the database {file} has an older schema; run `consentry migrate --data-dir {file.parent}`")
    with engine.connect() as connection, connection.begin():
        if connection.scalar(sa.select(t.revision.c.number)) is None:
            raise _not_initialized(file)


def _refuse_copy(engine: sa.Engine, file: Path) -> None:
    with engine.connect() as connection, connection.begin():
        copied = copied_at(connection)
    if copied is not None:
        raise SettingError(
            f"{file} is a backup of {copied}: what was changed since is not in it; "
            f"run `consentry restored --data-dir {file.parent}`"
        )


def _not_initialized(file: Path) -> SettingError:
    folder = file.parent
    return SettingError(f"the data folder {folder} is not initialised; run `consentry init --data-dir {folder}`")


def check_checksum_keys(connection: sa.Connection, marks: Mapping[str, str]) -> None:
    """Hold the configured checksum keys, by their marks, to those that this database's secrets were made with.

    SettingError for one that is not what it was, and when one is missing that a live secret names: nobody could use that
    secret, and nobody would be told why. A new one is kept from now on; one that nothing names any more is let go.
    """
    columns = t.checksum_keys.c
    kept = {row.id: row.mark for row in connection.execute(sa.select(t.checksum_keys))}
    for key_id, mark in kept.items():
        if marks.get(key_id, mark) != mark:
            raise SettingError(f"the checksum key {key_id} is not the one that secrets were made with; {_PUT_BACK}")
        if key_id in marks:
            continue
        live = sa.select(sa.func.count()).select_from(t.secrets).where(t.secrets.c.argon2_hash.is_not(None))
        named = sa.or_(t.secrets.c.checksum_key == key_id, t.secrets.c.checksum_key.is_(None))
        secrets = connection.execute(live.where(named)).scalar_one()
        if secrets:
            raise SettingError(
                f"the checksum key {key_id}, that {secrets} live secrets were made with, is missing; {_PUT_BACK}"
            )
        connection.execute(sa.delete(t.checksum_keys).where(columns.id == key_id))
    new = [{"id": key_id, "mark": mark} for key_id, mark in marks.items() if key_id not in kept]
    if new:
        connection.execute(sa.insert(t.checksum_keys), new)


def page_token_key(engine: sa.Engine) -> bytes:
    """The key that all replicas on this database make page tokens, and proofs of verification, with."""
    with engine.connect() as connection, connection.begin():
        text = connection.scalar(sa.select(t.settings.c.value).where(t.settings.c.name == _PAGE_TOKEN_KEY))
    key = from_base64url(text or "")
    if not key:
        raise SettingError("the database has lost its page token key; run `consentry init` again")
    return key
