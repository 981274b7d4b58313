"""What the contract suites are run against."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.stores import ENGINES, StoreUnderTest


@pytest.fixture(params=ENGINES)
def opened_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StoreUnderTest]:
    """A new store of the authority on each engine, with nothing in it but the demo customer."""
    with ENGINES[request.param](tmp_path) as opened:
        yield opened
