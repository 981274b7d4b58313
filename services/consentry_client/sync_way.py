"""How calls are made without an event loop: they wait in the caller's thread. The same names as in `aio_way`."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import grpc

from consentry_core.pacing.silence import LOOKS, Silence
from consentry_core.process.tls import ClientTls
from consentry_core.rpc.client.channels import open_sync_channel

_A = TypeVar("_A")
_Q = TypeVar("_Q")

ASYNCIO = False
INTERRUPTED = ValueError
"""What a call raises when its channel is closed under it, by another thread."""

Channel = grpc.Channel
Flag = threading.Event


def open_channel(target: str, tls: ClientTls | None) -> Channel:
    """A channel that the client closes."""
    return open_sync_channel(target, tls)


def ask(
    method: "grpc.UnaryUnaryMultiCallable[_Q, _A]", request: _Q, metadata: tuple[tuple[str, str], ...], seconds: float
) -> tuple[_A, Any]:
    """The answer, and the metadata behind it."""
    answer, call = method.with_call(request, metadata=metadata, timeout=seconds)
    return answer, call.trailing_metadata()


def is_set_within(flag: Flag, seconds: float) -> bool:
    """Wait for the flag, so many seconds at most; whether it is set."""
    return flag.wait(seconds)


def callers_own() -> bool:
    """Whether the caller itself was interrupted, and not only the call under it. A thread cannot be."""
    return False


@contextmanager
def looked_after(call: Any, silence: Silence, limit: float) -> Iterator[None]:
    """Cancel the call when it is silent for so many seconds. A second thread looks, as the caller's waits for the message."""
    over = threading.Event()

    def look() -> None:
        while not over.wait(limit / LOOKS):
            if silence.look():
                call.cancel()
                return

    threading.Thread(target=look, name="consentry-silence", daemon=True).start()
    try:
        yield
    finally:
        over.set()
