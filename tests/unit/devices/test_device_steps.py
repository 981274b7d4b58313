"""Steps against a reference that goes through the readings one by one, however blocks overlap and wherever reading pauses."""

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from consentry.devices.v1 import telemetry_pb2
from consentry_devices.blocks import columns
from consentry_devices.blocks.scan import Sensors, read_numbers
from consentry_devices.domain.state import Blocks, Position, State
from consentry_devices.history import steps
from consentry_devices.history.ranges import History, Place, Question
from consentry_devices.history.steps import Aggregate
from consentry_devices.log.entries import Log
from consentry_rule import CustomerId, Instant

NORTH = CustomerId("north")
Row = tuple[str, int, float | str]
ALL = frozenset(Aggregate)

values = st.floats(allow_nan=False, allow_infinity=False, width=64)
sensors = st.sampled_from(["a", "b", "load", "sensor-with-a-long-name"])
times = st.integers(0, 100)
readings = st.lists(st.tuples(sensors, times, values | st.text(max_size=3)), min_size=1, max_size=12)


@dataclass
class Engine:
    """Blocks in memory: the part of `State` that history in steps needs, `most` blocks at a time."""

    blocks: dict[str, list[tuple[Position, bytes]]]
    most: int = 1_000
    reads: int = 0

    @classmethod
    def of(cls, lots: Iterable[Sequence[Row]], *, device: str = "ups", most: int = 1_000) -> "Engine":
        """A device's blocks, numbered in this order."""
        stored = []
        for seq, rows in enumerate(lots, 1):
            table = columns.of_rows([(sensor, Instant(time), value) for sensor, time, value in rows])
            earliest, latest = table.span()
            payload = columns.encode(f"customers/north/devices/{device}", table, historical=False)
            stored.append((Position(earliest, latest, seq), payload))
        stored.sort(key=lambda block: _place(block[0]))
        return cls({device: stored}, most)

    async def telemetry_devices(self, customer: CustomerId, *, after: str, limit: int) -> Sequence[str]:
        return [device for device in sorted(self.blocks) if device > after][:limit]

    async def history(
        self, customer: CustomerId, device: str, start: int, end: int, *, after: Position, up_to: int, max_bytes: int
    ) -> Blocks:
        self.reads += 1
        stored = self.blocks.get(device, [])
        first = bisect_left(stored, (*_place(after)[:2], after.seq + 1), key=lambda block: _place(block[0]))
        found = [
            block
            for block in stored[first:]
            if block[0].min_time < end and block[0].max_time >= start and block[0].seq <= up_to
        ]
        some = found[: self.most]
        return Blocks(
            [place.min_time for place, _ in some],
            [place.max_time for place, _ in some],
            [place.seq for place, _ in some],
            [payload for _, payload in some],
            there_may_be_more=len(some) == self.most,
        )


def _place(position: Position) -> tuple[int, int, int]:
    return position.min_time, position.max_time, position.seq


async def told(
    engine: Engine,
    step: int,
    start: int = 0,
    end: int = 1_000,
    *,
    asked: Set[str] | None = None,
    opened_from: int = 0,
    begin: Place | None = None,
    up_to: int = 10**6,
    aggregates: Set[Aggregate] = ALL,
) -> list[telemetry_pb2.DeviceSteps]:
    """The tables of an answer."""
    wanted = None if asked is None else dict.fromkeys(engine.blocks, asked)
    question = Question(NORTH, wanted, Instant(start), Instant(end), up_to)
    history = History(cast("Log", None), cast("State", engine))
    chunks = history.read_steps(question, step, aggregates, opened_from=Instant(opened_from), begin=begin or question.beginning)
    return [telemetry_pb2.DeviceSteps.FromString(table) async for chunk in chunks for table in chunk.tables]


Told = tuple[int, str, float, float, float, float, int]


def rows_of(tables: Iterable[telemetry_pb2.DeviceSteps]) -> list[Told]:
    """The rows of tables: step, sensor, min, max, mean, last, count."""
    return [
        (time, table.sensors[index], *numbers)
        for table in tables
        for index, time, *numbers in zip(
            table.sensor_indexes, table.times_unix_nano, table.mins, table.maxs, table.means, table.lasts, table.counts,
            strict=True,
        )
    ]  # fmt: skip


def reference(lots: Iterable[Sequence[Row]], step: int, start: int, end: int, asked: Set[str] | None = None) -> list[Told]:
    """The same, one reading after the other."""
    cells: dict[tuple[int, str], list[tuple[int, int, int, float]]] = {}
    for seq, rows in enumerate(lots):
        for place, (sensor, time, value) in enumerate(rows):
            if start <= time < end and (asked is None or sensor in asked) and not isinstance(value, str):
                cells.setdefault((time // step * step, sensor), []).append((time, seq, place, value))
    found: list[Told] = []
    for (time, sensor), cell in sorted(cells.items()):
        numbers = [value for *_, value in cell]
        mean = float(sum(map(Fraction, numbers)) / len(numbers))
        found.append((time, sensor, min(numbers), max(numbers), mean, max(cell)[-1], len(numbers)))
    return found


def same(one: Sequence[Told], other: Sequence[Told]) -> bool:
    """Equal, but for the rounding of means: a mean that nearly cancels out is as good as the largest number in it."""
    return len(one) == len(other) and all(
        (a[:4], a[5:]) == (b[:4], b[5:])
        and math.isclose(a[4], b[4], rel_tol=1e-12, abs_tol=max(abs(b[2]), abs(b[3])) * 1e-13 + 1e-300)
        for a, b in zip(one, other, strict=True)
    )


@settings(max_examples=200, deadline=None)
@given(
    st.lists(readings, min_size=1, max_size=12),
    st.integers(1, 60),
    st.tuples(times, times),
    st.integers(1, 4),
    st.sampled_from([3, 10, 10_000]),
    st.none() | st.sets(sensors),
)
@example([[("a", 0, 1.7e308)], [("a", 1, 1.7e308)], [("a", 0, -1.7e308)]], 60, (0, 100), 1, 3, None)
@example(
    [[("a", 5, 1.0)], [("a", 5, 2.0), ("a", 5, 3.0)], [("b", 0, 0.0), ("a", 5, 4.0), ("a", 9, "text")]],
    10,
    (0, 100),
    1,
    3,
    None,
)
async def test_steps_are_what_the_readings_come_to(  # noqa: PLR0917 - hypothesis gives them in order
    lots: list[list[Row]], step: int, bounds: tuple[int, int], most: int, cells: int, asked: set[str] | None
) -> None:
    start, end = sorted(bounds)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(steps, "MOST_CELLS", cells)
        found = rows_of(await told(Engine.of(lots, most=most), step, start, end, asked=asked))
    assert same(found, reference(lots, step, start, end, asked)), (found, reference(lots, step, start, end, asked))


async def test_the_last_is_the_last_by_time_then_by_number_in_the_log() -> None:
    early, late = [("a", 5, 1.0), ("a", 7, 2.0)], [("a", 7, 3.0), ("a", 6, 4.0)]
    for lots, last in (([early, late], 3.0), ([late, early], 2.0)):
        for most in (1, 10):
            assert [row[5] for row in rows_of(await told(Engine.of(lots, most=most), 10))] == [last]


async def test_what_was_committed_later_is_left_out() -> None:
    engine = Engine.of([[("a", 1, 1.0)], [("a", 2, 2.0)]])
    assert rows_of(await told(engine, 10, up_to=1)) == [(0, "a", 1.0, 1.0, 1.0, 1.0, 1)]


async def test_nothing_older_than_what_is_open_is_in_a_step_that_began_before() -> None:
    engine = Engine.of([[("a", time, float(time)) for time in range(10, 40)]])
    assert rows_of(await told(engine, 10, opened_from=25)) == [
        (20, "a", 25.0, 29.0, 27.0, 29.0, 5),
        (30, "a", 30.0, 39.0, 34.5, 39.0, 10),
    ]


async def test_only_what_was_asked_for_has_a_column() -> None:
    (table,) = await told(Engine.of([[("a", 1, 1.0), ("b", 2, 2.0)]]), 10, aggregates={Aggregate.COUNT, Aggregate.MAX})
    assert [len(column) for column in (table.mins, table.maxs, table.means, table.lasts, table.counts)] == [0, 2, 0, 0, 2]
    assert table.device == "customers/north/devices/ups"


async def test_an_answer_goes_on_from_where_it_was_left() -> None:
    engine = Engine.of([[(f"s{sensor}", time, 1.0) for time in range(100)] for sensor in range(200)])
    engine.blocks["zz"] = Engine.of([[("a", 1, 1.0)]], device="zz").blocks["zz"]
    question = Question(NORTH, None, Instant(0), Instant(100), 10**6)
    history = History(cast("Log", None), cast("State", engine))

    async def chunks(begin: Place) -> list[Any]:
        return [chunk async for chunk in history.read_steps(question, 1, ALL, opened_from=Instant(0), begin=begin)]

    whole = await chunks(question.beginning)
    assert len(whole) > 3
    for number, chunk in enumerate(whole):
        rest = [table for one in await chunks(chunk.place) for table in one.tables]
        expected = [table for one in whole[number:] for table in one.tables]
        assert rest == expected


async def test_cells_that_are_not_settled_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks that all begin at once and reach far: what there is no room for is read again."""
    monkeypatch.setattr(steps, "MOST_CELLS", 50)
    lots = [[("a", 0, 0.0), *(("a", lot + 10 * number, 1.0) for number in range(1, 40))] for lot in range(10)]
    engine = Engine.of(lots, most=1)
    assert same(rows_of(await told(engine, 1)), reference(lots, 1, 0, 1_000))
    assert engine.reads > 30


@settings(deadline=None)
@given(st.lists(readings, min_size=1, max_size=8))
@example([[("a", 1, ""), ("sensor-with-a-long-name", 1, "")], [("a", 1, 0.0), ("b", 1, 0.0)]])
def test_the_numbers_of_many_blocks_are_those_of_each(lots: list[list[Row]]) -> None:
    payloads = [
        columns.encode(
            "customers/north/devices/ups", columns.of_rows([(s, Instant(t), v) for s, t, v in rows]), historical=late
        )
        for rows, late in zip(lots, [False, True] * len(lots), strict=False)
    ]
    known = Sensors(None)
    numbers = read_numbers(payloads, list(range(len(lots))), known)
    found = sorted(
        zip(numbers.seqs.tolist(), (known.ids[s] for s in numbers.sensors), numbers.times, numbers.values, strict=True)
    )
    assert found == sorted(
        (seq, s, t, v) for seq, rows in enumerate(lots) for s, t, v in rows if not isinstance(v, str)
    )  # fmt: skip
