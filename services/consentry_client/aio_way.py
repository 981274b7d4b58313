"""How calls are made with asyncio: they wait in the event loop. The same names as in `sync_way`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import grpc

from consentry_client.errors import cancelled
from consentry_core.pacing.silence import Silence
from consentry_core.process.tls import ClientTls
from consentry_core.rpc.client import channels
from consentry_core.rpc.client.listening import FellSilent, listening

_A = TypeVar("_A")
_Q = TypeVar("_Q")

ASYNCIO = True
INTERRUPTED = asyncio.CancelledError
"""What a call raises when it is cancelled under its caller, or its caller is cancelled."""

Channel = grpc.aio.Channel
Flag = asyncio.Event


def open_channel(target: str, tls: ClientTls | None) -> Channel:
    """A channel that the client closes. RuntimeError outside an event loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError("open an AsyncClient within the event loop that uses it: async with AsyncClient(...)") from None
    return channels.open_channel(target, tls)


async def ask(
    method: "grpc.aio.UnaryUnaryMultiCallable[_Q, _A]", request: _Q, metadata: tuple[tuple[str, str], ...], seconds: float
) -> tuple[_A, Any]:
    """The answer, and the metadata behind it."""
    call = method(request, metadata=metadata, timeout=seconds)
    return await call, await call.trailing_metadata()


async def is_set_within(flag: Flag, seconds: float) -> bool:
    """Wait for the flag, so many seconds at most; whether it is set."""
    try:
        async with asyncio.timeout(seconds):
            return await flag.wait()
    except TimeoutError:
        return False


def callers_own() -> bool:
    """Whether the caller's task was cancelled, and not only the call under it."""
    task = asyncio.current_task()
    return task is not None and bool(task.cancelling())


@asynccontextmanager
async def looked_after(call: Any, silence: Silence, limit: float) -> AsyncIterator[None]:
    """Cancel the call when it is silent for so many seconds."""
    try:
        async with listening(call, silence, limit):
            yield
    except FellSilent:
        raise cancelled() from None
