"""What a raw answer stands for: a value and why there is none, and the limits that a device has been given. No I/O."""

from collections.abc import Sequence
from dataclasses import replace

from consentry_gateway.profiles.form import BELIEVABLE, Metric, Source
from consentry_gateway.reading.model import Limit, Value
from consentry_gateway.reading.raw import Raw, is_unreadable, keys_of, number_of
from consentry_gateway.reading.rows import Columns, Row

ABSENT, NOT_BELIEVABLE, NOT_LISTED, NO_NUMBER, NOT_MEASURED, NOT_READ = (
    "the device says that it has none", "not believable", "not listed", "no number in this unit", "zeros beside what is not",
    "could not be read",
)  # fmt: skip


class Values:
    """Of one agent's answers. An `index` is that of a row, as the source has it; None for a scalar."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns

    def value(
        self, metric: Metric, source: Source, raw: Raw, index: str | None, indexes: Sequence[str]
    ) -> tuple[Value | None, str]:
        """The value of what stands in a source, or else why there is none. `indexes` are those of all rows of its table."""
        if metric.texts is not None:
            text = next((metric.texts[key] for key in keys_of(raw) if key in metric.texts), None)
            return text, "" if text is not None else NOT_LISTED
        number = number_of(raw, metric.unit)
        if number is None:
            return None, NO_NUMBER
        if number in source.absent:
            return None, ABSENT
        if source.beside and number == 0:
            if any(self._columns.any_unreadable(oid, indexes) for oid in (source.oid, *source.beside)):
                return None, NOT_READ
            if self._not_measured(source, indexes):
                return None, NOT_MEASURED
        value = self._scaled(number, source, index)
        if value is None or not _believable(metric, value):
            return None, NOT_BELIEVABLE
        return value, ""

    def unsure_of(self, source: Source, index: str | None) -> bool:
        """Whether it could not be read if the source counts, or by how many digits."""
        others = [condition[0] for condition in (source.when, source.unless) if condition]
        others += [source.digits] if source.digits else []
        return any(is_unreadable(self._columns.at(oid, index)) for oid in others)

    def counts(self, source: Source, index: str | None) -> bool:
        """Whether the source counts now."""
        if source.when is not None and not self._columns.holds(source.when, index):
            return False
        return source.unless is None or not self._columns.holds(source.unless, index)

    def limit(self, metric: Metric, row: Row | None) -> Limit | None:
        """The limits of a metric in a row: the device's own, else ours; None when there are none, or nobody knows."""
        limits = metric.limits
        if limits is None:
            return metric.limit
        if any(is_unreadable(self._columns.at(one.oid, index_of(one, row))) for one in (*limits.high, *limits.low)):
            return None  # nobody knows, so no alarm begins or ends by it
        high, low = self._limit_of(metric, limits.high, row), self._limit_of(metric, limits.low, row)
        given = metric.limit or Limit()
        if high is not None and high > 0:
            given = replace(given, high=high, clear=high - limits.hysteresis)
        if low is not None and (given.high is None or low < given.high):
            given = replace(given, low=low, low_clear=low + limits.hysteresis)
        return given if given != Limit() else None

    def _not_measured(self, source: Source, indexes: Sequence[str]) -> bool:
        zeros = self._columns.all_zero(source.oid, indexes)
        return zeros and any(self._columns.any_other(oid, indexes) for oid in source.beside)

    def _scaled(self, number: float, source: Source, index: str | None) -> float | None:
        scale = source.scale
        if source.digits is not None:
            digits = number_of(self._columns.at(source.digits, index))
            if digits is None or not 0 <= digits <= 9:
                return None
            scale *= 10.0**-digits
        # 131 * 0.1 is 13.1 and not 13.100000000000001.
        return round(number * scale + source.offset, 6)

    def _limit_of(self, metric: Metric, sources: Sequence[Source], row: Row | None) -> float | None:
        for source in sources:
            index = index_of(source, row)
            number = number_of(self._columns.at(source.oid, index), metric.unit)
            if number is None or number in source.absent or not self.counts(source, index):
                continue
            value = self._scaled(number, source, index)
            if value is not None and _believable(metric, value):
                return value
        return None


def index_of(source: Source, row: Row | None) -> str | None:
    """The index of a row as a source has it; None for a scalar."""
    if row is None:
        return None
    return f"{row.index}.{source.at}" if source.at else row.index


def _believable(metric: Metric, value: float) -> bool:
    low, high = metric.believable or BELIEVABLE.get(metric.unit, (-1e15, 1e15))
    return low <= value <= high
