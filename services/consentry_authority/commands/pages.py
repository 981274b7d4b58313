"""One page of a list."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Page(Generic[_T]):
    """The items, and where the next page starts; empty on the last page. `position`: where one after an item would."""

    items: Sequence[_T]
    last: str
    position: Callable[[_T], str]


def page_of(found: Sequence[_T], limit: int, position: Callable[[_T], str]) -> Page[_T]:
    """A page of `limit` items, out of what was found when one more was asked for."""
    items = found[:limit]
    return Page(items, position(items[-1]) if len(found) > limit else "", position)
