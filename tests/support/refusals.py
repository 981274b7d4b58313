"""What a refused call was answered, taken apart."""

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status


@dataclass(frozen=True, slots=True)
class Refusal:
    """A status with its details. `fields` are the paths of BadRequest, `subjects` those of PreconditionFailure."""

    code: grpc.StatusCode
    message: str
    reason: str
    domain: str
    fields: tuple[str, ...]
    subjects: dict[str, str]
    retry_after: float | None


async def refusal_of(call: Awaitable[Any]) -> Refusal:
    """The refusal of a call; fails the test when the call is not refused."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    return refusal(refused.value)


def refusal(error: grpc.aio.AioRpcError) -> Refusal:
    """What an error says."""
    info = error_details_pb2.ErrorInfo()
    bad_request = error_details_pb2.BadRequest()
    precondition = error_details_pb2.PreconditionFailure()
    retry: error_details_pb2.RetryInfo | None = None
    status = rpc_status.from_call(error)  # type: ignore[arg-type] # a call, as far as this is concerned
    for detail in status.details if status is not None else ():
        for known in (info, bad_request, precondition):
            if detail.Is(known.DESCRIPTOR):
                detail.Unpack(known)
        if detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            retry = error_details_pb2.RetryInfo()
            detail.Unpack(retry)
    return Refusal(
        code=error.code(),
        message=error.details() or "",
        reason=info.reason,
        domain=info.domain,
        fields=tuple(violation.field for violation in bad_request.field_violations),
        subjects={violation.subject: violation.type for violation in precondition.violations},
        retry_after=None if retry is None else retry.retry_delay.ToTimedelta().total_seconds(),
    )
