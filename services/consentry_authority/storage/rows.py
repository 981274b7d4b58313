"""Columns and values, both ways."""

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


def instant(value: Any) -> Instant | None:
    """A time that may be missing."""
    return None if value is None else Instant(value)
