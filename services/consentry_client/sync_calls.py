"""How the client without an event loop calls. The same as `consentry_client.aio_calls`."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc

from consentry_client.backoff import Random
from consentry_client.errors import CallFailed, closed, ended_early, failure_of
from consentry_client.forking import Process
from consentry_client.protecting import credential, protected
from consentry_client.requests import PageRequestT, PageT
from consentry_client.resuming import Answer, Attempts, Message, Question, Told, Watch
from consentry_core.callers.quota_left import QuotaLeft, quota_left_of
from consentry_core.pacing.silence import LOOKS, Silence
from consentry_core.process.tls import ClientTls
from consentry_core.rpc.client.channels import bearer, open_sync_channel
from consentry_core.rpc.client.renewed import connection_of, leave

_A = TypeVar("_A")
_Q = TypeVar("_Q")


class Calls:
    """See `AsyncCalls`."""

    def __init__(self, secret: str, timeout: float, random: Random, tls: ClientTls | None, *, plaintext: bool) -> None:
        self._random = random
        self._process = Process(asyncio=False)
        self._tls = tls
        self._plaintext = plaintext
        self._metadata = bearer(credential(secret))
        self._timeout = timeout
        self._own: list[grpc.Channel] = []
        self._calls: set[Any] = set()
        self._closed = threading.Event()
        self._quota_left: QuotaLeft | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End what is open: whoever is iterating gets `Cancelled`."""
        self._closed.set()
        if not self._process.is_this:
            return
        for call in tuple(self._calls):
            call.cancel()
        for channel in self._own:
            channel.close()

    @property
    def quota_left(self) -> QuotaLeft | None:
        """What was left of the key's quota where it was last told, as each that counts counts by itself; None: nobody has told.

        Told by the answer of every call, and by the end of every stream as of its beginning; refused ones too.
        """
        return self._quota_left

    def _channel(self, target: str | grpc.Channel | None) -> grpc.Channel | None:
        if not isinstance(target, str):
            return target
        channel = open_sync_channel(target, protected(target, self._tls, plaintext=self._plaintext))
        self._own.append(channel)
        return channel

    def _ask(self, method: "grpc.UnaryUnaryMultiCallable[_Q, _A]", request: _Q) -> _A:
        """The answer to a question that changes nothing, so that it can be asked again."""
        attempts = Attempts(self._random, self._timeout, time.monotonic)
        while True:
            try:
                return self._ask_once(method, request, attempts.left())
            except CallFailed as failure:
                wait = attempts.failed(failure)
            self._pause(wait)

    def _ask_once(self, method: "grpc.UnaryUnaryMultiCallable[_Q, _A]", request: _Q, timeout: float) -> _A:
        self._refuse_if_closed()
        try:
            answer, call = method.with_call(request, metadata=self._metadata, timeout=timeout)
        except grpc.RpcError as error:
            self._hear(error)
            self._refuse_if_closed()
            raise failure_of(error) from error
        except ValueError:  # what gRPC says when the channel is closed just now, by another thread
            self._refuse_if_closed()
            raise
        self._hear(call)
        return answer

    def _pages(self, method: "grpc.UnaryUnaryMultiCallable[PageRequestT, PageT]", request: PageRequestT) -> Iterator[PageT]:
        while True:
            page = self._ask(method, request)
            yield page
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    @contextmanager
    def _open(
        self, method: "grpc.UnaryStreamMultiCallable[_Q, _A]", request: _Q, silence: Silence
    ) -> "Iterator[_Messages[_A]]":
        """A stream, cancelled when it is left: an abandoned call would stay open."""
        self._refuse_if_closed()
        call: Any = method(request, metadata=self._metadata)
        self._calls.add(call)
        try:
            self._refuse_if_closed()
            yield _Messages(call, silence, self._process)
            if call.done():
                self._hear(call)
        except grpc.RpcError as error:
            self._hear(error)
            self._refuse_if_closed()
            raise failure_of(error) from error
        finally:
            if self._process.is_this:
                self._calls.discard(call)
                call.cancel()

    def _told(
        self, method: "grpc.UnaryStreamMultiCallable[_Q, _A]", request: _Q, of: Callable[[_A], Iterator[Told]]
    ) -> Iterator[Told]:
        """What the messages of an answer hold."""
        answer: Answer[_Q, _A] = Answer(self._random, request, self._timeout, time.monotonic)
        for message in self._watch(method, answer):
            yield from of(message)

    def _watch(
        self, method: "grpc.UnaryStreamMultiCallable[Question, Message]", watch: Watch[Question, Message, Told]
    ) -> Iterator[Told]:
        while True:
            connection, silence = connection_of(method), Silence()
            try:
                with self._open(method, watch.request(), silence) as messages, messages.looked_after(watch.silence):
                    for message in messages:
                        event = watch.receive(message)
                        if event is not None:
                            yield event
                        if watch.done:
                            return
                if watch.ends:
                    return
                raise ended_early()
            except CallFailed as failure:
                if silence.noticed and not failure.reason:
                    leave(method, connection)
                    wait = watch.lost(watch.silent())
                else:
                    wait = watch.lost(failure)
            self._pause(wait)

    def _pause(self, seconds: float) -> None:
        if self._closed.wait(seconds):
            raise closed()

    def _hear(self, call: Any) -> None:
        """A call is over, well or not: take in what it told beside its answer."""
        self._quota_left = quota_left_of(call.trailing_metadata()) or self._quota_left

    def _refuse_if_closed(self) -> None:
        self._process.check()
        if self._closed.is_set():
            raise closed()


class _Messages(Iterator[_A]):
    """The messages of a call. Its silence counts while the next one is waited for."""

    def __init__(self, call: Any, silence: Silence, process: Process) -> None:
        self._call = call
        self._silence = silence
        self._process = process

    def __next__(self) -> _A:
        self._process.check()
        self._silence.waiting = True
        message: _A = next(self._call)
        self._silence.heard()
        return message

    @contextmanager
    def looked_after(self, limit: float) -> Iterator[None]:
        """Cancel the call when it is silent for so many seconds. Another thread does, as this one waits in `next`."""
        over, call, silence = threading.Event(), self._call, self._silence

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
