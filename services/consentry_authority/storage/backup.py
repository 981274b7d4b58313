"""The copy of a database, as a backup holds it: marked, so that nobody serves by it as if nothing had happened since."""

from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from consentry_authority.storage.logs import audit as audit_rows
from consentry_authority.storage.schema import tables as t
from consentry_core.sql.kept_head import Head

_BACKUP_TIME: Final = "backup_time"


def mark_copy(file: Path, time: str) -> dict[str, Any]:
    """Mark a copy, by opening it as the authority would; what a manifest says of it."""
    engine = sa.create_engine(f"sqlite:///{file}")
    try:
        with engine.begin() as connection:
            connection.execute(sa.delete(t.settings).where(t.settings.c.name == _BACKUP_TIME))
            connection.execute(sa.insert(t.settings).values(name=_BACKUP_TIME, value=time))
            head, audit_head = head_of(connection), audit_rows.head(connection)
    finally:
        engine.dispose()
    log = {"number": audit_head.number, "digest": audit_head.digest}
    return {"kind": "authority", "revision": f"{head.history}.{head.number}", "audit_head": log}


def copied_at(connection: sa.Connection) -> str | None:
    """When the backup was made that this is; None for what is none, or was brought back to life by `consentry restored`."""
    found: str | None = connection.scalar(sa.select(t.settings.c.value).where(t.settings.c.name == _BACKUP_TIME))
    return found


def unmark(connection: sa.Connection) -> None:
    """It lives again."""
    connection.execute(sa.delete(t.settings).where(t.settings.c.name == _BACKUP_TIME))


def head_of(connection: sa.Connection) -> Head:
    """Where a database stands. Of one that is initialised."""
    row = connection.execute(sa.select(t.revision.c.epoch, t.revision.c.number)).one()
    return Head(row.epoch, row.number)
