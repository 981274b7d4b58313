"""What readings come to per step of time: smallest, largest, mean, last, count, for each sensor.

A *cell* is one sensor's share of one step. Cells can be merged: a reading is a cell of itself, and the cells of two lots of
readings make those of both. So a range is folded lot by lot, in the order in which its blocks begin, and a step is settled
once a block begins after it. What is not settled yet is carried on, and there is a bound to it (`MOST_CELLS`).
"""

from collections.abc import Sequence, Set
from dataclasses import dataclass, fields
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from consentry_devices.many_blocks import Floats, Integers, Numbers, Sensors, read_numbers
from consentry_devices.state import Blocks
from consentry_devices.twins import TWIN_STEPS
from consentry_rule import Instant

MOST_CELLS = 200_000
"""So many cells that are not settled are carried on, at some 70 bytes each. What lies further in the future is read again."""

# Numbers are summed up this much smaller, and so never to infinity. A power of two takes nothing from their precision.
_SCALE = 2.0**-40


class Aggregate(Enum):
    """What to say of a step."""

    MIN = "mins"
    MAX = "maxs"
    MEAN = "means"
    LAST = "lasts"
    COUNT = "counts"


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Cells as columns. `steps`: whole steps since the epoch.

    The last is the last by time, then by number in the log, then by place in the block: `last_times` and `last_seqs` say of
    when it is, and of which entry of the log.
    """

    steps: Integers
    sensors: Integers
    counts: Integers
    sums: Floats
    mins: Floats
    maxs: Floats
    lasts: Floats
    last_times: Integers
    last_seqs: Integers

    def __len__(self) -> int:
        return len(self.steps)

    def at(self, places: "NDArray[np.bool_] | slice") -> "Cells":
        """Some of them."""
        return Cells(*(getattr(self, column.name)[places] for column in fields(self)))


_INTEGERS, _FLOATS = np.empty(0, np.int64), np.empty(0, np.float64)
NO_CELLS = Cells(_INTEGERS, _INTEGERS, _INTEGERS, _FLOATS, _FLOATS, _FLOATS, _FLOATS, _INTEGERS, _INTEGERS)


def cells_of(numbers: Numbers, step: int) -> Cells:
    """Each reading as a cell of itself."""
    values = numbers.values
    ones = np.ones(len(values), np.int64)
    return Cells(
        numbers.times // step, numbers.sensors, ones, values * _SCALE, values, values, values, numbers.times, numbers.seqs
    )  # fmt: skip


def merged(*lots: Cells) -> Cells:
    """One cell for each sensor and step, by step, then by sensor."""
    cells = Cells(*(np.concatenate([getattr(lot, column.name) for lot in lots]) for column in fields(Cells)))
    if not len(cells):
        return cells
    # One number for both, so that one sort will do. Steps are at least a millisecond, so there is room for a million sensors.
    place = (cells.steps - cells.steps.min()) * (cells.sensors.max() + 1) + cells.sensors
    order = np.argsort(place, kind="stable")
    place, cells = place[order], Cells(*(getattr(cells, column.name)[order] for column in fields(cells)))
    is_first = np.append(True, place[1:] != place[:-1])
    first = np.flatnonzero(is_first)
    last = _last(np.cumsum(is_first) - 1, first, cells)
    return Cells(
        cells.steps[first],
        cells.sensors[first],
        np.add.reduceat(cells.counts, first),
        np.add.reduceat(cells.sums, first),
        np.minimum.reduceat(cells.mins, first),
        np.maximum.reduceat(cells.maxs, first),
        cells.lasts[last],
        cells.last_times[last],
        cells.last_seqs[last],
    )


def _last(run: Integers, first: Integers, cells: Cells) -> Integers:
    """The place of each run's last reading. `run` numbers the runs of equal cells, `first` says where they begin."""
    latest = np.maximum.reduceat(cells.last_times, first)
    of_latest = np.flatnonzero(cells.last_times == latest[run])
    if len(of_latest) > len(first):  # several readings of one time
        of_latest = of_latest[np.lexsort((cells.last_seqs[of_latest], run[of_latest]))]
    of_runs = run[of_latest]
    last: Integers = of_latest[np.append(of_runs[1:] != of_runs[:-1], True)]
    return last


class Folding:
    """One device's readings of [start, end) on their way into steps; None of `asked`: all its sensors.

    `end` falls when more cells would have to be carried than there is room for: the rest is for another folding, from there on.
    """

    def __init__(self, step: int, start: Instant, end: Instant, asked: Set[str] | None) -> None:
        self.end = end
        self.sensors = Sensors(asked)
        self._step = step
        self._start = start
        self._open = NO_CELLS

    def take(self, blocks: Blocks) -> Cells:
        """Fold blocks in, in their order; returns the cells of the steps that no later block has anything of."""
        numbers = self._inside(read_numbers(blocks.payloads, blocks.seqs, self.sensors))
        self._open = merged(self._open, cells_of(numbers, self._step))
        is_settled = self._open.steps < blocks.min_times[-1] // self._step
        settled, self._open = self._open.at(is_settled), self._open.at(~is_settled)
        self._make_room()
        return settled

    def finish(self) -> Cells:
        """The cells that are left: no block follows that has anything before `end`."""
        return self._open

    def _inside(self, numbers: Numbers) -> Numbers:
        keep = (numbers.times >= self._start) & (numbers.times < self.end)
        return Numbers(numbers.sensors[keep], numbers.times[keep], numbers.values[keep], numbers.seqs[keep])

    def _make_room(self) -> None:
        """Let go of the later half when there are too many, but never of the first step."""
        if len(self._open) <= MOST_CELLS:
            return
        steps = self._open.steps
        cut = max(int(steps[MOST_CELLS // 2]), int(steps[0]) + 1)
        self._open = self._open.at(steps < cut)
        self.end = min(self.end, Instant(cut * self._step))


def encode(device: str, sensors: Sequence[str], cells: Cells, step: int, aggregates: Set[Aggregate]) -> bytes:
    """A serialised `DeviceSteps`, ordered by time, then by sensor id. `device` is its name; of cells that are not empty."""
    numbers, place = np.unique(cells.sensors, return_inverse=True)
    ids = [sensors[number] for number in numbers]
    by_id = sorted(range(len(ids)), key=ids.__getitem__)
    rank = np.empty(len(ids), np.int64)
    rank[by_id] = np.arange(len(ids))
    indexes = rank[place]
    order = np.lexsort((indexes, cells.steps))
    means = np.clip(cells.sums / cells.counts / _SCALE, cells.mins, cells.maxs)
    columns = {
        Aggregate.MIN: cells.mins, Aggregate.MAX: cells.maxs, Aggregate.MEAN: means, Aggregate.LAST: cells.lasts,
        Aggregate.COUNT: cells.counts,
    }  # fmt: skip
    message = TWIN_STEPS(
        device=device,
        sensors=[ids[index] for index in by_id],
        sensor_indexes=indexes[order].astype("<u4").tobytes(),
        times_unix_nano=(cells.steps[order] * step).astype("<i8").tobytes(),
    )
    for aggregate in aggregates:
        column = columns[aggregate][order]
        setattr(message, aggregate.value, column.astype("<u8" if aggregate is Aggregate.COUNT else "<f8").tobytes())
    return message.SerializeToString()  # type: ignore[no-any-return]
