"""The rows of the tables that an agent answered: which there are, what their numbers are, and what holds them. No I/O."""

import bisect
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from consentry_gateway.profiles.form import Condition, Place, Table, is_scalar
from consentry_gateway.reading.model import DeviceId
from consentry_gateway.reading.raw import Answers, Raw, is_unreadable, keys_of, number_of


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its index, its number, and the numbers of what holds it, the outermost first."""

    index: str
    number: str
    holders: tuple[tuple[str, str], ...] = ()

    def fill(self, text: str, line: str = "") -> str:
        """A name with the row's number and line in it."""
        return text.replace("{index}", self.number).replace("{line}", line)


class Columns:
    """Answers, and the tables within them."""

    def __init__(self, answers: Answers) -> None:
        self.answers = answers
        self._sorted = sorted(answers)
        self._indexes: dict[str, tuple[str, ...]] = {}
        self._rows: dict[tuple[int, bool], list[Row]] = {}

    def indexes(self, column: str) -> tuple[str, ...]:
        """The indexes that a column has."""
        found = self._indexes.get(column)
        if found is None:
            first = bisect.bisect_left(self._sorted, f"{column}.")
            last = bisect.bisect_left(self._sorted, f"{column}/")  # the character after the dot
            found = self._indexes[column] = tuple(oid[len(column) + 1 :] for oid in self._sorted[first:last])
        return found

    def at(self, oid: str, index: str | None) -> Raw | None:
        """What stands in a column at an index, or else at that of what holds the row: the same with its end cut off."""
        if index is None or is_scalar(oid):
            return self.answers.get(oid)
        while index:
            raw = self.answers.get(f"{oid}.{index}")
            if raw is not None:
                return raw
            index = index.rpartition(".")[0]
        return None

    def any_unreadable(self, oid: str, indexes: Iterable[str]) -> bool:
        """Whether something of a column, or a scalar, is there in these rows and could not be read."""
        if is_scalar(oid) or oid in self.answers:
            return is_unreadable(self.answers.get(oid))
        return any(is_unreadable(self.answers.get(f"{oid}.{index}")) for index in indexes)

    def holds(self, condition: Condition, index: str | None) -> bool:
        """Whether what a condition says is so."""
        oid, wanted = condition
        allowed = wanted if isinstance(wanted, tuple) else (wanted,)
        return any(key in allowed for key in keys_of(self.at(oid, index)))

    def rows(self, table: Table, *, named: bool = False) -> list[Row]:
        """A table's rows in the order of their numbers. `named`: also those of which nothing but a name is known."""
        known = self._rows.get((id(table), named))
        if known is None:
            known = self._rows[id(table), named] = self._found(table, named=named)
        return known

    def _found(self, table: Table, *, named: bool) -> list[Row]:
        rows = [self.row(index, table) for index in self._real(table, self._found_indexes(table, named=named))]
        return [row for row in rows if row is not None]

    def _found_indexes(self, table: Table, *, named: bool = False) -> list[str]:
        found: set[str] = set()
        for metric in table.metrics:
            for source in metric.sources:
                found.update(_without(self.indexes(source.oid), source.at))
        for column in (table.label, table.model, table.serial) if named else ():
            found.update(self.indexes(column) if column and not is_scalar(column) else ())
        return sorted(found, key=_natural)

    def unsure(self, table: Table) -> bool:
        """Whether it depends on what could not be read which rows are filling."""
        count = number_of(self.answers.get(table.count)) if table.count else None
        if not count or count < 0:
            return False
        indexes = self._found_indexes(table)
        return any(self._maybe_filling(table, indexes[0], index) for index in indexes[int(count) :])

    def row(self, index: str, table: Table) -> Row | None:
        """The row with an index; None when the table is not about such."""
        number = self._place(table.number, index)
        if table.names is not None:
            raw = (
                index
                if table.number is None
                else number
                if isinstance(table.number, int)
                else self.at(str(table.number), index)
            )
            named = [table.names[key] for key in keys_of(raw) if key in table.names]
            if not named:
                return None
            number = named[0]
        return Row(index, number, self.holders(table.within, index))

    def holders(self, within: Iterable[tuple[str, Place]], index: str) -> tuple[tuple[str, str], ...]:
        """What holds a row, by its index, the outermost first; what the row does not say is left out."""
        found = ((key, self._place(place, index, "")) for key, place in within)
        return tuple((key, number) for key, number in found if number)

    def all_zero(self, oid: str, indexes: Iterable[str]) -> bool:
        """Whether a column, or a scalar, is there and is 0 in all these rows."""
        if is_scalar(oid) or oid in self.answers:
            return number_of(self.answers.get(oid)) == 0
        found = [number_of(self.answers.get(f"{oid}.{index}")) for index in indexes]
        return bool(found) and all(number == 0 for number in found)

    def any_other(self, oid: str, indexes: Sequence[str]) -> bool:
        """Whether a column, or a scalar, is something else than 0 somewhere."""
        if is_scalar(oid) or oid in self.answers:
            return number_of(self.answers.get(oid)) not in {None, 0}
        return any(number_of(self.answers.get(f"{oid}.{index}")) not in {None, 0} for index in indexes or self.indexes(oid))

    def _place(self, place: Place, index: str, otherwise: str | None = None) -> str:
        if place is None:
            return index
        if isinstance(place, int):
            parts = index.split(".")
            return parts[place] if -len(parts) <= place < len(parts) else index
        keys = keys_of(self.at(place, index))
        return str(keys[-1]) if keys else index if otherwise is None else otherwise

    def _real(self, table: Table, indexes: list[str]) -> list[str]:
        """Those that are no filling: an agent's count counts where the rest are zeros, or copies of the first row."""
        count = number_of(self.answers.get(table.count)) if table.count else None
        if not count or count < 0:
            return indexes
        real, rest = indexes[: int(count)], indexes[int(count) :]
        return real + [
            index
            for index in rest
            if any(number_of(raw) for raw in self._content(table, index)) and not (real and self._alike(table, real[0], index))
        ]

    def _alike(self, table: Table, index: str, other: str) -> bool:
        """Whether two rows say the same, as far as they could be read."""
        pairs = zip(self._content(table, index), self._content(table, other), strict=True)
        return all(
            is_unreadable(one) or is_unreadable(two) or number_of(one) == number_of(two) for one, two in pairs
        )  # fmt: skip

    def _maybe_filling(self, table: Table, first: str, index: str) -> bool:
        """Whether a row beyond the count is neither filling for certain, nor a row for certain."""
        row = self._content(table, index)
        pairs = list(zip(self._content(table, first), row, strict=True))
        one_unread = any(is_unreadable(one) != is_unreadable(two) for one, two in pairs)
        other, zeros = not self._alike(table, first, index), not any(number_of(raw) for raw in row)
        is_filling = (zeros and not any(map(is_unreadable, row))) or not (other or one_unread)
        is_row = other and not zeros
        return not is_filling and not is_row

    def _content(self, table: Table, index: str) -> list[Raw | None]:
        return [self.answers.get(f"{column}.{index}") for column in table.columns()]


def holder_of(device: DeviceId, holders: Iterable[tuple[str, str]], itself: Mapping[str, str | None]) -> str:
    """The id of what holds a row."""
    name: str = device
    for key, number in holders:
        if itself.get(key) != number:
            name = f"{name}-{key}-{number}"
    return name


def _without(indexes: Iterable[str], end: str) -> Iterable[str]:
    return (index.removesuffix(f".{end}") for index in indexes if index.endswith(f".{end}")) if end else indexes


def _natural(index: str) -> list[tuple[int, str]]:
    return [(int(part), "") if re.fullmatch(r"\d{1,18}", part) else (1 << 62, part) for part in index.split(".")]
