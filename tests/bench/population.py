"""Customers by the hundred thousand, written into an authority's database as many calls would have, some minutes faster."""

from collections.abc import Mapping
from pathlib import Path

import sqlalchemy as sa

from consentry_authority.commands.records import PartnerRecord
from consentry_authority.settings import AuthoritySettings
from consentry_authority.setup.audit_log import read_audit_keys
from consentry_authority.storage.schema import tables as t
from consentry_authority.storage.schema.rows import data_classes_text
from consentry_authority.storage.store import SqlStore
from consentry_core.sql.database import Database, open_sqlite
from consentry_core.values.clock import SystemClock
from consentry_rule import ALL_DATA_CLASSES, PartnerId

_EVERYTHING = {"data_classes": data_classes_text(ALL_DATA_CLASSES)}


def populate(folder: Path, sizes: Mapping[str, int]) -> None:
    """Partners by name, each with so many customers, all of them valid, in the database of a service that does not run."""
    engine = open_sqlite(folder / "authority.db")
    clock = SystemClock()
    store = SqlStore(Database(engine), clock, read_audit_keys(AuthoritySettings(data_dir=folder)))
    for name, count in sizes.items():
        partner, now = PartnerId(name), clock.now()
        record = PartnerRecord(partner, "", now)
        store.write_now(lambda transaction, record=record: transaction.partners.add(record))  # type: ignore[misc]
        ids = [f"c-{name}-{number:06d}" for number in range(count)]
        with engine.connect().execution_options(consentry_write=True) as connection, connection.begin():
            customer = {"display_name": "", "create_time": now, "demo": False, "plan": "paid"}
            connection.execute(sa.insert(t.customers), [{"id": each, **customer} for each in ids])
            joined = {"partner": partner, "connect_time": now, "opened_number": 1, "closed_number": 0, "class_numbers": ""}
            connection.execute(sa.insert(t.connections), [{"customer": each, **joined} for each in ids])
            granted = {"partner": partner, "grant_time": now, "data_start_time": now, "purpose": "", **_EVERYTHING}
            connection.execute(sa.insert(t.consents), [{"customer": each, **granted} for each in ids])
    store.close()
