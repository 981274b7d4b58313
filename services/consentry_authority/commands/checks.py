"""What free texts and ends must be like."""

from consentry_core.values.errors import InvalidArgument
from consentry_core.values.text import plain
from consentry_rule import Instant

_LONGEST_DISPLAY_NAME = 200
_LONGEST_PURPOSE = 500


def display_name(text: str, field: str) -> str:
    """A name for people, checked."""
    return plain(text, field, _LONGEST_DISPLAY_NAME)


def purpose(text: str, field: str) -> str:
    """What data is to be used for, checked."""
    return plain(text, field, _LONGEST_PURPOSE)


def future(end: Instant | None, now: Instant, field: str) -> Instant | None:
    """An end that is still to come, or none."""
    if end is not None and end <= now:
        raise InvalidArgument(field, "must lie in the future; leave it out for no end", reason="TIME_NOT_IN_FUTURE")
    return end
