"""When readings were measured: from when until when. No I/O."""

from collections.abc import Iterable
from dataclasses import dataclass

from consentry_core.values.taken_in import EARLIEST_TIME, believed
from consentry_rule import Instant


@dataclass(frozen=True, slots=True)
class Span:
    """When readings were measured, both ends included."""

    since: Instant
    until: Instant


def joined(spans: Iterable[Span | None]) -> Span | None:
    """The span that holds all of these."""
    known = [span for span in spans if span is not None]
    return Span(min(span.since for span in known), max(span.until for span in known)) if known else None


def believable(span: Span, now: Instant) -> Span:
    """The span, moved up to `now` where its times are not believed at that moment: a clock was wrong."""
    if not believed(now, now) or (believed(span.since, now) and believed(span.until, now)):
        return span
    until = span.until if believed(span.until, now) else now
    since = span.since if EARLIEST_TIME <= span.since <= until else until - (span.until - span.since)
    return Span(Instant(since) if since >= EARLIEST_TIME else until, until)
