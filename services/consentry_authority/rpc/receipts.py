"""Receipts in answers: how far the change that a call has made is enforced, waited for as long as the caller can."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from google.protobuf.duration_pb2 import Duration

from consentry.authority.v1 import enforcement_pb2
from consentry_authority.enforcement.barriers import Point, PointState, Receipt, point_name
from consentry_authority.enforcement.enforcing import Enforcing
from consentry_authority.storage.store import Committed
from consentry_core.protocol.times import from_duration, optional_timestamp, to_timestamp
from consentry_core.rpc.server.open_call import Context
from consentry_core.values.clock import SECOND
from consentry_core.values.errors import InvalidArgument

# What it takes to put an answer on its way. An answer that says PENDING is worth more than a call that failed after its commit.
_BEFORE_THE_DEADLINE = 0.25

_POINT_STATE = {
    PointState.PENDING: enforcement_pb2.EnforcementPointReceipt.STATE_PENDING,
    PointState.ACKNOWLEDGED: enforcement_pb2.EnforcementPointReceipt.STATE_ACKNOWLEDGED,
    PointState.LEFT: enforcement_pb2.EnforcementPointReceipt.STATE_LEFT,
    PointState.EXPIRED: enforcement_pb2.EnforcementPointReceipt.STATE_EXPIRED,
}


class _Request(Protocol):
    @property
    def enforcement_timeout(self) -> Duration: ...

    def HasField(self, field_name: Any) -> bool: ...  # noqa: N802 - protobuf's name


class Receipts:
    """Answers with receipts."""

    def __init__(self, enforcing: Enforcing) -> None:
        self._enforcing = enforcing

    async def of(self, committed: Committed[Any], request: _Request, context: Context) -> enforcement_pb2.Enforcement:
        """The receipt of what a call has changed, or of what has brought about what it wanted before it came.

        What was never otherwise is enforced, by no change that could be named.
        """
        if not committed.own:
            return enforcement_pb2.Enforcement(state=enforcement_pb2.Enforcement.STATE_ENFORCED)
        receipt = await self._enforcing.enforce(committed, _patience(request, context))
        return receipt_to_wire(receipt)

    async def last(self, epoch: str, *subjects: str) -> enforcement_pb2.Enforcement | None:
        """The receipt of the last change that took something away from these subjects; None when none did."""
        receipt = await self._enforcing.last(epoch, subjects)
        return None if receipt is None else receipt_to_wire(receipt)

    async def kept(self, epoch: str, numbers: Sequence[int]) -> Mapping[int, enforcement_pb2.Enforcement]:
        """The receipts of those of these changes that took something away."""
        found = await self._enforcing.receipts(epoch, numbers)
        return {number: receipt_to_wire(receipt) for number, receipt in found.items()}


def check_timeout(request: _Request) -> None:
    """InvalidArgument for a timeout below zero: before anything is changed."""
    if request.HasField("enforcement_timeout") and from_duration(request.enforcement_timeout) < 0:
        raise InvalidArgument("enforcement_timeout", "must not be below 0; leave it out to wait as long as it takes")


def _patience(request: _Request, context: Context) -> float | None:
    """Seconds to wait; None: as long as it takes."""
    limits = []
    if request.HasField("enforcement_timeout"):
        limits.append(from_duration(request.enforcement_timeout) / SECOND)
    remaining = context.time_remaining()
    if remaining is not None:
        limits.append(max(remaining - _BEFORE_THE_DEADLINE, 0.0))
    return min(limits, default=None)


def receipt_to_wire(receipt: Receipt) -> enforcement_pb2.Enforcement:
    """See `Receipt`."""
    state = enforcement_pb2.Enforcement.STATE_PENDING
    if receipt.enforce_time is not None:
        state = enforcement_pb2.Enforcement.STATE_ENFORCED
    return enforcement_pb2.Enforcement(
        revision=str(receipt.revision),
        state=state,
        commit_time=to_timestamp(receipt.commit_time),
        enforce_time=optional_timestamp(receipt.enforce_time),
        points=[_point_to_wire(point) for point in receipt.points],
        point_count=receipt.point_count,
        acknowledged_count=receipt.acknowledged_count,
    )


def _point_to_wire(point: Point) -> enforcement_pb2.EnforcementPointReceipt:
    return enforcement_pb2.EnforcementPointReceipt(
        name=point_name(point.incarnation),
        service=point.service,
        state=_POINT_STATE[point.state],
        acknowledge_time=optional_timestamp(point.acknowledge_time),
    )
