"""The customers' access log: takes reports in, answers from them, and lets go of what is old.

A service's token can report as much as a fleet does, and no more: so much work at once and a second, and so many new rows an
hour. A guard that is refused keeps its report, adds to it, and sends it again: nothing is lost by it.
"""

from collections.abc import Sequence
from functools import partial

from consentry_authority.access_log.ports import Accesses, Forget
from consentry_authority.access_log.reports import HOUR, PATIENCE, AccessCount, AccessReport, Period, Unreported
from consentry_authority.audit.refused_calls import RefusedCalls
from consentry_authority.commands.pages import Page, page_of
from consentry_authority.enforcement.limits import Newcomers
from consentry_core.pacing.bucket import Buckets, Rate
from consentry_core.values.clock import SECOND, Clock
from consentry_core.values.errors import ResourceExhausted, Unavailable
from consentry_core.values.reasons import ErrorReason
from consentry_rule import CustomerId, Instant, Token

_DAY = 86_400 * SECOND
_WORK = Rate(10_000, 2_500)  # of which a count is 1
_WORK_OF_A_REPORT = 25
_ROWS = Rate(200_000, 200_000 / 3_600)


class AccessLog:
    """What keys read, kept for so many days."""

    def __init__(self, accesses: Accesses, clock: Clock, *, kept_days: int, newcomers: Newcomers) -> None:
        self._newcomers = newcomers
        self._work, self._rows = Buckets(), Buckets()
        self._refused = RefusedCalls(clock)
        self._accesses = accesses
        self._clock = clock
        self._kept = kept_days * _DAY
        self._cleaned = Instant(0)

    def admit(self, service: str, counts: int) -> None:
        """ResourceExhausted when this service's token has reported so much that a report of so many counts has to wait."""
        now = self._clock.boot()
        work = self._work.of(service, _WORK, now)
        wait = max(work.wait(now, 1), self._rows.of(service, _ROWS, now).wait(now, 1))
        if wait:
            raise ResourceExhausted(
                "this token reports more accesses than can be written down; keep the report, and send it again",
                retry_after=wait,
                reason=ErrorReason.REPORTS_EXCEEDED,
            )
        work.take(_WORK_OF_A_REPORT + counts, now)

    async def take(self, report: AccessReport, service: str, token: Token) -> None:
        """Keep a report that came with this service's token; what comes again is counted once.

        What it tells of refused calls is entered in the audit log in the same transaction. Once an hour, what is too old goes
        with it.

        Unavailable for one that speaks for a time to come: else nobody would see when its enforcement point falls silent. It
        may be sent again, for after a clock was set back it comes from somebody honest. PermissionDenied for that of another
        token's incarnation.
        """
        now, boot = self._clock.now(), self._clock.boot()
        if report.end > now + PATIENCE:
            raise Unavailable(
                "the report ends later than it is here; send it again then", reason=ErrorReason.REPORT_OF_THE_FUTURE
            )
        forget = Forget(Instant(now - self._kept), now) if now - self._cleaned >= HOUR else None
        new = await self._accesses.keep(
            report,
            service,
            admit=partial(self._newcomers.admit, service, boot),
            entries=partial(self._refused.entries, service, token, report.refused, report.left_out),
            forget=forget,
        )
        self._rows.of(service, _ROWS, boot).take(new, boot)
        if forget is not None:
            self._cleaned = now

    async def page(
        self, customer: CustomerId, keys: str, period: Period, *, after: str, limit: int
    ) -> tuple[Page[AccessCount], Sequence[Unreported]]:
        """A page of what was read of a customer, and, with the first page, the times that nobody has spoken for."""
        unreported = () if after else await self._accesses.unreported(period, self._clock.now())
        last = _place(after) if after else None
        found = await self._accesses.page(customer, keys, period, after=last, limit=limit + 1)
        return page_of(found, limit, _text), unreported


def _text(count: AccessCount) -> str:
    return f"{count.hour} {count.key} {count.data_class.value if count.data_class else ''}"


def _place(text: str) -> tuple[int, str, str]:
    hour, key, data_class = text.split(" ")
    return int(hour), key, data_class
