"""Which blocks a time range has, against a list that is looked through; and that a late range does not look at early ones."""

import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consentry_core.values.clock import SECOND
from consentry_devices.domain.state import BEGINNING, Position
from consentry_devices.log.entries import Kind
from consentry_devices.storage import tables
from consentry_devices.storage.blocks import read_blocks
from consentry_devices.storage.checksums import of_entry, of_place
from consentry_devices.storage.spans import LONGEST, span_class
from consentry_devices.storage.store import Store, open_store
from consentry_rule import Instant
from support.clocks import FakeClock
from support.device_frames import NORTH, PlainEncoder

_HOUR = 3600 * SECOND
_spans = st.sampled_from(
    [0, SECOND, _HOUR, _HOUR + 1, 30 * _HOUR, 600 * _HOUR, 24**3 * _HOUR + 1, 24**4 * _HOUR, 24**4 * _HOUR + 1]
)
_times = st.integers(0, 100).map(lambda number: number * _HOUR // 2)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = open_store(tmp_path, encoder=PlainEncoder(), clock=FakeClock(), random=secrets.token_bytes)
    yield store
    await store.close()


def _row(seq: int, min_time: int, max_time: int, device: str = "ups") -> dict[str, object]:
    payload = b"%d" % seq
    place = of_place(NORTH, Kind.TELEMETRY.value, device)
    return {
        "seq": seq, "customer": NORTH, "data_class": "telemetry", "kind": Kind.TELEMETRY.value, "device": device,
        "min_time": min_time, "max_time": max_time, "span_class": span_class(min_time, max_time), "take_time": 0,
        "historical": False, "payload": payload, "checksum": of_entry(place, seq, min_time, max_time, payload),
    }  # fmt: skip


def test_every_span_has_a_class() -> None:
    for number, longest in enumerate(LONGEST[:-1]):
        assert (span_class(0, longest), span_class(0, longest + 1)) == (number, number + 1)
    assert span_class(-(2**63), 2**63 - 1) == len(LONGEST) - 1


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(_times, _spans), max_size=15), st.tuples(_times, _times), st.integers(1, 5), st.integers(0, 16))
async def test_a_range_has_the_blocks_that_reach_into_it_in_order(
    store: Store, stored: list[tuple[int, int]], bounds: tuple[int, int], most: int, up_to: int
) -> None:
    start, end = bounds
    logged = [_row(seq, begin, begin + span) for seq, (begin, span) in enumerate(stored, 1)]
    expected = sorted(
        (begin, begin + span, seq)
        for seq, (begin, span) in enumerate(stored, 1)
        if begin < end and begin + span >= start and seq <= up_to
    )
    found: list[tuple[int, int, int]] = []
    with store.database.engine.connect() as connection:
        if logged:
            connection.execute(sa.insert(tables.log), [*logged, _row(99, start, end, device="other")])
        after: Position | None = BEGINNING
        while after is not None:
            blocks = read_blocks(
                connection, NORTH, "ups", Instant(start), Instant(end), after=after, up_to=up_to, max_bytes=most
            )
            found += zip(blocks.min_times, blocks.max_times, blocks.seqs, strict=True)
            assert [b"%d" % seq for seq in blocks.seqs] == list(blocks.payloads)
            after = blocks.end if blocks.there_may_be_more else None
        connection.rollback()
    assert found == expected


async def test_a_late_range_costs_no_more_than_an_early_one(store: Store) -> None:
    """Counted in SQLite's own steps. One block that spans a year does not change it."""
    minute, count = 60 * SECOND, 20_000
    minutely = [_row(seq, seq * minute, seq * minute + SECOND) for seq in range(1, count)]
    year = _row(count, 0, 365 * 24 * _HOUR)

    def cost(connection: sa.Connection, start: int) -> int:
        steps = 0

        def step() -> None:
            nonlocal steps
            steps += 1

        driver = connection.connection.driver_connection
        assert driver is not None
        driver.set_progress_handler(step, 10)
        blocks = read_blocks(
            connection, NORTH, "ups", Instant(start), Instant(start + _HOUR), after=BEGINNING, up_to=count, max_bytes=10**6
        )
        driver.set_progress_handler(None, 0)
        assert len(blocks) == 62  # the year, and one that reaches into the hour
        return steps

    with store.database.engine.connect() as connection:
        connection.execute(sa.insert(tables.log), [*minutely, year])
        early, late = cost(connection, 2 * _HOUR + 1), cost(connection, (count - 100) * minute + 1)
        connection.rollback()
    assert late < 1.5 * early
