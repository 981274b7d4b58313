"""Customers by the hundred thousand, written into an authority's database as many calls would have, some minutes faster."""

from collections.abc import Mapping
from pathlib import Path

import sqlalchemy as sa

from consentry_authority.commands.records import PartnerRecord
from consentry_authority.settings import AuthoritySettings
from consentry_authority.storage.schema import tables as t
from consentry_authority.storage.schema.rows import data_classes_text
from consentry_authority.storage.store import SqlStore
from consentry_core.values.clock import Clock, SystemClock
from consentry_rule import ALL_DATA_CLASSES, Instant, PartnerId
from support.stores import store_in

_EVERYTHING = {"data_classes": data_classes_text(ALL_DATA_CLASSES)}


def populate(folder: Path, sizes: Mapping[str, int]) -> None:
    """Partners by name, each with so many customers, all of them valid, in the database of a service that does not run."""
    clock = SystemClock()
    with store_in(AuthoritySettings(data_dir=folder), clock) as store:
        _fill(store, clock, sizes)


def _fill(store: SqlStore, clock: Clock, sizes: Mapping[str, int]) -> None:
    for name, count in sizes.items():
        partner, now = PartnerId(name), clock.now()
        record = PartnerRecord(partner, "", now)
        store.write_now(lambda transaction, record=record: transaction.partners.add(record))  # type: ignore[misc]
        ids = [f"c-{name}-{number:06d}" for number in range(count)]

        def insert(connection: sa.Connection, partner: PartnerId = partner, now: Instant = now, ids: list[str] = ids) -> None:
            customer = {"display_name": "", "create_time": now, "demo": False, "plan": "paid"}
            connection.execute(sa.insert(t.customers), [{"id": each, **customer} for each in ids])
            joined = {"partner": partner, "connect_time": now, "opened_number": 1, "closed_number": 0, "class_numbers": ""}
            connection.execute(sa.insert(t.connections), [{"customer": each, **joined} for each in ids])
            granted = {"partner": partner, "grant_time": now, "data_start_time": now, "purpose": "", **_EVERYTHING}
            connection.execute(sa.insert(t.consents), [{"customer": each, **granted} for each in ids])

        store._database.write_now(insert)
