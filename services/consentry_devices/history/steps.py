"""What readings come to per step of time: smallest, largest, mean, last, count, for each sensor.

A *cell* is one sensor's share of one step. The cells of two lots of readings can be merged into those of both. So a range is
folded lot by lot, in the order in which its blocks begin, and a step is settled once a block begins after it. What is not
settled yet is carried on, and there is a bound to it (`MOST_CELLS`).
"""

from collections.abc import Sequence, Set
from dataclasses import dataclass, fields
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from consentry_devices.blocks.scan import Floats, Integers, Numbers, Sensors, read_numbers
from consentry_devices.blocks.twins import TWIN_STEPS
from consentry_devices.domain.state import Blocks
from consentry_rule import Instant

MOST_CELLS = 50_000
"""So many cells that are not settled are carried on. What lies further in the future is read again."""

CELL_BYTES = 72

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

    def at(self, places: "NDArray[np.bool_] | Integers | slice") -> "Cells":
        """Some of them."""
        return Cells(*(getattr(self, name)[places] for name in _COLUMNS))


_COLUMNS = tuple(column.name for column in fields(Cells))
_INTEGERS, _FLOATS = np.empty(0, np.int64), np.empty(0, np.float64)
NO_CELLS = Cells(_INTEGERS, _INTEGERS, _INTEGERS, _FLOATS, _FLOATS, _FLOATS, _FLOATS, _INTEGERS, _INTEGERS)


def cells_of(numbers: Numbers, step: int) -> Cells:
    """One cell for each sensor and step of these readings, by step, then by sensor."""
    if not len(numbers.times):
        return NO_CELLS
    steps = numbers.times // step
    order, first = _runs(steps, numbers.sensors)
    times, values = numbers.times[order], numbers.values[order]
    last = _last(first, times, numbers.seqs, order)
    return Cells(
        steps[order[first]],
        numbers.sensors[order[first]],
        np.diff(first, append=len(order)),
        np.add.reduceat(values * _SCALE, first),
        np.minimum.reduceat(values, first),
        np.maximum.reduceat(values, first),
        values[last],
        times[last],
        numbers.seqs[order[last]],
    )


def merged(one: Cells, other: Cells) -> Cells:
    """One cell for each sensor and step of both, by step, then by sensor."""
    if not (len(one) and len(other)):
        return one if len(one) else other
    both = Cells(*(np.concatenate([getattr(one, name), getattr(other, name)]) for name in _COLUMNS))
    order, first = _runs(both.steps, both.sensors)
    last = order[_last(first, both.last_times[order], both.last_seqs, order)]
    return Cells(
        both.steps[order[first]],
        both.sensors[order[first]],
        np.add.reduceat(both.counts[order], first),
        np.add.reduceat(both.sums[order], first),
        np.minimum.reduceat(both.mins[order], first),
        np.maximum.reduceat(both.maxs[order], first),
        both.lasts[last],
        both.last_times[last],
        both.last_seqs[last],
    )


def _runs(steps: Integers, sensors: Integers) -> tuple[Integers, Integers]:
    """An order by step, then by sensor, and where in it each step's sensor begins. What is equal keeps its order."""
    # One number for both, so that one sort will do. Steps are at least a millisecond, so there is room for a million sensors.
    places = (steps - steps.min()) * (sensors.max() + 1) + sensors
    if places.max() < 2**16:
        places = places.astype(np.uint16)  # which numpy sorts by radix, many times as fast
    order = np.argsort(places, kind="stable")
    places = places[order]
    return order, np.flatnonzero(np.append(True, places[1:] != places[:-1]))


def _last(first: Integers, times: Integers, seqs: Integers, order: Integers) -> Integers:
    """Where in the order each run's last is: by time, then by number in the log. `times` are in the order, `seqs` are not."""
    lengths = np.diff(first, append=len(order))
    latest = np.flatnonzero(times == np.repeat(np.maximum.reduceat(times, first), lengths))
    if len(latest) > len(first):  # several of one time
        runs = np.repeat(np.arange(len(first)), lengths)[latest]
        by_seq = np.lexsort((seqs[order[latest]], runs))
        latest, runs = latest[by_seq], runs[by_seq]
        latest = latest[np.diff(runs, append=len(first)) > 0]
    return latest


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

    @property
    def held(self) -> int:
        """How many cells are carried on."""
        return len(self._open)

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


def in_order(cells: Cells, ids: Sequence[str], *, after: tuple[int, str] = (0, "")) -> Cells:
    """The cells by step, then by sensor id; without those of a step, the first, up to and with a sensor, when one is named."""
    if not len(cells):
        return cells
    numbers, place = np.unique(cells.sensors, return_inverse=True)
    rank = np.empty(len(numbers), np.int64)
    rank[sorted(range(len(numbers)), key=lambda index: ids[int(numbers[index])])] = np.arange(len(numbers))
    step, sensor = after
    if sensor:
        told = np.array([ids[number] <= sensor for number in numbers.tolist()])
        keep = (cells.steps != step) | ~told[place]
        cells, place = cells.at(keep), place[keep]
    return cells.at(np.lexsort((rank[place], cells.steps)))


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
