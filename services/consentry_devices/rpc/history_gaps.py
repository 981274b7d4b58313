"""What of a time range is missing, and why: removed by retention, or lost by a gateway."""

from collections.abc import Callable, Sequence

from consentry.authority.v1 import data_class_pb2
from consentry.devices.v1 import gap_pb2
from consentry_core import names
from consentry_core.rpc.times import from_timestamp, to_timestamp
from consentry_devices.feed.log import Log
from consentry_devices.state import State
from consentry_rule import CustomerId, DataClass, Instant

_MOST_LOSSES = 1_000
"""So many are told one by one, in one message; what more there are, as one."""


class HistoryGaps:
    """Finds gaps."""

    def __init__(self, log: Log, state: State) -> None:
        self._log = log
        self._state = state

    async def within(
        self, customer: CustomerId, start: Instant, end: Instant, *, up_to: int
    ) -> Callable[[Instant], Sequence[bytes]]:
        """The serialised `Gap`s of [start, end), once it is known from when on the customer's data is open."""
        found: list[gap_pb2.Gap] = []
        removed = (await self._log.removed([customer])).get(customer, {}).get(DataClass.TELEMETRY)
        if removed is not None and start <= removed.until:
            found.append(_gap(customer, gap_pb2.Gap.CAUSE_NOT_KEPT, start, Instant(min(end, removed.until + 1))))
        losses = await self._state.losses(customer, start, end, up_to=up_to, limit=_MOST_LOSSES + 1)
        found += map(gap_pb2.Gap.FromString, losses[:_MOST_LOSSES])
        if len(losses) > _MOST_LOSSES:
            further = from_timestamp(gap_pb2.Gap.FromString(losses[-1]).start_time, "start_time")
            found.append(_gap(customer, gap_pb2.Gap.CAUSE_GATEWAY_LOST, further, end))
        return lambda opened_from: [gap.SerializeToString() for gap in found if _opened(gap, opened_from)]


def _gap(customer: CustomerId, cause: gap_pb2.Gap.Cause.ValueType, start: Instant, end: Instant) -> gap_pb2.Gap:
    return gap_pb2.Gap(
        customer=names.CUSTOMER.format(customer),
        cause=cause,
        data_classes=[data_class_pb2.DATA_CLASS_TELEMETRY],
        start_time=to_timestamp(start),
        end_time=to_timestamp(end),
    )


def _opened(gap: gap_pb2.Gap, opened_from: Instant) -> bool:
    """Cut the gap down to what is open; whether anything is left of it."""
    if gap.HasField("end_time") and from_timestamp(gap.end_time, "end_time") <= opened_from:
        return False
    if gap.HasField("start_time") and from_timestamp(gap.start_time, "start_time") < opened_from:
        gap.start_time.CopyFrom(to_timestamp(opened_from))
    return True
