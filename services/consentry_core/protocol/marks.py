"""Facts with their marks, as `Follow` carries them: by which changes things came to be as they are.

The rule decides by the facts alone, which are the base classes. A mark decides nothing: it tells a reader that comes back what
it missed meanwhile, and says what a denial may tell.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from consentry_rule import CustomerId, DataClass, Instant, Key, Standing


@dataclass(frozen=True, slots=True)
class MarkedKey(Key):
    """A key, and what became of its list.

    `listed_numbers`: by customer on the list, the change that put it there. `unlisted`: of each customer that was taken off,
    even if it is on the list again, the first change that put it there and the last that took it off. `list_number`: the last
    change of the list.
    """

    listed_numbers: Mapping[CustomerId, int] = field(default_factory=dict, hash=False)
    unlisted: tuple[tuple[CustomerId, int, int], ...] = ()
    list_number: int = 0


@dataclass(frozen=True, slots=True)
class ListDifference:
    """What has become of a key's list since the change `base`.

    `listed`: who was put on it since and is there now, by which change. `unlisted`: who was taken off since, as in
    `MarkedKey.unlisted`; who is among `listed` too is on it again. Whoever has the list of `base`, or of a later change that is
    not later than these facts, has it all with this: those about whom nothing is said are the same in both.
    """

    base: int
    listed: tuple[tuple[CustomerId, int], ...] = ()
    unlisted: tuple[tuple[CustomerId, int, int], ...] = ()

    @property
    def customers(self) -> frozenset[CustomerId]:
        """Those about whom it says something."""
        return frozenset([*(each[0] for each in self.listed), *(each[0] for each in self.unlisted)])

    def applied_to(self, known: MarkedKey, facts: MarkedKey) -> MarkedKey:
        """`facts`, with the list that `known` has become by this."""
        if not self.listed and not self.unlisted:
            return replace(facts, customers=known.customers, listed_numbers=known.listed_numbers, unlisted=known.unlisted)
        on = dict(self.listed)
        off = {customer for customer, _, _ in self.unlisted} - on.keys()
        numbers = dict(known.listed_numbers)
        for customer in off:
            numbers.pop(customer, None)
        numbers.update(on)
        marks = {mark[0]: mark for mark in (*known.unlisted, *self.unlisted)}
        return replace(
            facts,
            customers=(known.customers - off).union(on),
            listed_numbers=numbers,
            unlisted=tuple(marks[customer] for customer in sorted(marks)),
        )


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
