"""How the client for asyncio calls: who it is, errors as `CallFailed`, pages, streams that are left, watches that come back."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc

from consentry_client.errors import CallFailed, closed, ended_early, failure_of
from consentry_client.protecting import protected
from consentry_client.requests import PageRequestT, PageT
from consentry_client.resuming import Message, Question, Told, Watch
from consentry_core.quota_left import QuotaLeft, quota_left_of
from consentry_core.rpc.client import bearer, open_channel
from consentry_core.tls import ClientTls

_A = TypeVar("_A")
_Q = TypeVar("_Q")


class AsyncCalls:
    """One credential's calls. `close` ends what is open."""

    def __init__(self, secret: str, timeout: float, tls: ClientTls | None = None, *, plaintext: bool = False) -> None:
        self._tls = tls
        self._plaintext = plaintext
        self._metadata = bearer(secret.strip())
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
        channel = open_channel(target, protected(target, self._tls, plaintext=self._plaintext))
        self._own.append(channel)
        return channel

    async def _ask(self, method: "grpc.aio.UnaryUnaryMultiCallable[_Q, _A]", request: _Q) -> _A:
        self._refuse_if_closed()
        with self._failures():
            call = method(request, metadata=self._metadata, timeout=self._timeout)
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
    async def _open(self, method: "grpc.aio.UnaryStreamMultiCallable[_Q, _A]", request: _Q) -> AsyncIterator[AsyncIterator[_A]]:
        """A stream, cancelled when it is left: gRPC does not collect calls that were abandoned."""
        self._refuse_if_closed()
        call: Any = method(request, metadata=self._metadata)
        self._calls.add(call)
        try:
            with self._failures():
                yield call
                if call.done():
                    self._hear(await call.trailing_metadata())
        finally:
            self._calls.discard(call)
            call.cancel()

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except grpc.RpcError as error:
            self._hear(error.trailing_metadata())
            raise failure_of(error) from error
        except asyncio.CancelledError:
            # Either the caller's task was cancelled, or `close` cancelled the call under it.
            task = asyncio.current_task()
            if self._closed.is_set() and not (task and task.cancelling()):
                raise closed() from None
            raise

    async def _watch(
        self, method: "grpc.aio.UnaryStreamMultiCallable[Question, Message]", watch: Watch[Question, Message, Told]
    ) -> AsyncIterator[Told]:
        while True:
            try:
                async with self._open(method, watch.request()) as messages:
                    async for message in messages:
                        event = watch.receive(message)
                        if event is not None:
                            yield event
                        if watch.done:
                            return
                raise ended_early()
            except CallFailed as failure:
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
        if self._closed.is_set():
            raise closed()
