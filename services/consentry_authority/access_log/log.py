"""The customers' access log: takes reports in, answers from them, and lets go of what is old.

A service's token can report as much as a fleet does, and no more: so much work at once and a second, and so many new rows an
hour. A guard that is refused keeps its report, adds to it, and sends it again: nothing is lost by it.
"""

from collections.abc import Sequence
from functools import partial

import sqlalchemy as sa

from consentry_authority.access_log.reports import HOUR, PATIENCE, AccessCount, AccessReport, Period, Unreported
from consentry_authority.audit.chain import AuditKeys
from consentry_authority.audit.refused_calls import RefusedCalls
from consentry_authority.commands.pages import Page, page_of
from consentry_authority.enforcement.limits import Allowance, Newcomers
from consentry_authority.storage.logs import accesses as rows
from consentry_authority.storage.logs import audit
from consentry_authority.storage.repositories.facts import SqlFacts
from consentry_authority.storage.store import Store
from consentry_core.values.clock import SECOND, Clock
from consentry_core.values.errors import ResourceExhausted, Unavailable
from consentry_rule import CustomerId, Instant, Token

_DAY = 86_400 * SECOND
_HOUR_IN_SECONDS = 3_600
_WORK_AT_ONCE, _WORK_A_SECOND = 10_000, 2_500  # of which a count is 1
_WORK_OF_A_REPORT = 25
_ROWS_AT_ONCE, _ROWS_AN_HOUR = 200_000, 200_000


class AccessLog:
    """What keys read, kept for so many days."""

    def __init__(self, store: Store, clock: Clock, audit_keys: AuditKeys, *, kept_days: int, newcomers: Newcomers) -> None:
        self._newcomers = newcomers
        self._work = Allowance(_WORK_AT_ONCE, _WORK_A_SECOND * _HOUR_IN_SECONDS)
        self._rows = Allowance(_ROWS_AT_ONCE, _ROWS_AN_HOUR)
        self._audit_keys = audit_keys
        self._refused = RefusedCalls(clock)
        self._store = store
        self._clock = clock
        self._kept = kept_days * _DAY
        self._cleaned = Instant(0)

    def admit(self, service: str, counts: int) -> None:
        """ResourceExhausted when this service's token has reported so much that a report of so many counts has to wait."""
        now = self._clock.boot()
        wait = max(self._work.wait(service, now), self._rows.wait(service, now))
        if wait:
            raise ResourceExhausted(
                "this token reports more accesses than can be written down; keep the report, and send it again",
                retry_after=wait,
                reason="REPORTS_EXCEEDED",
            )
        self._work.take(service, _WORK_OF_A_REPORT + counts, now)

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
            raise Unavailable("the report ends later than it is here; send it again then", reason="REPORT_OF_THE_FUTURE")
        clean = now - self._cleaned >= HOUR

        def write(connection: sa.Connection) -> int:
            new = rows.keep(connection, report, service, admit=partial(self._newcomers.admit, service, boot))
            if new is not None:
                entries = self._refused.entries(
                    service, token, report.refused, report.left_out, SqlFacts(connection).credential
                )
                audit.append(connection, self._audit_keys, entries)
            if clean:
                rows.forget_before(connection, Instant(now - self._kept), now)
            return new or 0

        self._rows.take(service, await self._store.write_aside(write), boot)
        if clean:
            self._cleaned = now

    async def page(
        self, customer: CustomerId, keys: str, period: Period, *, after: str, limit: int
    ) -> tuple[Page[AccessCount], Sequence[Unreported]]:
        """A page of what was read of a customer, and, with the first page, the times that nobody has spoken for."""
        now, last = self._clock.now(), _place(after) if after else None

        def read(connection: sa.Connection) -> tuple[Sequence[AccessCount], Sequence[Unreported]]:
            found = rows.page(connection, customer, keys, period, after=last, limit=limit + 1)
            return found, () if last is not None else rows.unreported(connection, period, now)

        found, unreported = await self._store.read_aside(read)
        return page_of(found, limit, _text), unreported


def _text(count: AccessCount) -> str:
    return f"{count.hour} {count.key} {count.data_class.value if count.data_class else ''}"


def _place(text: str) -> tuple[int, str, str]:
    hour, key, data_class = text.split(" ")
    return int(hour), key, data_class
