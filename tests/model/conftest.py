"""How long the model runs, and how small the pieces are in it."""

import os
from collections.abc import Iterator

import pytest

from consentry_authority.enforcement import following
from consentry_guard.follow import follower

TIMES = int(os.environ.get("CONSENTRY_MODEL_TIMES", "1"))
"""How many times the ordinary number of runs; `make model` sets it."""


@pytest.fixture(autouse=True, scope="module")  # not beyond: other tests have pieces of the real size
def small_pieces() -> Iterator[None]:
    """So few facts and names in a message that a handful takes several."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(following, "PIECE", 2)
        patch.setattr(following, "PIECES", 1)
        patch.setattr(follower, "NAMES_PER_INTEREST", 2)
        yield
