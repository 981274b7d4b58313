"""Fixtures that tests of several folders share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from support import leaks
from support.agents import recorded_agents
from support.leaks import Leaks
from support.postgres import database_url, postgres

__all__ = ["database_url", "postgres", "recorded_agents"]

# An example that takes long tells of a busy machine, and nothing of the product.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


@pytest.fixture(scope="session")
def watched() -> Iterator[Leaks]:
    """What looks for secrets, for as long as tests run."""
    with pytest.MonkeyPatch.context() as patch:
        yield from leaks.watching(patch)


@pytest.fixture(autouse=True)
def no_secret_is_left(request: pytest.FixtureRequest, watched: Leaks) -> Iterator[None]:
    """After every test: no secret in what it has logged, refused, or left in its folder. Torn down after all else."""
    folder: Path | None = request.getfixturevalue("tmp_path") if "tmp_path" in request.fixturenames else None
    watched.take()
    watched.listen()
    yield
    if folder is not None:
        watched.look_through(folder)
    leaks.assert_none(watched.take())
