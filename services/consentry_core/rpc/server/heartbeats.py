"""How long a stream may be silent, as its client asks for it."""

from typing import Any

from consentry_core.protocol.times import from_duration
from consentry_core.values.clock import SECOND
from consentry_core.values.errors import InvalidArgument

_SHORTEST, _LONGEST, _DEFAULT = SECOND, 300 * SECOND, 15 * SECOND


def heartbeat_interval(request: Any) -> float:
    """Seconds, by a request's `heartbeat_interval`; absent: 15. InvalidArgument for one that is too short or too long."""
    asked = from_duration(request.heartbeat_interval) if request.HasField("heartbeat_interval") else _DEFAULT
    if not _SHORTEST <= asked <= _LONGEST:
        raise InvalidArgument("heartbeat_interval", "must be between 1 s and 300 s", reason="HEARTBEAT_INVALID")
    return asked / SECOND
