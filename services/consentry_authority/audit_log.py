"""The audit log for who runs the authority: its key file, and what `consentry audit` does with the data folder.

Verifying reads the database as it is, also while an authority runs on it, and changes nothing.
"""

import contextlib
from collections.abc import Iterator, Sequence

import sqlalchemy as sa

from consentry_authority.audit.chain import AuditKeys, Head, Sealed, verify
from consentry_authority.key_file import make_keys, read_keys
from consentry_authority.settings import AuthoritySettings
from consentry_authority.storage import audit as rows
from consentry_authority.storage.audited_state import AuditedState
from consentry_authority.storage.backup import head_of
from consentry_authority.storage.opening import open_existing
from consentry_core.encoding import RandomBytes
from consentry_core.kept_head import behind, noted
from consentry_core.settings import SettingError


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


def problems(settings: AuthoritySettings, heads: Sequence[Head]) -> tuple[Head, list[str]]:
    """The log's end, and what is wrong with its chain, its end, whether it tells of every change, and with what it tells of."""
    keys = read_audit_keys(settings)
    before = noted(settings.database_file)
    with _reading(settings) as connection:
        head = rows.head(connection)
        told = behind(settings.database_file, head_of(connection), before)
        last, state = 0, AuditedState()

        def counted() -> Iterator[Sealed]:
            nonlocal last
            for sealed in rows.entries(connection):
                last = sealed.entry.number
                state.take(sealed.entry)
                yield sealed

        found = [told] if told else []
        found += verify(keys, counted(), [head, *heads] if head.number else heads)
        if last > head.number:
            found.append(f"the log ends with entry {last}, and the database says {head.number}: entries were added")
        found += [f"change {number} of the history has no entry" for number in rows.unwritten_changes(connection)]
        found += [f"entry {number} is not where its customers look for it" for number in rows.misfiled(connection)]
        found += state.differences(connection)
    return head, found


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
