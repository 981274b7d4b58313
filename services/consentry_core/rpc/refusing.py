"""How a call that is not answered ends: with our error as a status, or with a number that stands in the log."""

import asyncio
import logging
import secrets
from typing import Any, NoReturn, TypeAlias

import grpc

from consentry_core import errors
from consentry_core.rpc.errors import STATUS_OF, told

_log = logging.getLogger(__name__)
_Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


async def refuse(context: _Context, failure: errors.ConsentryError) -> NoReturn:
    """End the call with our error, its details with it."""
    message, details = told(failure)
    try:
        # What the gate has set there goes with a refusal too.
        await context.abort(STATUS_OF[type(failure)], message, (*context.trailing_metadata(), *details))
    except grpc.aio.InternalError as error:
        raise asyncio.CancelledError from error  # the client went meanwhile


async def give_up(method: str, context: _Context, error: Exception) -> NoReturn:
    """End the call with INTERNAL: nothing of what went wrong reaches the client."""
    if context.cancelled() or context.done():
        # The client went while a write was under way: gRPC reports that as an error of the write, and nobody is left to answer.
        raise asyncio.CancelledError from error
    number = secrets.token_hex(6)
    _log.error("internal error id=%s method=%s", number, method, exc_info=error)
    await context.abort(
        grpc.StatusCode.INTERNAL, f"internal error {number}; the operator finds it in the log under this number"
    )
