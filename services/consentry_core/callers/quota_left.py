"""What is left of a key's quota at an enforcement point, as its answers tell it in their trailing metadata."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

CALLS_LEFT: Final = "consentry-calls-left"
STREAMS_LEFT: Final = "consentry-streams-left"


@dataclass(frozen=True, slots=True)
class QuotaLeft:
    """How many `calls` may be made now, how many `streams` opened beside those that are; None: the key has no such limit."""

    calls: int | None = None
    streams: int | None = None


def quota_left_of(metadata: Iterable[tuple[str, str | bytes]] | None) -> QuotaLeft | None:
    """What an answer tells; None when it tells nothing."""
    told = {key: int(value) for key, value in metadata or () if key in {CALLS_LEFT, STREAMS_LEFT} and value.isdigit()}
    return QuotaLeft(told.get(CALLS_LEFT), told.get(STREAMS_LEFT)) if told else None
