"""List the customers that a key covers now, some at a time: what one step does is short, whoever holds the key."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Final

from consentry_authority.commands.ports import ReadFacts
from consentry_core.protocol.follow import Revision
from consentry_core.protocol.marks import MarkedStanding
from consentry_core.values import names
from consentry_core.values.errors import OutOfRange, Unavailable
from consentry_core.values.reasons import ErrorReason
from consentry_rule import Allow, CustomerId, Instant, Key, KeyKind, PartnerId, covered

STEP: Final = 250
"""So many standings are read, and decided about, in one go: some two milliseconds."""


def listed_customers(key: Key) -> tuple[CustomerId, ...]:
    """Who is on a key's list, in order."""
    return tuple(sorted(key.customers))


def covered_among(key: Key, standings: Sequence[MarkedStanding], now: Instant) -> list[MarkedStanding]:
    """Those that the key covers."""
    return [standing for standing in standings if isinstance(covered(key, standing, now), Allow)]


def step_of_standings(
    facts: ReadFacts, key: Key, listed: Sequence[CustomerId], *, after: str, limit: int = STEP
) -> tuple[Sequence[MarkedStanding], str]:
    """The next standings that the key could cover, and where to go on (empty at the end). The rule decides which it does.

    `listed`: see `listed_customers`.
    """
    if key.kind is KeyKind.DEMO:
        return (() if after else (facts.demo_standing(key.partner),)), ""
    standings: Sequence[MarkedStanding]
    if key.kind is KeyKind.SPECIFIC_CUSTOMERS:
        start = bisect_right(listed, CustomerId(after))
        standings = facts.standings_to(key.partner, listed[start : start + limit])
    else:
        standings = facts.standings_of(key.partner, after=CustomerId(after) if after else None, limit=limit)
    return standings, standings[-1].customer if len(standings) == limit else ""


def step_of_changed(
    facts: ReadFacts, key: Key, since: tuple[int, Instant], now: Instant, *, after: str
) -> tuple[Sequence[MarkedStanding], str]:
    """Likewise, only those that may have stood otherwise after a change, of this number and committed then."""
    if key.kind is KeyKind.DEMO:
        return (() if after else (facts.demo_standing(key.partner),)), ""
    standings = facts.standings_changed(key.partner, since, now, after=CustomerId(after), limit=STEP)
    return standings, standings[-1].customer if len(standings) == STEP else ""


def check_shows(head: Revision, wanted: Revision) -> None:
    """Unavailable unless a database at `head` shows `wanted`; OutOfRange when it never will."""
    if head.epoch != wanted.epoch:
        raise resync()
    if head.number < wanted.number:
        raise Unavailable(
            "this authority does not show that revision yet; try again", retry_after=0.5, reason=ErrorReason.REVISION_NOT_YET
        )


def resync() -> OutOfRange:
    """What they are told who come with a revision of another history: it cannot be compared with this one's."""
    return OutOfRange("the revision is of another history of this authority; start again without one")


def customer_of(subject: str) -> tuple[CustomerId, PartnerId] | None:
    """Whose standing towards whom a subject of the history is; None for any other subject."""
    if not names.CONSENT.matches(subject):
        return None
    customer, partner = names.CONSENT.parse(subject, "subject")
    return CustomerId(customer), PartnerId(partner)
