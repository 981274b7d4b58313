"""What the access log needs from the outside. `storage` implements it."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, TypeAlias

from consentry_authority.access_log.reports import AccessCount, AccessReport, Period, Unreported
from consentry_authority.audit.chain import Entry
from consentry_rule import CustomerId, Instant, Key, Token

FindCredential: TypeAlias = Callable[[str], Key | Token | None]
"""A credential by its name, in the transaction that asks."""


class Forget(NamedTuple):
    """What goes with a report: what is older than `before`, and who said hello an hour before `now` and no more since."""

    before: Instant
    now: Instant


class Accesses(Protocol):
    """What was reported, by customer and hour, and up to when each incarnation has spoken."""

    async def keep(
        self,
        report: AccessReport,
        token: str,
        *,
        admit: Callable[[], None],
        entries: Callable[[FindCredential], Sequence[Entry]],
        forget: Forget | None,
    ) -> int:
        """Count a report, and append to the audit log what `entries` makes of it: how many rows are new.

        One transaction. One that was counted before adds nothing to either. PermissionDenied when the incarnation is another
        token's; `admit` is called for one that nobody has spoken for, and refuses it by raising.
        """
        ...

    async def page(
        self,
        customer: CustomerId,
        keys: str,
        period: Period,
        *,
        after: tuple[int, str, str] | None,
        limit: int,
    ) -> Sequence[AccessCount]:
        """What was read of a customer by these keys (a key, a partner's prefix ending in `/`, or all), newest hour first."""
        ...

    async def unreported(self, period: Period, now: Instant) -> Sequence[Unreported]:
        """The times that nobody has spoken for, newest first, as far as they overlap a period."""
        ...
