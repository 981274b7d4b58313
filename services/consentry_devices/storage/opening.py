"""Opening the store: what it is called, where its log stands, and the new run that alone writes it from now on."""

from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from consentry_core.sql.kept_head import Head
from consentry_core.values.clock import Clock
from consentry_core.values.encoding import RandomBytes, new_public_id
from consentry_devices.log.engine import Opened
from consentry_devices.log.runs import Runs
from consentry_devices.storage import tables
from consentry_devices.storage.inserting import upsert
from consentry_rule import Instant


@dataclass(frozen=True, slots=True)
class OpenedStore:
    """A store at the moment when it was opened."""

    log: Opened
    page_token_key: bytes = field(repr=False)
    cursor_key: bytes = field(repr=False)


def open_run(connection: sa.Connection, clock: Clock, random: RandomBytes) -> OpenedStore:
    """Begin a run. Whoever had the store open before is fenced: its appender writes nothing more."""
    row = _store(connection, clock, random)
    run = {"first_seq": row.tail + 1, "name": new_public_id(random)}
    upsert(connection, tables.runs, [run])  # in the place of one that wrote nothing
    connection.execute(sa.update(tables.store).values(run=run["name"]))
    runs = connection.execute(sa.select(tables.runs).order_by(tables.runs.c.first_seq)).all()
    log = Opened(
        store_id=row.id,
        runs=Runs([(first, name) for first, name in runs]),
        first=connection.scalar(sa.select(sa.func.min(tables.log.c.seq))) or row.tail + 1,
        tail=row.tail,
        take_time=Instant(row.take_time),
    )
    return OpenedStore(log, row.page_token_key, row.cursor_key)


def head_of(connection: sa.Connection) -> Head | None:
    """Where a store's log stands; None for one that was never opened."""
    row = connection.execute(sa.select(tables.store.c.id, tables.store.c.tail)).one_or_none()
    return None if row is None else Head(row.id, row.tail)


def _store(connection: sa.Connection, clock: Clock, random: RandomBytes) -> sa.Row[Any]:
    query = sa.select(tables.store)
    row = connection.execute(query).one_or_none()
    if row is None:
        new = {
            "id": new_public_id(random),
            "create_time": clock.now(),
            "page_token_key": random(32),
            "cursor_key": random(32),
            "tail": 0,
            "take_time": 0,
            "run": "",
            "checked_from": 1,
        }
        connection.execute(sa.insert(tables.store), new)
        row = connection.execute(query).one()
    return row
