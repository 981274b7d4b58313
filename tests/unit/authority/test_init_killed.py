"""`consentry init`, killed at every step, and done again."""

import subprocess
import sys
from pathlib import Path

import sqlalchemy as sa

from consentry_authority.app import initialize
from consentry_authority.setup.first_start import read_checksum_keys
from consentry_authority.storage.schema.tables import metadata
from consentry_core.sql.database import open_sqlite
from support.authority import read_token, settings_of

TOKENS = ("operator", "devices", "demo-gateway")
TESTS = Path(__file__).parents[2]


def test_whenever_it_is_killed_doing_it_again_mends_it(tmp_path: Path) -> None:
    """Each file is there, holds what counts, and nothing is left that only looks like it."""
    command = [sys.executable, "-m", "support.killed_init", str(tmp_path)]
    steps = int(subprocess.run(command, check=True, capture_output=True, text=True, cwd=TESTS).stdout)
    folders = sorted(folder for folder in tmp_path.iterdir() if folder.is_dir())
    assert steps > 40
    assert len(folders) >= steps
    midway = {"a key's": 0, "a token's": 0}
    for folder in folders:
        midway["a key's"] += any(folder.glob("*.key.new"))
        midway["a token's"] += any(folder.glob("*.token.new"))
        settings = settings_of(folder)
        initialize(settings)
        engine = open_sqlite(settings.database_file)
        with engine.connect() as connection:
            live = set(connection.execute(sa.select(metadata.tables["secrets"].c.id)).scalars())
            tokens = connection.execute(sa.select(sa.func.count()).select_from(metadata.tables["tokens"])).scalar_one()
        engine.dispose()
        held = {read_checksum_keys(settings).public_id(read_token(folder, name)) for name in TOKENS}
        assert (len(held), held, tokens) == (3, live, 3), folder.name
        assert list(folder.glob("*.new")) == [], folder.name
    assert min(midway.values()) > 2, "it was killed there, too"
