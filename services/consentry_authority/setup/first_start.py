"""The first start: database, keys, demo customer, and tokens for whoever runs this and for the services themselves.

Done again, it adds what is missing and overwrites nothing. Killed at any moment, it is mended by being done again: a file is
written under another name (`.new`) and renamed, and a token's file gets its name once the database has the token:

1. The secret is written to `operator.token.new`.
2. The database commits the token.
3. The file is renamed to `operator.token`.

Killed before 2, the file holds a secret that nobody knows, and is written anew; before 3, one that counts, and is renamed.
"""

import contextlib
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from consentry_authority.admission.authentication import SecretMaker
from consentry_authority.commands.ports import Transaction
from consentry_authority.commands.records import TokenRecord
from consentry_authority.secrets.format import TOKEN_PREFIX, ChecksumKeys
from consentry_authority.secrets.hashing import Passwords
from consentry_authority.secrets.key_file import (
    KEY_BYTES,
    make_keys,
    pending_name,
    prepare_private,
    put_in_place,
    read_keys,
    sync_folder,
)
from consentry_authority.settings import AuthoritySettings
from consentry_authority.setup.audit_log import read_or_make_audit_keys
from consentry_authority.setup.data_folder import check_own
from consentry_authority.storage.opening import (
    begin_new_epoch,
    check_checksum_keys,
    migrate_existing,
    open_history,
    refuse_behind,
)
from consentry_authority.storage.schema.migrations import migrate
from consentry_authority.storage.store import Origin, Store
from consentry_core.process.files import read_credential, read_text
from consentry_core.process.folders import FolderLock
from consentry_core.process.settings import SettingError
from consentry_core.sql.database import Database, open_sqlite
from consentry_core.sql.kept_head import noted
from consentry_core.values import names
from consentry_core.values.clock import Clock, SystemClock
from consentry_core.values.encoding import RandomBytes, base64url, new_public_id
from consentry_rule import TokenRole

OPERATOR_TOKEN = "operator.token"  # noqa: S105 - the name of a file
DEVICES_TOKEN = "devices.token"  # noqa: S105 - likewise
GATEWAY_TOKEN = "demo-gateway.token"  # noqa: S105 - likewise


@dataclass(frozen=True, slots=True)
class _Issue:
    file: str
    role: TokenRole
    organization: str
    display_name: str
    audience: str = ""


_ISSUES = (
    _Issue(OPERATOR_TOKEN, TokenRole.OPERATOR, "", "Operator, made by `consentry init`"),
    _Issue(DEVICES_TOKEN, TokenRole.SERVICE, "", "Device-data service, made by `consentry init`", "devices"),
    _Issue(
        GATEWAY_TOKEN,
        TokenRole.GATEWAY,
        names.CUSTOMER.format(names.DEMO_CUSTOMER),
        "Demo customer's gateway, made by `consentry init`",
    ),
)


def initialize(settings: AuthoritySettings, *, clock: Clock | None = None, random: RandomBytes = secrets.token_bytes) -> Path:
    """Prepare the data folder, and return the file with the operator's token.

    SettingError when a file in it holds a token that the database does not know: the two do not belong together, and
    overwriting either would lose something.
    """
    check_own(settings.data_dir)
    with contextlib.ExitStack() as opened:
        opened.callback(FolderLock(settings.data_dir, "init.lock", "`consentry init`").release)
        make_keys(settings.checksum_keys_file, random)
        checksum_keys = read_checksum_keys(settings)
        audit_keys = read_or_make_audit_keys(settings, random)
        clock = clock or SystemClock()
        head = noted(settings.database_file)
        engine = open_sqlite(settings.database_file)
        opened.callback(engine.dispose)
        migrate(engine)
        refuse_behind(engine, settings.database_file, head)
        database = Database(engine)
        store = Store(database, clock, audit_keys)
        opened.callback(store.close)
        passwords = Passwords(settings.cost, random)
        opened.callback(passwords.close)
        database.write_now(lambda connection: open_history(connection, random, clock.now()))
        database.write_now(lambda connection: check_checksum_keys(connection, checksum_keys.marks()))
        maker = SecretMaker(checksum_keys, passwords, random)
        with _undone_on_error() as made:
            issued = store.write_now(
                lambda transaction: _issue_tokens(
                    transaction, settings.data_dir, checksum_keys, maker, random=random, made=made
                ),
                origin=Origin(method="consentry init"),
            )
        for file in issued.value:
            put_in_place(pending_name(file), file)
    return settings.data_dir / OPERATOR_TOKEN


def migrate_database(settings: AuthoritySettings, *, random: RandomBytes = secrets.token_bytes) -> None:
    """Bring an initialised database to the newest schema, and its folder to what goes with it."""
    migrate_existing(settings.database_file)
    read_or_make_audit_keys(settings, random)


def restored(settings: AuthoritySettings, *, clock: Clock | None = None, random: RandomBytes = secrets.token_bytes) -> None:
    """A backup was put back into the data folder: bring it to the newest schema, and begin a new epoch.

    Not while an authority runs on it: SettingError.
    """
    clock = clock or SystemClock()
    check_own(settings.data_dir)
    lock = FolderLock(settings.data_dir, "authority.lock", "authority")
    try:
        migrate_existing(settings.database_file)
        audit_keys = read_or_make_audit_keys(settings, random)
        begin_new_epoch(settings.database_file, audit_keys, random, clock.now())
    finally:
        lock.release()


def rotate_checksum_key(settings: AuthoritySettings, *, random: RandomBytes = secrets.token_bytes) -> Path:
    """Put a new checksum key before the others, and return the file. From the next start on new secrets are made with it."""
    file = settings.checksum_keys_file
    check_own(settings.data_dir)
    read_checksum_keys(settings)
    former = read_text(file, "key file", own=settings.checksum_key_file is None)
    prepare_private(file, base64url(random(KEY_BYTES)) + "\n" + former).replace(file)
    sync_folder(file.parent)
    return file


def read_checksum_keys(settings: AuthoritySettings) -> ChecksumKeys:
    """The keys that `initialize` made, or whoever runs several authorities put there. SettingError when there are none."""
    file = settings.checksum_keys_file
    lost = "put the checksum keys back: without them no secret is recognised"
    keys = read_keys(file, lost=lost, own=settings.checksum_key_file is None)
    if settings.checksum_key_file is None and file.stat().st_mode & 0o077:
        raise SettingError(
            f"{file} can be read by others than its owner; run `chmod 600 {file}`, and rotate the key if it was read"
        )
    return ChecksumKeys(keys)


def _issue_tokens(
    transaction: Transaction,
    folder: Path,
    checksum_keys: ChecksumKeys,
    maker: SecretMaker,
    *,
    random: RandomBytes,
    made: list[Path],
) -> list[Path]:
    """The files to put in place once this is committed; `made` tells of what was written for it, as it is."""
    issued = []
    for issue in _ISSUES:
        file = folder / issue.file
        if os.path.lexists(file):
            if not _knows(transaction, file, checksum_keys):
                raise SettingError(
                    f"{file} holds a token that this folder's database does not know; move the file away and run "
                    "`consentry init` again"
                )
            continue
        issued.append(file)
        if _was_committed(transaction, pending_name(file), checksum_keys):
            continue
        text, secret = maker.make_now(TOKEN_PREFIX)
        token = TokenRecord(
            id=new_public_id(random),
            role=issue.role,
            organization=issue.organization,
            display_name=issue.display_name,
            create_time=transaction.now,
            creator="",
            hint=secret.hint,
            audience=issue.audience,
        )
        transaction.tokens.add(token, secret)
        made.append(prepare_private(file, text + "\n"))
    return issued


@contextlib.contextmanager
def _undone_on_error() -> Iterator[list[Path]]:
    """Collects files; removes them when what they tell of was not committed."""
    made: list[Path] = []
    try:
        yield made
    except BaseException:
        for file in made:
            file.unlink(missing_ok=True)
        raise


def _was_committed(transaction: Transaction, pending: Path, checksum_keys: ChecksumKeys) -> bool:
    """Whether an `init` that was killed has left a token there that counts."""
    try:
        return os.path.lexists(pending) and _knows(transaction, pending, checksum_keys)
    except SettingError:  # half written
        return False


def _knows(transaction: Transaction, file: Path, checksum_keys: ChecksumKeys) -> bool:
    public_id = checksum_keys.public_id(read_credential(file, own=True))
    stored = None if public_id is None else transaction.facts.secret(public_id)
    return stored is not None and stored.argon2_hash is not None
