"""How much of anything is taken in, and which times are believed."""

from consentry_core.values.errors import InvalidArgument
from consentry_core.values.reasons import ErrorReason
from consentry_core.values.taken_in import AHEAD, EARLIEST_TIME, NAME_CHARACTERS, NESTING, TEXT_CHARACTERS, believed
from consentry_core.values.text import plain
from consentry_rule import Instant

__all__ = ["AHEAD", "EARLIEST_TIME", "NAME_CHARACTERS", "NESTING", "TEXT_CHARACTERS"]

READINGS_PER_BLOCK = 100_000
BLOCK_BYTES = 3 * 1024 * 1024  # with what goes around it, within the 4 MiB that clients take by default
SENSORS_PER_BLOCK = 10_000
BLOCKS_PER_FRAME = 10_000
INVENTORY_PER_FRAME = 20_000
ALARMS_PER_FRAME = 1_000
GATEWAYS_OF_CUSTOMER = 200  # ids that its gateways publish under
LOCATIONS_OF_CUSTOMER, DEVICES_OF_CUSTOMER, SENSORS_OF_CUSTOMER = 20_000, 20_000, 200_000
INVENTORY_OF_CUSTOMER_BYTES = 32 * 1024 * 1024  # of ids and texts
ACTIVE_ALARMS_OF_CUSTOMER, ALARMS_OF_CUSTOMER = 10_000, 200_000


def check_time(time: int, field: str, now: Instant) -> Instant:
    """The time, if it is believed."""
    if not believed(time, now):
        raise InvalidArgument(
            field,
            "must be between the year 2000 and 5 minutes from now; check the gateway's clock",
            reason=ErrorReason.TIME_INVALID,
        )
    return Instant(time)


def check_text(text: str, field: str, longest: int = NAME_CHARACTERS) -> str:
    """The text, if it is plain and not too long; see `consentry_core.values.text`."""
    return plain(text, field, longest)


def check_growth(count: int, before: int, field: str, *, most: int, what: str) -> None:
    """Refuse what makes more than `most` of a customer's things. What is there already, and what becomes less, is taken."""
    if count > most and count > before:
        raise InvalidArgument(
            field,
            f"would make {count} {what} of this customer, where {most} may be; delete first what is not used any more",
            reason=ErrorReason.CUSTOMER_FULL,
            metadata={"most": str(most)},
        )


def check_count(count: int, field: str, most: int) -> None:
    """Refuse more than `most`."""
    if count > most:
        raise InvalidArgument(field, f"must hold at most {most}; send the rest in another frame", reason=ErrorReason.TOO_MANY)
