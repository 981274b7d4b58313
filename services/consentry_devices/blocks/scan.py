"""The numbers of many blocks of one device at once, with a loop neither over the readings nor over the blocks.

A gateway that sends every minute leaves small blocks, half a million a year, and taking each apart costs more than all that
follows. But nearly all of them are alike: the same sensors in the same order, one reading of each. A stored payload is in
canonical form and its columns are of fixed width, so payloads that are alike have everything at the same places: one after the
other they are the rows of a matrix of bytes, and a column of all of them is a few columns of that matrix. Whether they are
alike is seen by what does not change from reading to reading, tags and lengths and names, byte by byte.

(The protobuf parser also merges messages that stand one after the other, in C. That took twice as long: each block has to be
cut out first, to see whether it begins with the same sensors.)
"""

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from consentry_devices.blocks.twins import BLOCK_FIELD
from consentry_devices.blocks.wire import fields

# Numbers of fields, of `DeviceTelemetry` and of its block.
_MIN_TIME, _MAX_TIME = 3, 4
_SENSORS, _INDEXES, _TIMES, _VALUES = 1, 2, 3, 4

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


class Sensors:
    """The sensors of one device as they turn up, numbered; those that are not asked for (None: all are) have no number."""

    def __init__(self, asked: Set[str] | None) -> None:
        self.ids: list[str] = []
        self._asked = asked
        self._numbers: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self.ids)

    def numbers(self, sensors: Iterable[str]) -> Integers:
        """Their numbers; -1 for what is not asked for."""
        return np.array([self._number(sensor) for sensor in sensors], np.int64)

    def _number(self, sensor: str) -> int:
        if self._asked is not None and sensor not in self._asked:
            return -1
        known = self._numbers.setdefault(sensor, len(self.ids))
        if known == len(self.ids):
            self.ids.append(sensor)
        return known


@dataclass(frozen=True, slots=True, eq=False)
class Numbers:
    """Readings that are numbers. `seqs`: the log's entry that each is of; within one, they keep their order."""

    sensors: Integers
    times: Integers
    values: Floats
    seqs: Integers


def read_numbers(payloads: Sequence[bytes], seqs: Sequence[int], sensors: Sensors) -> Numbers:
    """The numbers in stored payloads, of the sensors that are asked for. `seqs` are the payloads' numbers in the log."""
    lengths = np.array([len(payload) for payload in payloads])
    seq_of = np.array(seqs, np.int64)
    parts: list[Numbers] = []
    for length in np.unique(lengths).tolist():
        places = np.flatnonzero(lengths == length)
        rest = np.frombuffer(b"".join([payloads[place] for place in places.tolist()]), np.uint8).reshape(-1, length)
        while len(rest):
            layout = _layout(rest[0].tobytes())
            alike = layout.alike(rest)
            parts.append(layout.numbers(rest[alike], seq_of[places[alike]], sensors))
            rest, places = rest[~alike], places[~alike]
    return Numbers(
        np.concatenate([part.sensors for part in parts]),
        np.concatenate([part.times for part in parts]),
        np.concatenate([part.values for part in parts]),
        np.concatenate([part.seqs for part in parts]),
    )


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where things are in a stored payload: its columns, and the bytes that are the same in all payloads that are like it."""

    sensors: Sequence[str]
    indexes: slice
    times: slice
    values: slice
    fixed: Sequence[slice]

    def alike(self, rows: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Which rows are laid out so, by the first of them, which is."""
        same = np.ones(len(rows), np.bool_)
        for span in self.fixed:
            same &= (rows[:, span] == rows[0, span]).all(axis=1)
        return same

    def numbers(self, rows: NDArray[np.uint8], seqs: Integers, sensors: Sensors) -> Numbers:
        """The numbers in rows that are laid out so."""
        indexes = _column(rows, self.indexes, "<u4")
        of_row = sensors.numbers(self.sensors)[indexes]
        keep = of_row >= 0
        return Numbers(
            of_row[keep],
            _column(rows, self.times, "<i8")[keep],
            _column(rows, self.values, "<f8")[keep],
            np.repeat(seqs, len(indexes) // len(rows))[keep],
        )


def _column(rows: NDArray[np.uint8], span: slice, kind: str) -> NDArray[Any]:
    return np.frombuffer(rows[:, span].tobytes(), kind)


def _layout(payload: bytes) -> _Layout:
    """The layout of a serialised `DeviceTelemetry`, in canonical form."""
    found = dict(fields(payload))
    block = found[BLOCK_FIELD]
    ids: list[str] = []
    columns = dict.fromkeys((_INDEXES, _TIMES, _VALUES), slice(block.start, block.start))  # nothing but texts: all empty
    end = block.start
    for number, span in fields(payload, block.start, block.stop):
        if number == _SENSORS:
            ids.append(payload[span].decode())
            end = span.stop + 1  # with the tag of what follows: a block of nothing but texts is like no other
        elif number in columns:
            columns[number] = span
            end = span.stop
    around = [found[number] for number in (_MIN_TIME, _MAX_TIME) if number in found]
    changing = sorted((*around, *columns.values()), key=lambda span: span.start)
    # What follows the columns are texts, if anything.
    starts, stops = [0, *(span.stop for span in changing)], [*(span.start for span in changing), end]
    fixed = [slice(start, stop) for start, stop in zip(starts, stops, strict=True) if start < stop]
    return _Layout(ids, columns[_INDEXES], columns[_TIMES], columns[_VALUES], fixed)
