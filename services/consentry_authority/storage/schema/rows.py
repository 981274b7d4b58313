"""Columns and values, both ways."""

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from ipaddress import ip_network
from typing import Any

from consentry_rule import DataClass, Instant, Network, Quota


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


@lru_cache(maxsize=1024)
def networks(text: str | None) -> tuple[Network, ...]:
    """The networks that a column holds."""
    return tuple(map(ip_network, text.split(","))) if text else ()


def networks_text(networks: Iterable[Network]) -> str | None:
    """The networks as a column."""
    return ",".join(map(str, networks)) or None


@lru_cache(maxsize=1024)
def words(text: str | None) -> frozenset[str]:
    """The set of words, such as names, that a column holds."""
    return frozenset(text.split(",")) if text else frozenset()


def words_text(words: Iterable[str]) -> str | None:
    """The words as a column."""
    return ",".join(sorted(words)) or None


def labels(text: str | None) -> tuple[tuple[str, str], ...]:
    """The labels that a column holds."""
    return tuple(sorted(json.loads(text).items())) if text else ()


def labels_text(labels: Iterable[tuple[str, str]]) -> str | None:
    """The labels as a column."""
    held = dict(labels)
    return json.dumps(held) if held else None


def quota(calls_per_minute: int | None, open_streams: int | None) -> Quota:
    """The quota that two columns hold."""
    return Quota(calls_per_minute or 0, open_streams or 0)


def instant(value: Any) -> Instant | None:
    """A time that may be missing."""
    return None if value is None else Instant(value)
