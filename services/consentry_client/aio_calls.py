"""How the client for asyncio calls: errors as `CallFailed`, pages, streams, watches that come back."""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc

from consentry_client import aio_way as way
from consentry_client.errors import CallFailed, closed, ended_early, failure_of
from consentry_client.forking import Process
from consentry_client.protecting import credential, protected
from consentry_client.requests import PageRequestT, PageT
from consentry_client.resuming import Answer, Attempts, Message, Question, Told, Watch
from consentry_core.callers.quota_left import QuotaLeft, quota_left_of
from consentry_core.pacing.backoff import Random
from consentry_core.pacing.silence import Silence
from consentry_core.process.tls import ClientTls
from consentry_core.rpc.client.channels import bearer
from consentry_core.rpc.client.renewed import connection_of, leave

_A = TypeVar("_A")
_Q = TypeVar("_Q")


class AsyncCalls:
    """One credential's calls. `close` ends what is open."""

    def __init__(self, secret: str, timeout: float, random: Random, tls: ClientTls | None, *, plaintext: bool) -> None:
        self._random = random
        self._process = Process(asyncio=way.ASYNCIO)
        self._tls = tls
        self._plaintext = plaintext
        self._metadata = bearer(credential(secret))
        self._timeout = timeout
        self._own: list[way.Channel] = []
        self._calls: set[Any] = set()
        self._closed = way.Flag()
        self._quota_left: QuotaLeft | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End what is open: whoever is iterating gets `Cancelled`."""
        self._closed.set()
        if not self._process.is_this:
            return
        for call in tuple(self._calls):
            call.cancel()
        for channel in self._own:
            await channel.close()

    @property
    def quota_left(self) -> QuotaLeft | None:
        """What was left of the key's quota at the service that answered last; None while no answer told of one.

        Each service counts by itself. The answer of every call tells it, refused calls too; the end of a stream tells what was
        left when it began.
        """
        return self._quota_left

    def _channel(self, target: str | way.Channel | None) -> way.Channel | None:
        if not isinstance(target, str):
            return target
        channel = way.open_channel(target, protected(target, self._tls, plaintext=self._plaintext))
        self._own.append(channel)
        return channel

    async def _ask(self, method: "grpc.aio.UnaryUnaryMultiCallable[_Q, _A]", request: _Q) -> _A:
        """The answer to a question that changes nothing, so that it can be asked again."""
        attempts = Attempts(self._random, self._timeout, time.monotonic)
        while True:
            try:
                return await self._ask_once(method, request, attempts.left())
            except CallFailed as failure:
                wait = attempts.failed(failure)
            await self._pause(wait)

    async def _ask_once(self, method: "grpc.aio.UnaryUnaryMultiCallable[_Q, _A]", request: _Q, seconds: float) -> _A:
        self._refuse_if_closed()
        async with self._failures():
            answer, metadata = await way.ask(method, request, self._metadata, seconds)
        self._hear(metadata)
        return answer

    async def _pages(
        self, method: "grpc.aio.UnaryUnaryMultiCallable[PageRequestT, PageT]", request: PageRequestT
    ) -> AsyncIterator[PageT]:
        while True:
            page = await self._ask(method, request)
            yield page
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    @asynccontextmanager
    async def _open(
        self, method: "grpc.aio.UnaryStreamMultiCallable[_Q, _A]", request: _Q, silence: Silence, limit: float
    ) -> "AsyncIterator[_Messages[_A]]":
        """A stream, cancelled when it is left: gRPC does not collect calls that were abandoned.

        It is cancelled too when the next message is waited for longer than `limit` seconds; then `silence` has noticed it.
        """
        self._refuse_if_closed()
        async with self._failures():
            call: Any = method(request, metadata=self._metadata)
            self._calls.add(call)
            try:
                self._refuse_if_closed()  # closed by another thread before the call was one of those to end
                async with way.looked_after(call, silence, limit):
                    yield _Messages(call, silence, self._process)
                if call.done():
                    self._hear(await call.trailing_metadata())
            finally:
                if self._process.is_this:
                    self._calls.discard(call)
                    call.cancel()

    @asynccontextmanager
    async def _failures(self) -> AsyncIterator[None]:
        try:
            yield
        except grpc.RpcError as error:
            self._hear(error.trailing_metadata())
            self._refuse_if_closed()
            raise failure_of(error) from error
        except way.INTERRUPTED:
            if not way.callers_own():
                self._refuse_if_closed()
            raise

    async def _told(
        self, method: "grpc.aio.UnaryStreamMultiCallable[_Q, _A]", request: _Q, of: Callable[[_A], Iterator[Told]]
    ) -> AsyncIterator[Told]:
        """The parts of an answer, message by message."""
        answer: Answer[_Q, _A] = Answer(self._random, request, self._timeout, time.monotonic)
        async with aclosing(self._watch(method, answer)) as messages:
            async for message in messages:
                for told in of(message):
                    yield told

    async def _watch(
        self, method: "grpc.aio.UnaryStreamMultiCallable[Question, Message]", watch: Watch[Question, Message, Told]
    ) -> AsyncGenerator[Told]:
        while True:
            connection, silence = connection_of(method), Silence()
            try:
                async with self._open(method, watch.request(), silence, watch.silence) as messages:
                    async for message in messages:
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
            await self._pause(wait)

    async def _pause(self, seconds: float) -> None:
        if await way.is_set_within(self._closed, seconds):
            raise closed()

    def _hear(self, metadata: Any) -> None:
        """A call is over, with an answer or a failure: take in the metadata behind it."""
        self._quota_left = quota_left_of(metadata) or self._quota_left

    def _refuse_if_closed(self) -> None:
        self._process.check()
        if self._closed.is_set():
            raise closed()


class _Messages(AsyncIterator[_A]):
    """The messages of a call. Its silence counts while the next one is waited for."""

    def __init__(self, call: Any, silence: Silence, process: Process) -> None:
        self._messages = call.__aiter__()
        self._silence = silence
        self._process = process

    async def __anext__(self) -> _A:
        self._process.check()
        self._silence.waiting = True
        message: _A = await self._messages.__anext__()
        self._silence.heard()
        return message
