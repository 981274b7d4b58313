"""What is done about frames that the service refuses for good: they are mended, or given up, and go out under their number."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from consentry_core.process.settings import SettingError
from consentry_core.values.clock import SECOND, Clock
from consentry_gateway.outbox.outbox import Draft, Outbox, Span
from consentry_gateway.publishing.refusals import FULL, Frame, LeftOut, leave_out

_log = logging.getLogger(__name__)

_HOUR = 3_600 * SECOND
_MOST_LEFT_OUT = 64  # times of one frame; each ends the stream


class Mending:
    """Mends frames in an outbox. `customer`: the name of the one that the settings name; the others as for `Publisher`."""

    def __init__(
        self,
        outbox: Outbox,
        on_disk: Callable[..., Awaitable[Any]],
        clock: Clock,
        *,
        customer: str,
        on_refused: Callable[[str], None],
        on_left_out: Callable[[str, LeftOut], None],
        on_untold: Callable[[str, Span], Mapping[str, str | None]],
    ) -> None:
        self._outbox = outbox
        self._on_disk = on_disk
        self._clock = clock
        self._customer = customer
        self._on_refused = on_refused
        self._on_left_out = on_left_out
        self._on_untold = on_untold
        self._number = self._times = 0
        self._full: dict[str, int] = {}  # by agent, since when its customer has as much as may be

    async def mend(self, number: int, field: str, reason: str, why: str) -> bool:
        """Leave out of a frame what the service refused; whether there was anything."""
        draft = await self._on_disk(self._outbox.draft, number)
        if draft is None:
            return False
        now = self._clock.boot()
        if self._number != number:
            self._number, self._times = number, 0
        self._times += 1
        if reason == FULL:
            self._full[draft.about] = now
        full = now - self._full.get(draft.about, now - _HOUR) < _HOUR
        if field.startswith("frame.loss") and draft.span is not None:
            kept = draft.span if draft.readings else None
            rest, remember = Draft(draft.about, draft.told, draft.readings, kept), self._on_untold(draft.about, draft.span)
            await self._on_disk(self._outbox.replace, number, rest, remember)
            _log.error("frame=%s about=%r what it says is lost is refused, and told later: %s", number, draft.about, why)
            return True
        frame = Frame.FromString(draft.told + draft.readings)
        what = leave_out(frame, field, reason, full=full)
        if what is None or self._times > _MOST_LEFT_OUT:
            await self._on_disk(self._outbox.empty, number)
            _log.error("frame=%s about=%r refused and dropped: %s", number, draft.about, why)
            self._on_refused(draft.about)
            return True
        readings = Frame(telemetry=frame.telemetry)
        frame.ClearField("telemetry")
        rest = Draft(
            draft.about, frame.SerializeToString(), readings.SerializeToString(), draft.span, draft.lost or what.readings
        )
        await self._on_disk(self._outbox.replace, number, rest)
        _log.error("frame=%s about=%r %s refused and left out: %s", number, draft.about, what.what, why)
        self._on_left_out(draft.about, what)
        return True

    async def foreign(self, of_token: str, *, at_start: bool) -> bool:
        """The token is of a customer that some frame is not of; whether that was mended."""
        if not of_token or not self._customer:
            return False
        if of_token == self._customer:
            count = await self._on_disk(self._outbox.empty_without, f"{self._customer}/")
            _log.error("frames=%d are another customer's than %s, and dropped", count, self._customer)
            return bool(count)
        if at_start:
            raise SettingError(
                f"the gateway's token is for {of_token}, and it is to publish for {self._customer}: "
                "give the token of that customer with --token-file, or the token's customer with --customer"
            )
        return False
