"""The way from an empty database, or an older one, to `storage.tables`. Run from the program: `migrate`."""

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from consentry_core.sql.database import refuse_newer


def migrate(engine: sa.Engine, to: str = "head") -> None:
    """Bring the database to the newest schema, or to an older one, in one transaction. Does nothing when it is there.

    SettingError when its schema is newer than this program.
    """
    with engine.connect().execution_options(consentry_write=True) as connection, connection.begin():
        config = _config()
        _refuse_newer(connection, config)
        config.attributes["connection"] = connection
        command.upgrade(config, to)


def is_current(engine: sa.Engine) -> bool:
    """Whether the database has the newest schema. SettingError for one that is newer still."""
    with engine.connect() as connection:
        _refuse_newer(connection, _config())
        found = MigrationContext.configure(connection).get_current_heads()
    return set(found) == set(ScriptDirectory.from_config(_config()).get_heads())


def _refuse_newer(connection: sa.Connection, config: Config) -> None:
    found = MigrationContext.configure(connection).get_current_heads()
    known = (script.revision for script in ScriptDirectory.from_config(config).walk_revisions())
    refuse_newer(found, known, connection.engine.url.database)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config
