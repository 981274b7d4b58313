"""What the device-data service takes in of one thing, for itself and for the gateways that tell it.

A gateway that keeps to these has nothing refused for what it is by itself.
"""

from datetime import UTC, datetime

from consentry_core.values.clock import SECOND
from consentry_rule import Instant

NAME_CHARACTERS = 200  # display names, models, serial numbers, metrics, units, labels
TEXT_CHARACTERS = 1_000  # readings that are texts, messages of alarms
NESTING = 16  # how deep locations and devices nest

EARLIEST_TIME = Instant(int(datetime(2000, 1, 1, tzinfo=UTC).timestamp()) * SECOND)
AHEAD = 300 * SECOND
"""How far a gateway's clock may be ahead of the service's. Later readings would hide all that follow as the newest."""


def believed(time: int, now: int) -> bool:
    """Whether a time is taken in at a moment."""
    return EARLIEST_TIME <= time <= now + AHEAD
