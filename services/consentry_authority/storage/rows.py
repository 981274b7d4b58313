"""Columns and values, both ways."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from consentry_rule import DataClass, Instant


@lru_cache(maxsize=64)
def data_classes(text: str) -> frozenset[DataClass]:
    """The set that a column holds."""
    return frozenset(DataClass(part) for part in text.split(",")) if text else frozenset()


def data_classes_text(classes: frozenset[DataClass]) -> str:
    """The set as a column."""
    return ",".join(sorted(data_class.value for data_class in classes))


@lru_cache(maxsize=1024)
def class_numbers(text: str) -> tuple[tuple[DataClass, int], ...]:
    """A number by data class, that a column holds."""
    pairs = (part.split(":") for part in text.split(",") if part)
    return tuple((DataClass(data_class), int(number)) for data_class, number in pairs)


def class_numbers_text(numbers: Mapping[DataClass, int]) -> str:
    """The numbers as a column."""
    return ",".join(sorted(f"{data_class.value}:{number}" for data_class, number in numbers.items()))


def instant(value: Any) -> Instant | None:
    """A time that may be missing."""
    return None if value is None else Instant(value)
