"""The migrations lead to the tables."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from consentry_authority.enforcement.barriers import Speaker
from consentry_authority.storage.enforcement import members as enforcement
from consentry_authority.storage.schema.migrations import is_current, migrate
from consentry_authority.storage.schema.tables import (
    access_points,
    consents,
    field_numbers,
    key_listings,
    keys,
    metadata,
    partners,
)
from consentry_core.sql.database import open_sqlite
from consentry_core.values.errors import PermissionDenied
from consentry_rule import Instant


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    engine = open_sqlite(tmp_path / "authority.db")
    yield engine
    engine.dispose()


def test_the_migrated_schema_equals_the_metadata(engine: sa.Engine) -> None:
    migrate(engine)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []


def test_the_migrated_keys_and_checks_equal_the_metadatas(engine: sa.Engine, tmp_path: Path) -> None:
    """What the comparison above does not look at: primary keys in their order, and checks."""
    migrate(engine)
    made = open_sqlite(tmp_path / "made.db")
    metadata.create_all(made)
    assert _keys_and_checks(engine) == _keys_and_checks(made)
    made.dispose()


def test_a_database_knows_whether_it_is_current(engine: sa.Engine) -> None:
    assert not is_current(engine)
    migrate(engine)
    assert is_current(engine)


def test_migrating_twice_changes_nothing(engine: sa.Engine) -> None:
    migrate(engine)
    migrate(engine)
    assert is_current(engine)


def test_the_lists_of_older_keys_are_numbered_by_their_creation(engine: sa.Engine) -> None:
    """And by 0 where the history does not tell it."""
    migrate(engine, "0002")
    with engine.connect().execution_options(consentry_write=True) as connection, connection.begin():
        for statement in (
            "INSERT INTO partners VALUES ('acme', '', 0, FALSE)",
            "INSERT INTO customers VALUES ('north', '', 0, FALSE, NULL, NULL, NULL)",
            "INSERT INTO keys VALUES ('acme', 'k1', '', 'specific_customers', 0, '', NULL, FALSE, NULL, 1)",
            "INSERT INTO keys VALUES ('acme', 'k2', '', 'specific_customers', 0, '', NULL, FALSE, NULL, 1)",
            "INSERT INTO key_customers VALUES ('acme', 'k1', 'north'), ('acme', 'k2', 'north')",
            "INSERT INTO changes VALUES (7, 'partners/acme/keys/k1', 0, '', ''), (9, 'partners/acme/keys/k1', 0, '', '')",
        ):
            connection.exec_driver_sql(statement)
    migrate(engine)
    with engine.connect() as connection:
        listings = connection.execute(sa.select(key_listings).order_by(key_listings.c.key)).all()
        demo = connection.execute(sa.select(partners.c.demo_opened_number, partners.c.demo_closed_number)).one()
        lists = connection.execute(sa.select(keys.c.id, keys.c.customer_count, keys.c.list_number).order_by(keys.c.id)).all()
    assert [tuple(row) for row in listings] == [("acme", "k1", "north", 7, 7, 0), ("acme", "k2", "north", 0, 0, 0)]
    assert [tuple(row) for row in lists] == [("k1", 1, 7), ("k2", 1, 0)]
    assert tuple(demo) == (1, 0)


def test_consents_to_all_classes_name_those_that_there_were(engine: sa.Engine) -> None:
    migrate(engine, "0012")
    with engine.connect().execution_options(consentry_write=True) as connection, connection.begin():
        for statement in (
            "INSERT INTO partners (id, display_name, create_time, rehearsing) VALUES ('acme', '', 0, FALSE)",
            "INSERT INTO customers (id, display_name, create_time, demo) VALUES ('north', '', 0, FALSE)",
            "INSERT INTO customers (id, display_name, create_time, demo) VALUES ('south', '', 0, FALSE)",
            "INSERT INTO connections SELECT 'acme', id, 0, NULL, 1, 0, '' FROM customers WHERE NOT demo",
            "INSERT INTO consents SELECT id, 'acme', 0, NULL, 0, '', '', NULL FROM customers WHERE id = 'north'",
            "INSERT INTO consents SELECT id, 'acme', 0, NULL, 0, 'alarms', '', NULL FROM customers WHERE id = 'south'",
        ):
            connection.exec_driver_sql(statement)
    migrate(engine)
    with engine.connect() as connection:
        named = connection.execute(sa.select(consents.c.customer, consents.c.data_classes).order_by(consents.c.customer)).all()
    assert [tuple(row) for row in named] == [("north", "alarms,inventory,telemetry"), ("south", "alarms")]


def test_the_marks_of_fields_begin_with_the_last_change_before_them(engine: sa.Engine) -> None:
    migrate(engine, "0007")
    with engine.connect().execution_options(consentry_write=True) as connection, connection.begin():
        connection.exec_driver_sql("INSERT INTO revision VALUES (1, 'e', 7)")
    migrate(engine)
    with engine.connect() as connection:
        assert [tuple(row) for row in connection.execute(sa.select(field_numbers))] == [("", "", 7)]


def test_an_enforcement_point_from_before_is_whose_token_speaks_for_it_next(engine: sa.Engine) -> None:
    migrate(engine, "0008")
    with engine.connect().execution_options(consentry_write=True) as connection, connection.begin():
        connection.exec_driver_sql("INSERT INTO members VALUES ('i1', 'devices', 0, 3, NULL, NULL)")
        connection.exec_driver_sql("INSERT INTO access_points VALUES ('i1', 'devices', 5, 2, FALSE, 9)")
    migrate(engine)
    with engine.connect().execution_options(consentry_write=True) as connection, connection.begin():
        enforcement.grant(connection, Speaker("i1", "devices", "tokens/first"), None, Instant(7))
        with pytest.raises(PermissionDenied, match="another token's"):
            enforcement.grant(connection, Speaker("i1", "devices", "tokens/second"), None, Instant(8))
        point = connection.execute(sa.select(access_points)).one()
        assert (point.token, point.reported_until, point.last_number) == ("tokens/first", 5, 2)


def _keys_and_checks(engine: sa.Engine) -> dict[str, object]:
    inspector = sa.inspect(engine)
    return {
        name: (
            inspector.get_pk_constraint(name)["constrained_columns"],
            [check["sqltext"] for check in inspector.get_check_constraints(name)],
        )
        for name in metadata.tables
    }
