"""A data folder, opened to serve from: looked at first, so that nobody serves by what does not belong together."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

from consentry_authority.commands.change_limits import ChangeLimits
from consentry_authority.secrets.format import ChecksumKeys
from consentry_authority.settings import AuthoritySettings
from consentry_authority.setup.audit_log import check_keys_fit, read_audit_keys
from consentry_authority.setup.first_start import read_checksum_keys
from consentry_authority.storage.logs.audit_reader import last_entry
from consentry_authority.storage.opening import check_checksum_keys, hold_head, open_existing, page_token_key
from consentry_authority.storage.ports import Storage, storage_on
from consentry_core.process.folders import FolderLock
from consentry_core.sql.database import Database
from consentry_core.values.clock import Clock


@dataclass(frozen=True)
class OpenedFolder:
    """What is in it. `shared_key` is one that all authorities on the database have."""

    storage: Storage
    database: Database
    checksum_keys: ChecksumKeys
    shared_key: bytes


def open_folder(
    settings: AuthoritySettings, clock: Clock, opened: contextlib.AsyncExitStack, *, asking: Callable[[], str]
) -> OpenedFolder:
    """Open it, until `opened` is closed. SettingError when it is not ready, or another authority uses it.

    1. The database is initialised, up to date, and no backup's copy.
    2. Nobody else serves from the folder.
    3. The keys of the audit log are those that it was written with, the checksum keys those of the live secrets.
    4. No commit has been lost since the folder was served from last.
    """
    engine = open_existing(settings.database_file)
    opened.callback(engine.dispose)
    opened.callback(FolderLock(settings.data_dir, "authority.lock", "authority").release)
    checksum_keys, audit_keys = read_checksum_keys(settings), read_audit_keys(settings)
    check_keys_fit(last_entry(engine), settings, audit_keys)
    database = Database(engine)
    opened.callback(database.close)
    database.write_now(lambda connection: check_checksum_keys(connection, checksum_keys.marks()))
    kept_head = hold_head(engine, settings.database_file)
    opened.callback(kept_head.close)
    limits = ChangeLimits(clock, burst=settings.changes_burst, per_second=settings.changes_per_second)
    storage = storage_on(database, clock, audit_keys, asking=asking, limits=limits, kept_head=kept_head)
    opened.callback(storage.store.close)
    return OpenedFolder(storage, database, checksum_keys, page_token_key(engine))
