"""How the client for asyncio calls: who it is, errors as `CallFailed`, pages, streams that are left, watches that come back."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, contextmanager
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc

from consentry_client.backoff import Random
from consentry_client.errors import CallFailed, cancelled, closed, ended_early, failure_of
from consentry_client.forking import Process
from consentry_client.protecting import credential, protected
from consentry_client.requests import PageRequestT, PageT
from consentry_client.resuming import Answer, Attempts, Message, Question, Told, Watch
from consentry_core.callers.quota_left import QuotaLeft, quota_left_of
from consentry_core.pacing.silence import Silence
from consentry_core.process.tls import ClientTls
from consentry_core.rpc.client.channels import bearer, open_channel
from consentry_core.rpc.client.listening import FellSilent, listening
from consentry_core.rpc.client.renewed import connection_of, leave

_A = TypeVar("_A")
_Q = TypeVar("_Q")


class AsyncCalls:
    """One credential's calls. `close` ends what is open."""

    def __init__(self, secret: str, timeout: float, random: Random, tls: ClientTls | None, *, plaintext: bool) -> None:
        self._random = random
        self._process = Process(asyncio=True)
        self._tls = tls
        self._plaintext = plaintext
        self._metadata = bearer(credential(secret))
        self._timeout = timeout
        self._own: list[grpc.aio.Channel] = []
        self._calls: set[grpc.aio.Call] = set()
        self._closed = asyncio.Event()
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
        """What was left of the key's quota where it was last told, as each that counts counts by itself; None: nobody has told.

        Told by the answer of every call, and by the end of every stream as of its beginning; refused ones too.
        """
        return self._quota_left

    def _channel(self, target: str | grpc.aio.Channel | None) -> grpc.aio.Channel | None:
        if not isinstance(target, str):
            return target
        tls = protected(target, self._tls, plaintext=self._plaintext)
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            raise RuntimeError("open an AsyncClient within the event loop that uses it: async with AsyncClient(...)") from None
        channel = open_channel(target, tls)
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
        with self._failures():
            call = method(request, metadata=self._metadata, timeout=seconds)
            answer = await call
            self._hear(await call.trailing_metadata())
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
        self, method: "grpc.aio.UnaryStreamMultiCallable[_Q, _A]", request: _Q, silence: Silence
    ) -> "AsyncIterator[_Messages[_A]]":
        """A stream, cancelled when it is left: gRPC does not collect calls that were abandoned."""
        self._refuse_if_closed()
        call: Any = method(request, metadata=self._metadata)
        self._calls.add(call)
        try:
            with self._failures():
                yield _Messages(call, silence, self._process)
                if call.done():
                    self._hear(await call.trailing_metadata())
        finally:
            if self._process.is_this:
                self._calls.discard(call)
                call.cancel()

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except grpc.RpcError as error:
            self._hear(error.trailing_metadata())
            self._refuse_if_closed()
            raise failure_of(error) from error
        except FellSilent:
            raise cancelled() from None
        except asyncio.CancelledError:
            # Either the caller's task was cancelled, or `close` cancelled the call under it.
            task = asyncio.current_task()
            if task is None or not task.cancelling():
                self._refuse_if_closed()
            raise

    async def _told(
        self, method: "grpc.aio.UnaryStreamMultiCallable[_Q, _A]", request: _Q, of: Callable[[_A], Iterator[Told]]
    ) -> AsyncIterator[Told]:
        """What the messages of an answer hold."""
        answer: Answer[_Q, _A] = Answer(self._random, request, self._timeout, time.monotonic)
        async with aclosing(self._watch(method, answer)) as messages:
            async for message in messages:
                for told in of(message):
                    yield told

    async def _watch(
        self, method: "grpc.aio.UnaryStreamMultiCallable[Question, Message]", watch: Watch[Question, Message, Told]
    ) -> AsyncGenerator[Told, None]:
        while True:
            connection, silence = connection_of(method), Silence()
            try:
                async with self._open(method, watch.request(), silence) as messages, messages.looked_after(watch.silence):
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
        try:
            async with asyncio.timeout(seconds):
                await self._closed.wait()
        except TimeoutError:
            return
        raise closed()

    def _hear(self, metadata: Any) -> None:
        """A call is over, well or not: take in what it told beside its answer."""
        self._quota_left = quota_left_of(metadata) or self._quota_left

    def _refuse_if_closed(self) -> None:
        self._process.check()
        if self._closed.is_set():
            raise closed()


class _Messages(AsyncIterator[_A]):
    """The messages of a call. Its silence counts while the next one is waited for."""

    def __init__(self, call: Any, silence: Silence, process: Process) -> None:
        self._call = call
        self._messages = call.__aiter__()
        self._silence = silence
        self._process = process

    async def __anext__(self) -> _A:
        self._process.check()
        self._silence.waiting = True
        message: _A = await self._messages.__anext__()
        self._silence.heard()
        return message

    def looked_after(self, limit: float) -> AbstractAsyncContextManager[None]:
        """Cancel the call when it is silent for so many seconds."""
        return listening(self._call, self._silence, limit)
