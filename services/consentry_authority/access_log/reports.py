"""What enforcement points report: what keys read of customers' data, which customers are told, and which calls were refused."""

from dataclasses import dataclass

from consentry_core.protocol.refused_call import RefusedCall
from consentry_core.values.clock import SECOND
from consentry_rule import CustomerId, DataClass, Instant

HOUR = 3_600 * SECOND
PATIENCE = 60 * SECOND
"""How long an enforcement point that is there may be silent until that counts as an unreported interval."""

LONGEST_SPAN = 31 * 24 * HOUR
"""Of one report. Guards begin another one every day."""


@dataclass(frozen=True, slots=True)
class AccessCount:
    """What one key read in one hour of one class of one customer. `data_class` None: refusals that name none."""

    hour: Instant
    key: str
    customer: CustomerId
    data_class: DataClass | None
    messages: int
    readings: int
    bytes: int
    devices: int
    refusals: int


@dataclass(frozen=True, slots=True)
class LeftOut:
    """How many more calls were refused for a reason."""

    reason: str
    count: int


@dataclass(frozen=True, slots=True)
class AccessReport:
    """One report of one incarnation, for the time from `start` to `end`. `last`: nothing comes after it.

    `more`: the rest of what is to be told of that time comes under the next number; so this one does not speak for it yet.
    """

    incarnation: str
    service: str
    number: int
    start: Instant
    end: Instant
    counts: tuple[AccessCount, ...]
    last: bool
    refused: tuple[RefusedCall, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    more: bool = False


@dataclass(frozen=True, slots=True)
class Unreported:
    """A time that nobody has spoken for. `end` None: it goes on. No `incarnation`: from the first of several to the last."""

    incarnation: str
    service: str
    start: Instant
    end: Instant | None


@dataclass(frozen=True, slots=True)
class Period:
    """A time that is asked about; None is open."""

    start: Instant | None = None
    end: Instant | None = None
