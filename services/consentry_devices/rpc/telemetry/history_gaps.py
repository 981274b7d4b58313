"""What of a time range is missing, and why: removed by retention, or lost by a gateway."""

from collections.abc import Iterable, Sequence

from consentry.authority.v1 import data_class_pb2
from consentry.devices.v1 import gap_pb2
from consentry_core.protocol.times import optional_instant, to_timestamp
from consentry_core.values import names
from consentry_devices.domain.state import State
from consentry_devices.log.entries import Log
from consentry_rule import CustomerId, DataClass, Instant

_MOST_LOSSES = 1_000
"""So many are told one by one, in one message; what more there are, as one."""


class HistoryGaps:
    """Finds gaps."""

    def __init__(self, log: Log, state: State) -> None:
        self._log = log
        self._state = state

    async def kept_from(self, customer: CustomerId) -> Instant:
        """Nothing that retention has removed is from this instant on."""
        removed = (await self._log.removed([customer])).get(customer, {}).get(DataClass.TELEMETRY)
        return Instant(0) if removed is None else Instant(removed.until + 1)

    async def lost(self, customer: CustomerId, start: Instant, end: Instant, *, up_to: int) -> Sequence[gap_pb2.Gap]:
        """What gateways have lost of [start, end), among the log's entries up to this one."""
        losses = await self._state.losses(customer, start, end, up_to=up_to, limit=_MOST_LOSSES + 1)
        found = [gap_pb2.Gap.FromString(loss) for loss in losses]
        if len(found) > _MOST_LOSSES:
            rest = found.pop()
            found.append(_gap(customer, gap_pb2.Gap.CAUSE_GATEWAY_LOST, optional_instant(rest, "start_time") or start, end))
        return found


def not_kept(customer: CustomerId, start: Instant, end: Instant) -> Sequence[gap_pb2.Gap]:
    """What retention has removed, if that is anything."""
    return [_gap(customer, gap_pb2.Gap.CAUSE_NOT_KEPT, start, end)] if start < end else []


def damaged(customer: CustomerId, start: Instant, end: Instant) -> list[gap_pb2.Gap]:
    """Something of it is no longer what was written."""
    return [_gap(customer, gap_pb2.Gap.CAUSE_DAMAGED, start, end)]


def opened(gaps: Iterable[gap_pb2.Gap], opened_from: Instant) -> list[bytes]:
    """The gaps, encoded, cut down to what is open."""
    found: list[bytes] = []
    for gap in gaps:
        start, end = optional_instant(gap, "start_time"), optional_instant(gap, "end_time")
        if end is not None and end <= opened_from:
            continue
        if start is not None and start < opened_from:
            gap.start_time.CopyFrom(to_timestamp(opened_from))
        found.append(gap.SerializeToString())
    return found


def _gap(customer: CustomerId, cause: gap_pb2.Gap.Cause.ValueType, start: Instant, end: Instant) -> gap_pb2.Gap:
    return gap_pb2.Gap(
        customer=names.CUSTOMER.format(customer),
        cause=cause,
        data_classes=[data_class_pb2.DATA_CLASS_TELEMETRY],
        start_time=to_timestamp(start),
        end_time=to_timestamp(end),
    )
