"""Facts with their marks, as `Follow` carries them: by which changes things came to be as they are.

The rule decides by the facts alone, which are the base classes. A mark decides nothing: it tells a reader that comes back what
it missed meanwhile, and says what a denial may tell.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from consentry_rule import CustomerId, DataClass, Instant, Key, Standing


@dataclass(frozen=True, slots=True)
class MarkedKey(Key):
    """A key, and what became of its list.

    `listed_numbers`: by customer on the list, the change that put it there. `unlisted`: of each customer that was taken off,
    even if it is on the list again, the first change that put it there and the last that took it off.
    """

    listed_numbers: Mapping[CustomerId, int] = field(default_factory=dict, hash=False)
    unlisted: tuple[tuple[CustomerId, int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class MarkedStanding(Standing):
    """A standing, and since when it is so.

    `disconnect_time`: when the two were last connected; None while they are. `opened_number` and `closed_number`: the last
    changes by which the customer became valid, and was seen to have ceased to be (0: never). `class_numbers`: the last change
    by which each data class was opened or closed while the customer was valid (not there: never). The demo customer is valid
    from the first change on, and is not while the partner rehearses a withdrawal.
    """

    disconnect_time: Instant | None = None
    opened_number: int = 0
    closed_number: int = 0
    class_numbers: tuple[tuple[DataClass, int], ...] = ()
