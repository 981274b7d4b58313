"""`consentry backup`, the authority's part: the database, and the keys without which it is worth nothing. No token is in it."""

from consentry_authority.settings import AuthoritySettings
from consentry_authority.setup.audit_log import check_keys_fit, read_audit_keys
from consentry_authority.setup.first_start import read_checksum_keys
from consentry_authority.storage.backup import mark_copy
from consentry_authority.storage.opening import check_checksum_keys, open_existing
from consentry_core.process.files import read_text
from consentry_core.sql.backups import Backup


def back_up(settings: AuthoritySettings, backup: Backup, time: str) -> None:
    """Add the authority of a data folder, which may be serving. SettingError when it could not serve by the copy."""
    checksum_keys, audit_keys = read_checksum_keys(settings), read_audit_keys(settings)
    engine = open_existing(settings.database_file)
    try:
        check_keys_fit(engine, settings, audit_keys)
        with engine.connect() as connection, connection.begin() as looked_at:
            check_checksum_keys(connection, checksum_keys.marks())
            looked_at.rollback()
    finally:
        engine.dispose()
    copy = backup.database(settings.database_file)
    backup.describe(copy.name, mark_copy(copy, time))
    for file, name in ((settings.checksum_keys_file, "checksum.key"), (settings.audit_keys_file, "audit.key")):
        backup.file(name, read_text(file, "key file"))
