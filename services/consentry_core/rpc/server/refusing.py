"""How a call that is not answered ends: with our error as a status, or with a number that stands in the log.

Nothing that is raised on the way may keep the call alive. gRPC keeps the error of `abort` with the call; that error's traceback
holds our frames, and they the call: a circle of some forty objects and the call's buffers, which only the garbage collector
frees. A refused call took some 10 us more for it.
"""

import asyncio
import logging
import secrets
from typing import Any, NamedTuple, TypeAlias

import grpc

from consentry_core.rpc.errors import STATUS_OF, told
from consentry_core.values import errors

_log = logging.getLogger(__name__)
_Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class Refusal(NamedTuple):
    """A status, and the metadata with its details."""

    code: grpc.StatusCode
    message: str
    details: tuple[tuple[str, str | bytes], ...] = ()


def refusal_of(failure: errors.ConsentryError) -> Refusal:
    """What a client is told of an error of ours."""
    message, details = told(failure)
    return Refusal(STATUS_OF[type(failure)], message, details)


def given_up(method: str, context: _Context, error: Exception) -> Refusal:
    """INTERNAL: nothing of what went wrong reaches the client. CancelledError when there is no client any more."""
    if context.cancelled() or context.done():
        # The client went while a write was under way: gRPC reports that as an error of the write, and nobody is left to answer.
        raise asyncio.CancelledError from error
    number = secrets.token_hex(6)
    _log.error("internal error id=%s method=%s", number, method, exc_info=error)
    return Refusal(grpc.StatusCode.INTERNAL, f"internal error {number}; the operator finds it in the log under this number")


async def refuse(context: _Context, refusal: Refusal, *, answers_once: bool) -> None:
    """End the call; its handler has nothing left to do but to return. `answers_once`: the answer would be a single message."""
    # What the gate has set there goes with a refusal too.
    details = (*context.trailing_metadata(), *refusal.details)
    if not answers_once:
        context.set_code(refusal.code)
        context.set_details(refusal.message)
        context.set_trailing_metadata(details)
        return
    # A single answer would go out that way as an empty message and the status, and a client that tries again by its service
    # config does not once headers have come. `abort` sends the status alone.
    try:
        await context.abort(refusal.code, refusal.message, details)
    except grpc.aio.AbortError as aborted:
        let_go(aborted)
    except grpc.aio.InternalError as error:
        raise asyncio.CancelledError from error  # the client went meanwhile


def let_go(aborted: grpc.aio.AbortError) -> None:
    """Take from gRPC's own error what leads back to the call that keeps it."""
    aborted.__traceback__ = aborted.__context__ = None
