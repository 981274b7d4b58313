"""The search for secrets finds them, wherever they are, and nothing else."""

import logging
import secrets
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from consentry_authority.secrets.format import KEY_PREFIXES, TOKEN_PREFIX, ChecksumKeys
from consentry_core.rpc.server.refusing import refusal_of, refuse
from consentry_core.values.errors import NotFound
from support.leaks import Leaks

KEYS = ChecksumKeys([secrets.token_bytes(32)])


class _EndedError(Exception):
    """The call."""


class _Context:
    """As much of a call as is needed to refuse it."""

    def trailing_metadata(self) -> tuple[()]:
        return ()

    async def abort(self, *_told: object) -> None:
        raise _EndedError


def random_part(secret: str) -> str:
    return secret.split("_")[-2]


@pytest.mark.parametrize("prefix", [*KEY_PREFIXES.values(), TOKEN_PREFIX])
def test_a_secret_in_a_file_is_found_whole_and_in_part(prefix: str, tmp_path: Path) -> None:
    leaks, secret = Leaks(), KEYS.make(prefix, secrets.token_bytes).text
    file = tmp_path / "deep" / "service.log"
    file.parent.mkdir()
    file.write_text(f"a call with {secret} came in")
    leaks.look_through(tmp_path)
    assert leaks.take() == ["deep/service.log"]
    file.write_text(f"a call with {random_part(secret)} came in")
    leaks.look_through(tmp_path)
    assert leaks.take() == []  # nobody knows that it is one
    leaks.made(secret)
    leaks.look_through(tmp_path)
    assert leaks.take() == ["deep/service.log"]
    file.write_text(f"a call of {secret[:20]}... came in")
    leaks.made(secret)
    leaks.look_through(tmp_path)
    assert leaks.take() == []
    file.unlink()


def test_what_a_token_file_holds_is_found_elsewhere(tmp_path: Path) -> None:
    leaks, secret = Leaks(), KEYS.make(TOKEN_PREFIX, secrets.token_bytes).text
    (tmp_path / "operator.token").write_text(secret + "\n")
    leaks.look_through(tmp_path)
    assert leaks.take() == []
    with closing(sqlite3.connect(tmp_path / "authority.db")) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE secrets (text)")
        connection.execute("INSERT INTO secrets VALUES (?)", (random_part(secret),))
        connection.commit()
        leaks.look_through(tmp_path)
        assert leaks.take() == ["authority.db-wal"]
    (tmp_path / "authority.db").unlink()


async def test_a_secret_in_a_log_line_or_a_refusal_is_found(watched: Leaks) -> None:
    secret = KEYS.make(TOKEN_PREFIX, secrets.token_bytes).text
    logging.getLogger("consentry_core").warning("what is %s?", secret)
    with pytest.raises(_EndedError):
        await refuse(_Context(), refusal_of(NotFound(f"there is no {random_part(secret)}")), answers_once=True)  # type: ignore[arg-type]
    assert watched.take() == ["a line of consentry_core", "a refusal: NotFound"]
