"""The blocks of a whole frame, read and checked in one go.

What is looked for is what `columns` says of one table. But a gateway that tells of each poll at once sends a hundred blocks of
ten readings, and there numpy's price is by the call and not by the reading: so columns of the same kind are put end to end, and
each question is asked once for all blocks. Blocks that differ (with texts, say), and whatever is to be refused, go the way
through `columns`, one by one, which also knows what to say.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, chain
from typing import Any

import numpy as np

from consentry_core.values.errors import InvalidArgument
from consentry_devices.blocks import columns
from consentry_devices.blocks.twins import TWIN_BLOCK
from consentry_devices.domain import limits
from consentry_rule import Instant

_TIME_BYTES, _INDEX_BYTES = columns.TIME.itemsize, columns.INDEX.itemsize
_REMEMBERED_SENSORS = 100  # of a block; longer lists are looked at anew each time


@dataclass(frozen=True, slots=True)
class Taken:
    """What must be known of a block, beside its bytes. `newest`: each sensor's newest reading, by the sensor's id."""

    sensors: tuple[str, ...]
    count: int
    span: tuple[Instant, Instant]
    newest: Sequence[tuple[str, Instant, float | str]]


def take(blocks: Sequence[bytes], now: Instant, fields: Sequence[str]) -> Sequence[Taken]:
    """What canonical blocks hold. InvalidArgument, naming the block by its field, for what must not be stored."""
    messages = [TWIN_BLOCK.FromString(block) for block in blocks]
    alike = [place for place, message in enumerate(messages) if _only_numbers(message)]
    together = _take_together([messages[place] for place in alike], now) if alike else []
    if together is None:
        alike, together = [], []
    taken = dict(zip(alike, together, strict=True))
    return [
        taken[place] if place in taken else _take_one(block, now, field)
        for place, (block, field) in enumerate(zip(blocks, fields, strict=True))
    ]


def _take_one(block: bytes, now: Instant, field: str) -> Taken:
    table = columns.read(block, field)
    columns.check(table, now, field)
    newest = [(sensor, time, value) for sensor, (time, value) in columns.newest(table).items()]
    return Taken(table.sensors, len(table), table.span(), newest)


def _only_numbers(message: Any) -> bool:
    rows = len(message.times_unix_nano) // _TIME_BYTES
    return (
        0 < rows <= limits.READINGS_PER_BLOCK
        and len(message.values) == rows * _TIME_BYTES
        and len(message.sensor_indexes) == rows * _INDEX_BYTES
        and not message.texts
    )


def _take_together(messages: Sequence[Any], now: Instant) -> Sequence[Taken] | None:
    """What blocks of numbers hold; None when there is anything to refuse."""
    sensors = [tuple(message.sensors) for message in messages]
    if not all(_are_in_order(names) for names in sensors):
        return None
    indexes = np.frombuffer(b"".join([message.sensor_indexes for message in messages]), columns.INDEX)
    times = np.frombuffer(b"".join([message.times_unix_nano for message in messages]), columns.TIME)
    values = np.frombuffer(b"".join([message.values for message in messages]), columns.VALUE)
    counts = [len(message.times_unix_nano) // _TIME_BYTES for message in messages]
    starts = np.fromiter(accumulate(counts[:-1], initial=0), np.int64, len(counts))
    widths = np.fromiter(map(len, sensors), np.int64, len(sensors))
    earliest, latest = np.minimum.reduceat(times, starts), np.maximum.reduceat(times, starts)
    if not (
        (np.maximum.reduceat(indexes, starts) < widths).all()
        and np.isfinite(values).all()
        and earliest.min() >= limits.EARLIEST_TIME
        and latest.max() <= now + limits.AHEAD
    ):
        return None
    # Sensors numbered through all blocks, so that one question finds the newest readings of all of them.
    numbers = np.cumsum(widths) - widths
    keys, rows = columns.last_rows(indexes + np.repeat(numbers, counts), times, int(widths.sum()), starts)
    names = list(chain.from_iterable(sensors))
    found: list[Any] = list(
        zip([names[key] for key in keys.tolist()], times[rows].tolist(), values[rows].tolist(), strict=True)
    )
    ends = [*np.searchsorted(keys, numbers[1:]).tolist(), len(found)]
    spans: list[Any] = list(zip(earliest.tolist(), latest.tolist(), strict=True))
    return [
        Taken(names_of, count, span, found[first:end])
        for names_of, count, span, first, end in zip(sensors, counts, spans, [0, *ends], ends, strict=False)
    ]


def _are_in_order(sensors: tuple[str, ...]) -> bool:
    return (_remembered if len(sensors) <= _REMEMBERED_SENSORS else _remembered.__wrapped__)(sensors)


@lru_cache(maxsize=1024)
def _remembered(sensors: tuple[str, ...]) -> bool:
    try:
        columns.check_sensors(sensors)
    except InvalidArgument:
        return False
    return True
