"""One call that is under way, as whoever lets it in, answers it or ends it sees it.

It can be ended from outside (`OpenCall.end`): it is marked first, so that its next write is refused, and woken second. One that
is stuck in a write stays stuck until its client reads or goes (`stuck` may see to that), and then writes nothing more.
"""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NoReturn, TypeAlias

import grpc

from consentry_core.pacing.waking import Waking
from consentry_core.values import errors

Context = grpc.aio.ServicerContext[Any, Any]
Metadata: TypeAlias = Sequence[tuple[str, str | bytes]]
Check = Callable[[], None]
Later: TypeAlias = Awaitable[None] | None
"""What is still to be awaited; None when everything is done already.

Nearly every call is decided from what is in memory. Coroutines that never wait were a tenth of what such a call cost.
"""


def _nothing_to_check() -> None:
    pass


def _peer_of(context: Context) -> str:
    return context.peer()


def _over() -> NoReturn:
    raise RuntimeError("the call is over; nothing can be written any more")


class OpenCall:
    """One call that is under way."""

    __slots__ = (
        "_ending",
        "_over",
        "_task",
        "_woken",
        "_writing",
        "caller",
        "check_write",
        "context",
        "known_as",
        "message_bytes",
        "metadata",
        "method",
        "on_request",
        "owed",
        "peer_of",
        "request_id",
        "streaming",
        "writes",
    )

    def __init__(self, method: str, context: Context, *, streaming: bool = False, metadata: Metadata = ()) -> None:
        self.method = method
        self.context = context
        self.metadata = metadata
        """What its client sent with it."""
        self.streaming = streaming
        """Whether messages go on coming, either way, until somebody ends it."""
        self.caller: object = None
        self.known_as = ""
        """The credential that it was proved to come with, let in or not; a gate sets it."""
        self.message_bytes = 0
        """The size of the message that is checked; for who counts what is handed out."""
        self.request_id = ""
        """What its client calls it, if it says so; for logs."""
        self.check_write: Check = _nothing_to_check
        self.on_request: Callable[[Any], Later] | None = None
        """What to do with the request, of a method that takes one, before the method runs; a gate sets it."""
        self.peer_of: Callable[[Context], str] = _peer_of
        """Tells where it comes from, for logs; a gate that trusts proxies sets it."""
        self._task = asyncio.current_task()
        self._ending: errors.ConsentryError | None = None
        self.writes = 0
        """How many writes of its stream were begun."""
        self._writing = False
        self._woken = False
        self.owed = False
        """Whether a `Waking` is going to ring it."""
        self._over = False

    @property
    def stuck_in_write(self) -> bool:
        """Whether it waits for its client to read."""
        return self._writing

    def end(self, error: errors.ConsentryError, waking: Waking | None = None) -> None:
        """End the call with this error. The first reason counts; a call that is over stays as it ended.

        From here on it writes nothing. Its client is told at once, or when `waking` comes to it: thousands may end together.
        """
        if self._over or self._ending is not None:
            return
        self._ending = error
        if waking is None:
            self.ring()
        else:
            waking.ring((self,))

    def ring(self) -> None:
        """Let a call that was ended tell its client so."""
        if not (self._over or self._woken or self._writing or self._task is None or self._task is asyncio.current_task()):
            self._woken = self._task.cancel()  # caught in `answer`, which answers with the error

    def check(self) -> None:
        """Raise unless a write may begin now."""
        if self._ending is not None:
            raise self._ending
        self.check_write()

    async def write(self, message: bytes) -> None:
        """Check, and begin the write in the same step."""
        self.message_bytes = len(message)
        self.check()
        self._writing = True
        self.writes += 1
        try:
            await self.context.write(message)
        except grpc.aio.InternalError as error:
            raise asyncio.CancelledError from error  # the client went meanwhile: nobody is left to answer
        finally:
            self._writing = False
        if self._ending is not None:
            raise self._ending

    def was_ended(self) -> errors.ConsentryError | None:
        """The error that the call was ended with, if it was, once a cancellation arrives; undoes our own cancellation."""
        if self._woken and self._task is not None and self._task.uncancel() == 0:
            return self._ending
        return None

    def close(self) -> None:
        """From here on `end` does nothing, and nothing may be written.

        Lets go of everything that leads back to this call (its task's context holds it, its caller does): a finished call is
        freed at once, with its buffers, and not when the garbage collector comes by. That was a fifth of a guarded call's cost.
        """
        self._over = True
        self._task = self.caller = self.on_request = None
        self.metadata = ()  # its secret is in there
        self.check_write = _over


current_call: contextvars.ContextVar[OpenCall] = contextvars.ContextVar("current_call")
"""The call that a servicer's method is answering."""
