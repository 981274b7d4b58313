"""The numbers of many blocks of one device at once, without a loop over the readings, and with next to none over the blocks.

A gateway that sends every minute leaves small blocks, half a million a year, and taking each apart costs more than all that
follows. But nearly all of them name the same sensors in the same order, and such blocks, one after the other and without those
names, are one block with longer columns to whoever parses them (see `twins.py`).
"""

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from consentry_devices.twins import MANY_TELEMETRIES, NUMBERS, TWIN_BLOCK

_SENSORS_TAG = 1 << 3 | 2
_INDEXES_TAG = 2 << 3 | 2
_INDEX_BYTES = 4

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
    blocks = list(MANY_TELEMETRIES.FromString(b"".join(payloads)).blocks)
    seq_of = np.array(seqs, np.int64)
    parts = [_read_alike(blocks, header, members, seq_of, sensors) for header, members in _by_header(blocks).items()]
    return Numbers(
        np.concatenate([part.sensors for part in parts]),
        np.concatenate([part.times for part in parts]),
        np.concatenate([part.values for part in parts]),
        np.concatenate([part.seqs for part in parts]),
    )


def _read_alike(blocks: Sequence[bytes], header: bytes, members: Sequence[int], seqs: Integers, sensors: Sensors) -> Numbers:
    """The numbers of the blocks with this header."""
    cut = len(header)
    merged = NUMBERS.FromString(b"".join([blocks[member][cut:] for member in members]))
    of_block = sensors.numbers(TWIN_BLOCK.FromString(header).sensors)[np.asarray(merged.sensor_indexes)]
    lengths = np.array([_rows(blocks[member], cut) for member in members])
    keep = of_block >= 0
    return Numbers(
        of_block[keep],
        np.asarray(merged.times_unix_nano)[keep],
        np.asarray(merged.values)[keep],
        np.repeat(seqs[members], lengths)[keep],
    )


def _by_header(blocks: Iterable[bytes]) -> dict[bytes, list[int]]:
    """The places of the blocks that begin with the same sensors."""
    found: dict[bytes, list[int]] = {}
    beginning, members = bytes([0]), list[int]()  # no block begins so
    for place, block in enumerate(blocks):
        if not block.startswith(beginning):
            header = _header(block)
            beginning, members = header + bytes([_INDEXES_TAG]), found.setdefault(header, [])
        members.append(place)
    return found


def _header(block: bytes) -> bytes:
    """The sensors' ids, encoded: what a canonical block begins with. None is longer than a length of one byte can say."""
    at = 0
    while at < len(block) and block[at] == _SENSORS_TAG:
        at += 2 + block[at + 1]
    return block[:at]


def _rows(block: bytes, at: int) -> int:
    """How many numbers a canonical block holds: what the length of the first column says, which begins there."""
    if at == len(block) or block[at] != _INDEXES_TAG:
        return 0  # nothing but texts
    length, shift = 0, 0
    while True:
        at += 1
        length |= (block[at] & 0x7F) << shift
        if block[at] < 0x80:
            return length // _INDEX_BYTES
        shift += 7
