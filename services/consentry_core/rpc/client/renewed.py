"""Channels that change over to a new connection while they are open.

gRPC reads a client's certificates once, and sends new calls over the connection that it has, also over one that passes nothing
more. So these open another channel within when the files have changed, or when somebody has found the connection silent: calls
that begin after that go over it, those under way end where they began. What a stream does when its connection comes of age,
that is: it is opened again, with the new certificates.
"""

import threading
from collections.abc import Callable
from typing import Any, TypeAlias

import grpc

from consentry_core.process.tls import ClientTls
from consentry_core.rpc.certificates import channel_credentials

Opened: TypeAlias = Callable[[grpc.ChannelCredentials | None], Any]
"""Opens a channel with these credentials; None: in plaintext."""


class _Current:
    """The newest of the channels."""

    def __init__(self, tls: ClientTls | None, opened: Opened) -> None:
        self._files = None if tls is None else tls.files()
        self._opened = opened
        self._lock = threading.Lock()
        self._credentials = None if self._files is None else channel_credentials(self._files.read())
        # All there were: closing one would end its calls. One more for each replacement, and without connection when idle.
        self.all: list[Any] = [opened(self._credentials)]
        self.number = 0

    def __call__(self) -> Any:
        with self._lock:
            pem = None if self._files is None else self._files.changed()
            if pem is not None:
                self._credentials = channel_credentials(pem)
                self.all.append(self._opened(self._credentials))
                self.number += 1
            return self.all[-1]

    def leave(self, number: int) -> None:
        """Calls that begin from now on go over another connection than that one.

        It is not kept, so that a way that stays silent does not pile them up: it ends with the last of its calls, which are
        their callers' to end. Whoever finds the same silence a little later changes nothing.
        """
        with self._lock:
            if number == self.number:
                self.all[-1] = self._opened(self._credentials)
                self.number += 1

    def method(self, shape: str, *args: Any, **kwargs: Any) -> "_Method":
        """A method of the channels, whichever it is when it is called."""
        return _Method(self, lambda channel: getattr(channel, shape)(*args, **kwargs))


class _Method:
    def __init__(self, current: _Current, of: Callable[[Any], Any]) -> None:
        self._current = current
        self._of = of
        self._channel: Any = None
        self._method: Any = None

    def _newest(self) -> Any:
        channel = self._current()
        if channel is not self._channel:
            self._method = self._of(channel)  # first: another thread takes it once the channel is the newest
            self._channel = channel
        return self._method

    @property
    def connection(self) -> int:
        """The number of the connection that calls go over now."""
        return self._current.number

    def leave(self, connection: int) -> None:
        """See `_Current.leave`."""
        self._current.leave(connection)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._newest()(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._newest(), name)


def connection_of(method: object) -> int:
    """The number of the connection that a call of this method goes over; 0 on a channel that does not change over."""
    return method.connection if isinstance(method, _Method) else 0


def leave(method: object, connection: int) -> None:
    """Let this method's channel change over to another connection than that one, if it can. See `_Current.leave`."""
    if isinstance(method, _Method):
        method.leave(connection)


class RenewedChannel(grpc.aio.Channel):
    """For asyncio."""

    def __init__(self, tls: ClientTls | None, opened: Opened) -> None:
        self._current = _Current(tls, opened)

    async def __aenter__(self) -> "RenewedChannel":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self, grace: float | None = None) -> None:
        """See `grpc.aio.Channel`."""
        for channel in self._current.all:
            await channel.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """See `grpc.aio.Channel`."""
        state: grpc.ChannelConnectivity = self._current().get_state(try_to_connect)
        return state

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """See `grpc.aio.Channel`."""
        await self._current().wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """See `grpc.aio.Channel`."""
        await self._current().channel_ready()

    def unary_unary(self, *args: Any, **kwargs: Any) -> Any:
        """See `grpc.aio.Channel`."""
        return self._current.method("unary_unary", *args, **kwargs)

    def unary_stream(self, *args: Any, **kwargs: Any) -> Any:
        """See `grpc.aio.Channel`."""
        return self._current.method("unary_stream", *args, **kwargs)

    def stream_unary(self, *args: Any, **kwargs: Any) -> Any:
        """See `grpc.aio.Channel`."""
        return self._current.method("stream_unary", *args, **kwargs)

    def stream_stream(self, *args: Any, **kwargs: Any) -> Any:
        """See `grpc.aio.Channel`."""
        return self._current.method("stream_stream", *args, **kwargs)


class RenewedSyncChannel(grpc.Channel):
    """For programs without an event loop."""

    def __init__(self, tls: ClientTls | None, opened: Opened) -> None:
        self._current = _Current(tls, opened)

    def __enter__(self) -> "RenewedSyncChannel":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """See `grpc.Channel`."""
        for channel in self._current.all:
            channel.close()

    def subscribe(self, callback: Any, try_to_connect: bool | None = False) -> None:
        """See `grpc.Channel`."""
        self._current().subscribe(callback, try_to_connect)

    def unsubscribe(self, callback: Any) -> None:
        """See `grpc.Channel`."""
        for channel in self._current.all:
            channel.unsubscribe(callback)

    def unary_unary(self, *args: Any, **kwargs: Any) -> Any:
        """See `grpc.Channel`."""
        return self._current.method("unary_unary", *args, **kwargs)

    def unary_stream(self, *args: Any, **kwargs: Any) -> Any:
        """See `grpc.Channel`."""
        return self._current.method("unary_stream", *args, **kwargs)

    def stream_unary(self, *args: Any, **kwargs: Any) -> Any:
        """See `grpc.Channel`."""
        return self._current.method("stream_unary", *args, **kwargs)

    def stream_stream(self, *args: Any, **kwargs: Any) -> Any:
        """See `grpc.Channel`."""
        return self._current.method("stream_stream", *args, **kwargs)
