"""The first start: database, keys, demo customer, and tokens for whoever runs this and for the services themselves.

Done again, it adds what is missing and overwrites nothing.
"""

import contextlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from consentry_authority.audit_log import read_or_make_audit_keys
from consentry_authority.authentication import SecretMaker
from consentry_authority.commands.ports import Transaction
from consentry_authority.commands.records import TokenRecord
from consentry_authority.key_file import KEY_BYTES, make_keys, read_keys, write_private
from consentry_authority.passwords import Passwords
from consentry_authority.secret import TOKEN_PREFIX, ChecksumKeys
from consentry_authority.settings import AuthoritySettings
from consentry_authority.storage.migrations import migrate
from consentry_authority.storage.opening import begin_new_epoch, check_checksum_keys, migrate_existing, open_history
from consentry_authority.storage.store import Origin, Store
from consentry_core import names
from consentry_core.clock import Clock, SystemClock
from consentry_core.database import Database, check_writable, open_sqlite
from consentry_core.encoding import RandomBytes, base64url, new_public_id
from consentry_core.folders import FolderLock
from consentry_core.settings import SettingError
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
    check_writable(settings.data_dir)
    make_keys(settings.checksum_keys_file, random)
    checksum_keys = read_checksum_keys(settings)
    audit_keys = read_or_make_audit_keys(settings, random)
    clock = clock or SystemClock()
    engine = open_sqlite(settings.database_file)
    migrate(engine)
    database = Database(engine)
    store = Store(database, clock, audit_keys)
    passwords = Passwords(settings.cost, random)
    try:
        database.write_now(lambda connection: open_history(connection, random, clock.now()))
        database.write_now(lambda connection: check_checksum_keys(connection, checksum_keys.marks()))
        maker = SecretMaker(checksum_keys, passwords, random)
        with _undone_on_error() as made:
            store.write_now(
                lambda transaction: _issue_tokens(
                    transaction, settings.data_dir, checksum_keys, maker, random=random, made=made
                ),
                origin=Origin(method="consentry init"),
            )
    finally:
        passwords.close()
        store.close()
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
    read_checksum_keys(settings)
    new = file.with_name(f"{file.name}.new")
    new.unlink(missing_ok=True)
    write_private(new, base64url(random(KEY_BYTES)) + "\n" + file.read_text())
    new.replace(file)
    return file


def read_checksum_keys(settings: AuthoritySettings) -> ChecksumKeys:
    """The keys that `initialize` made, or whoever runs several authorities put there. SettingError when there are none."""
    file = settings.checksum_keys_file
    lost = "put the checksum keys back: without them no secret is recognised"
    keys = read_keys(file, lost=lost)
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
) -> None:
    for issue in _ISSUES:
        file = folder / issue.file
        if file.exists():
            _check_known(transaction, file, checksum_keys)
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
        write_private(file, text + "\n")
        made.append(file)


def _check_known(transaction: Transaction, file: Path, checksum_keys: ChecksumKeys) -> None:
    public_id = checksum_keys.public_id(file.read_text().strip())
    stored = None if public_id is None else transaction.facts.secret(public_id)
    if stored is None or stored.argon2_hash is None:
        raise SettingError(
            f"{file} holds a token that this folder's database does not know; move the file away and run `consentry init` again"
        )


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
