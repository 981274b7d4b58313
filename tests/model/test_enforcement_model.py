"""The promises P1 to P4, whatever the network, the clocks and the processes do.

A run is a list of numbers, each one thing that happens (`model.steps`); what holds at every moment is in `model.checks`.
`make model` makes a hundred times as many runs.
"""

import os

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from model.steps import HIGHEST, TROUBLES, run, told
from model.world import World

ORDINARY = 250
RUNS = ORDINARY * int(os.environ.get("CONSENTRY_MODEL_TIMES", "1"))

numbers = st.lists(st.integers(0, HIGHEST), min_size=15, max_size=60)


@pytest.mark.parametrize("trouble", TROUBLES)
def test_the_promises_hold(trouble: str) -> None:
    @settings(max_examples=RUNS, database=None, derandomize=RUNS == ORDINARY)  # `make model` looks for new ones
    @given(numbers)
    def model(numbers: list[int]) -> None:
        note(told(trouble, numbers))
        run(World(), trouble, numbers)

    model()


@pytest.mark.xfail(reason="found and not mended yet: an end takes effect some milliseconds late where a machine was paused")
def test_an_end_after_a_pause_of_the_machine() -> None:
    run(World(), "everything", [0, 0, 0, 0, 0, 0, 0, 62, 11709, 580994, 0, 0, 0, 0, 488])
