"""The migrations lead to the tables."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from consentry_authority.storage.migrations import is_current, migrate
from consentry_authority.storage.tables import metadata
from consentry_core.database import open_sqlite


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


def _keys_and_checks(engine: sa.Engine) -> dict[str, object]:
    inspector = sa.inspect(engine)
    return {
        name: (
            inspector.get_pk_constraint(name)["constrained_columns"],
            [check["sqltext"] for check in inspector.get_check_constraints(name)],
        )
        for name in metadata.tables
    }
