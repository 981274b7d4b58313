"""List the customers that a key covers now."""

from collections.abc import Sequence
from dataclasses import dataclass

from consentry_authority.commands.ports import Facts
from consentry_core.errors import OutOfRange, Unavailable
from consentry_core.follow import Revision
from consentry_rule import Allow, CustomerId, Instant, Key, KeyKind, Standing, covered


@dataclass(frozen=True, slots=True)
class CoveragePage:
    """One page. `last` is where the next one starts; empty on the last page."""

    customers: tuple[Standing, ...]
    last: str
    revision: Revision


def list_covered_customers(
    facts: Facts, key: Key, now: Instant, *, after: str, limit: int, at_least: Revision | None = None
) -> CoveragePage:
    """The covered customers after `after`, out of the next `limit` that stand towards the partner: a page may be short.

    Unavailable when the database does not show `at_least` yet, OutOfRange when that is of another history.
    """
    revision = facts.head()
    if at_least is not None:
        check_shows(revision, at_least)
    standings, last = page_of_standings(facts, key, after=after, limit=limit)
    customers = tuple(standing for standing in standings if isinstance(covered(key, standing, now), Allow))
    return CoveragePage(customers, last, revision)


def page_of_standings(facts: Facts, key: Key, *, after: str, limit: int) -> tuple[Sequence[Standing], str]:
    """The next standings that the key could cover, and where to go on (empty at the end). The rule decides which it does."""
    if key.kind is KeyKind.DEMO:
        return (() if after else (facts.demo_standing(key.partner),)), ""
    standings: Sequence[Standing]
    if key.kind is KeyKind.SPECIFIC_CUSTOMERS:
        listed = [customer for customer in sorted(key.customers) if customer > after][:limit]
        standings = facts.standings_to(key.partner, listed)
    else:
        standings = facts.standings_of(key.partner, after=CustomerId(after) if after else None, limit=limit)
    return standings, standings[-1].customer if len(standings) == limit else ""


def check_shows(head: Revision, wanted: Revision) -> None:
    """Unavailable unless a database at `head` shows `wanted`; OutOfRange when it never will."""
    if head.epoch != wanted.epoch:
        raise resync()
    if head.number < wanted.number:
        raise Unavailable(
            "this authority does not show that revision yet; try again", retry_after=0.5, reason="REVISION_NOT_YET"
        )


def resync() -> OutOfRange:
    """What they are told who come with a revision of another history: it cannot be compared with this one's."""
    return OutOfRange("the revision is of another history of this authority; start again without one")
