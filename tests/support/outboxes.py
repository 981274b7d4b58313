"""Frames for an outbox, and what is in one, in seconds."""

import random

from consentry_core.values.clock import SECOND
from consentry_gateway.outbox.outbox import Draft, Outbox, Pending, Span
from consentry_rule import Instant

RANDOM = random.Random(1).randbytes  # noqa: S311 - to be repeated


def at(second: int) -> Span:
    """A moment, as a span."""
    return Span(Instant(second * SECOND), Instant(second * SECOND))


def between(first: int, last: int) -> Span:
    """From one second to another, both included."""
    return Span(Instant(first * SECOND), Instant(last * SECOND))


def told(*payloads: bytes) -> list[Draft]:
    """Frames of inventory and alarms."""
    return [Draft("ups", payload) for payload in payloads]


def measured(second: int, told: bytes = b"", size: int = 100) -> Draft:
    """A frame with readings."""
    return Draft("ups", told, b"r" * size, at(second))


def payloads(outbox: Outbox) -> list[tuple[int, bytes]]:
    """Numbers and contents of what is pending."""
    return [(pending.number, pending.payload) for pending in outbox.after(0, 1_000)]


def losses(outbox: Outbox) -> list[tuple[int, int, Span | None]]:
    """Number, how many frames it stands for, and what is lost, of those that say so."""
    return [(pending.number, pending.count, pending.span) for pending in outbox.after(0, 1_000) if pending.lost]


def seconds_of(pending: Pending) -> set[int]:
    """The seconds that it is of."""
    span = pending.span
    return set() if span is None else set(range(span.since // SECOND, span.until // SECOND + 1))
