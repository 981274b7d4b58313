"""How a call can fail, one exception a status.

    CallFailed
     +-- Unauthenticated        no credential, or none that counts (any longer)
     +-- PermissionDenied       the key does not reach this far: `reason` says why (`CONSENT_REVOKED`, `KEY_DISABLED`, ...)
     +-- InvalidArgument        the request can never succeed as it is; `violations` says which field
     +-- NotFound               not there
     +-- AlreadyExists          there already
     +-- FailedPrecondition     the state does not allow it; `violations` says what would have to change
     +-- Aborted                somebody else was first: read again, then try again
     +-- OutOfRange             asked for what is no longer kept (`RESYNC_REQUIRED`): start again with a snapshot
     +-- Unavailable            out of reach; `retry_after` seconds later it may be back
     +-- ResourceExhausted      too fast, or too much; likewise
     +-- DeadlineExceeded       no answer in time
     +-- Cancelled              this client was closed, or the process has forked
     +-- UnexpectedFailure      anything else: a defect of either side

`Unavailable`, and `ResourceExhausted` that says when to come back, never end a watch: it comes back by itself.

A status without a `reason` is not our services' own. Proxies and the transport tell of a broken way with UNAVAILABLE, INTERNAL,
UNKNOWN, CANCELLED or DEADLINE_EXCEEDED: then a watch comes back (from the last four at most ten times without progress), and a
call is repeated, twice at most. What else comes without a reason is no broken way but a refusal, such as a proxy's own sign-in.
"""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

import grpc
from google.protobuf.any_pb2 import Any as PackedMessage
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from consentry_core.rpc.errors import error_info, retry_after
from consentry_core.values.errors import Violation

_NOTHING: Mapping[str, str] = MappingProxyType({})


class CallFailed(Exception):
    """A call that failed.

    `reason` is stable (`google.rpc.ErrorInfo.reason`), empty when the status is the transport's own; `message` is for people;
    `metadata` is ErrorInfo's; `violations` name fields or subjects; `retry_after` is in seconds, None when nothing was asked.
    """

    def __init__(
        self,
        message: str,
        *,
        status: grpc.StatusCode,
        reason: str = "",
        metadata: Mapping[str, str] = _NOTHING,
        violations: Sequence[Violation] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"{reason or status.name}: {message}")
        self.message = message
        self.status = status
        self.reason = reason
        self.metadata = metadata
        self.violations = tuple(violations)
        self.retry_after = retry_after


class Unauthenticated(CallFailed):
    """No credential, or none that counts: unknown, ended, or deleted while a stream was open."""


class PermissionDenied(CallFailed):
    """The key counts, and does not reach this far."""


class InvalidArgument(CallFailed):
    """The request can never succeed as it is."""


class NotFound(CallFailed):
    """Not there."""


class AlreadyExists(CallFailed):
    """There already."""


class FailedPrecondition(CallFailed):
    """The state does not allow it."""


class Aborted(CallFailed):
    """Somebody else was first."""


class OutOfRange(CallFailed):
    """Asked for what is no longer kept, or never was in this store."""


class Unavailable(CallFailed):
    """Out of reach."""


class ResourceExhausted(CallFailed):
    """Too fast, or too much."""


class DeadlineExceeded(CallFailed):
    """No answer in time."""


class Cancelled(CallFailed):
    """This client was closed (`CLIENT_CLOSED`), or is another process's (`PROCESS_FORKED`), or a proxy gave up (no reason)."""


class UnexpectedFailure(CallFailed):
    """Anything else."""


EXCEPTION_OF: Mapping[grpc.StatusCode, type[CallFailed]] = {
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
    grpc.StatusCode.INVALID_ARGUMENT: InvalidArgument,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExists,
    grpc.StatusCode.FAILED_PRECONDITION: FailedPrecondition,
    grpc.StatusCode.ABORTED: Aborted,
    grpc.StatusCode.OUT_OF_RANGE: OutOfRange,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ResourceExhausted,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.CANCELLED: Cancelled,
}


def failure_of(error: grpc.RpcError) -> CallFailed:
    """The exception for a call that failed, with what its `google.rpc` details say."""
    status: grpc.StatusCode = error.code()
    info = error_info(error)
    return EXCEPTION_OF.get(status, UnexpectedFailure)(
        _printable(error.details() or ""),
        status=status,
        reason=info.reason,
        metadata=dict(info.metadata),
        violations=tuple(_violations(error)),
        retry_after=retry_after(error),
    )


_BROKEN = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,  # no connection; HTTP 429, 502, 503, 504
        grpc.StatusCode.INTERNAL,  # RST_STREAM, as nginx and Envoy reset a stream whose upstream is gone; HTTP 400
        grpc.StatusCode.UNKNOWN,  # a stream that ended without a status; HTTP 500
        grpc.StatusCode.CANCELLED,  # RST_STREAM with CANCEL
        grpc.StatusCode.DEADLINE_EXCEEDED,  # a proxy's own
    }
)


def broken_on_the_way(failure: CallFailed) -> bool:
    """Whether somebody between here and the service, or the transport, tells of a way that broke."""
    return not failure.reason and failure.status in _BROKEN


def closed() -> Cancelled:
    """What a call gets whose client was closed."""
    return Cancelled("the client is closed; open a new one", status=grpc.StatusCode.CANCELLED, reason="CLIENT_CLOSED")


def forked(advice: str) -> Cancelled:
    """What a call gets in a process that was forked from the one that opened the client."""
    return Cancelled(
        f"this process was forked after the client was opened, and gRPC's threads stayed behind; {advice}",
        status=grpc.StatusCode.CANCELLED,
        reason="PROCESS_FORKED",
    )


def ended_early() -> Unavailable:
    """What a stream counts as that ended well before it was asked to: somebody between here and there has cut it."""
    return Unavailable("the stream ended", status=grpc.StatusCode.UNAVAILABLE, reason="STREAM_ENDED")


def fell_silent(seconds: float) -> Unavailable:
    """What a stream counts as on which nothing comes any more, not even heartbeats."""
    return Unavailable(
        f"nothing came for {seconds:g} s, though the service sends heartbeats: the connection is as good as gone",
        status=grpc.StatusCode.UNAVAILABLE,
        reason="STREAM_SILENT",
    )


def cancelled() -> Cancelled:
    """What a call counts as that was cancelled here while somebody waited for it."""
    return Cancelled("the call was cancelled", status=grpc.StatusCode.CANCELLED)


def no_more_came(seconds: float) -> DeadlineExceeded:
    """What an answer of several messages counts as when the next one does not come."""
    return DeadlineExceeded(
        f"nothing more of the answer came for {seconds:g} s: leave what came of it aside, and ask again",
        status=grpc.StatusCode.DEADLINE_EXCEEDED,
        reason="STREAM_SILENT",
    )


def cut_off(failure: CallFailed) -> CallFailed:
    """What an answer of several messages counts as that broke before its end. It is not asked again: part of it was told."""
    if not broken_on_the_way(failure):
        return failure
    words = "the answer is not complete: leave what came of it aside, and ask again"
    return Unavailable(f"{failure.message}; {words}", status=grpc.StatusCode.UNAVAILABLE, reason="ANSWER_CUT_OFF")


def with_words(failure: CallFailed, words: str) -> CallFailed:
    """The same failure, and what became of it."""
    return type(failure)(
        f"{failure.message}; {words}",
        status=failure.status,
        reason=failure.reason,
        metadata=failure.metadata,
        violations=failure.violations,
        retry_after=failure.retry_after,
    )


def _printable(text: str) -> str:
    """The text on one line, with escapes for what a terminal would obey: whoever is on the way can write a status."""
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


def _violations(error: grpc.RpcError) -> Iterator[Violation]:
    bad_request, precondition = error_details_pb2.BadRequest(), error_details_pb2.PreconditionFailure()
    for detail in _details(error):
        if detail.Unpack(bad_request):
            for violation in bad_request.field_violations:
                yield Violation(_printable(violation.field), _printable(violation.description))
        elif detail.Unpack(precondition):
            for failure in precondition.violations:
                yield Violation(_printable(failure.subject), _printable(failure.description))


def _details(error: grpc.RpcError) -> Sequence[PackedMessage]:
    try:
        status = rpc_status.from_call(error)  # type: ignore[arg-type] # every RpcError of a call is a call
    except (AttributeError, ValueError):
        return ()  # the transport's own, or damaged on the way
    return () if status is None else status.details
