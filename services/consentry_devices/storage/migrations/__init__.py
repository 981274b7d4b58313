"""The way from an empty database, or an older one, to `storage.tables`. Run from the program: `migrate`."""

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory


def migrate(engine: sa.Engine, to: str = "head") -> None:
    """Bring the database to the newest schema, or to an older one, in one transaction. Does nothing when it is there."""
    with engine.connect().execution_options(consentry_write=True) as connection, connection.begin():
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, to)


def is_current(engine: sa.Engine) -> bool:
    """Whether the database has the newest schema."""
    with engine.connect() as connection:
        found = MigrationContext.configure(connection).get_current_heads()
    return set(found) == set(ScriptDirectory.from_config(_config()).get_heads())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config
