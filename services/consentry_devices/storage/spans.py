"""How long a time blocks span, in classes, so that a time range is found without looking at everything before it.

An index by a block's earliest time alone does not say where the blocks that reach into a range begin: one block that spans a
year may. Of one class it does: what reaches into a range began at most the class's longest span before it. There are few
classes, and nearly all blocks are in the first.
"""

from consentry_core.values.clock import SECOND

_HOUR = 3600 * SECOND

LONGEST = (_HOUR, 24 * _HOUR, 24**2 * _HOUR, 24**3 * _HOUR, 24**4 * _HOUR, 2**64)
"""By class, the longest span in it: an hour, a day, 24 days, some 19 months, 38 years, any."""


def span_class(min_time: int, max_time: int) -> int:
    """The class of what spans these times, both included."""
    return next(number for number, longest in enumerate(LONGEST) if max_time - min_time <= longest)
