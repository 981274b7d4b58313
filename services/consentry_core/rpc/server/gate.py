"""The one place where calls are let in, for all four RPC shapes, and where every message to a client begins.

A gate wraps a method's handler:

1. `Gate.admit` authenticates, from the metadata alone. Nothing of the message has been taken from the transport.
2. The message is read (`first_message`) and parsed; a malformed one is INVALID_ARGUMENT. What the gate wants to know of it
   (`on_request`) it sees now.
3. The servicer's method runs, with the call in `current_call`.
4. Each message that it returns or yields is serialised, then checked (`OpenCall.check`), then handed to the transport: check
   and hand-over in one step of the event loop, nothing awaited in between.
5. Errors of ours become statuses with details. Anything else becomes INTERNAL with a number that stands in the log beside the
   traceback, and nothing of it reaches the client. Who was not let in for want of a credential that counts may have to wait for
   the refusal (`turning_away`), and so may who is refused a method that is open to everybody.

To gRPC every method is one that takes a stream: of any other it reads the message before it asks for the handler.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from typing import Any, Protocol, TypeAlias, cast

import grpc

from consentry_core.callers.policy import PUBLIC_METHODS
from consentry_core.observing.metrics import Observer
from consentry_core.rpc.server.first_message import FirstMessages
from consentry_core.rpc.server.open_call import Context, Later, Metadata, OpenCall, current_call
from consentry_core.rpc.server.parsing import parsed, parsed_stream
from consentry_core.rpc.server.refusing import given_up, let_go, refuse, status_of
from consentry_core.rpc.server.turning_away import TurningAway
from consentry_core.values import errors

_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"  # in quotes: subscriptable for the type checker only
_BehindGate: TypeAlias = "Callable[[_Handler, str], _GatedMethod]"
_Answer: TypeAlias = Callable[[OpenCall, Any], Awaitable[bytes | None]]


class Gate(Protocol):
    """Lets calls in."""

    def admit(self, call: OpenCall) -> Later:
        """Authenticate and authorise by method; set `call.caller` and `call.check_write`. Raises a ConsentryError to refuse.

        Whoever can be let in or refused at once is; for whom something has to be asked first, what to await is returned.
        """
        ...

    def refused(self, call: OpenCall, error: errors.ConsentryError) -> None:
        """The call is answered with this error. Called before `release`, for every call that is refused, admitted or not."""
        ...

    def release(self, call: OpenCall) -> None:
        """The call is over. Called for every call, admitted or not."""
        ...


def _nothing(call: OpenCall) -> None:
    pass


@dataclass(frozen=True)
class Room:
    """The room for calls whose caller is not known yet, or whose request has not come."""

    turning_away: TurningAway = field(default_factory=TurningAway)
    first_messages: FirstMessages = field(default_factory=FirstMessages)
    crowded: Callable[[OpenCall], None] = _nothing
    """Told of each refused call for which there was no place to wait."""
    observer: Observer | None = None
    """Told of every call's end, and of every refusal."""


class GatedServer:
    """Stands in for a server where servicers are added to it, and puts a gate in front of every method, once.

    An interceptor does the same for a server that is there already, at every call anew.
    """

    def __init__(self, server: grpc.aio.Server, gate: Gate, room: "Room | None" = None) -> None:
        self._handlers = _GatedHandlers(partial(_GatedMethod, gate=gate, room=room or Room()))
        server.add_generic_rpc_handlers((self._handlers,))

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """Add methods, each behind the gate."""
        self._handlers.behind.extend(generic_rpc_handlers)

    def add_registered_method_handlers(self, service_name: str, method_handlers: Mapping[str, _Handler]) -> None:
        """Does nothing: generated code adds every method as a generic handler too.

        A server with registered methods waits for the next call of each of them, and begins to wait for all of them anew after
        every call. With the authority's forty that was a seventh of a call's cost.
        """


class _GatedHandlers(grpc.GenericRpcHandler):
    """Finds any method behind the gate, in one step from the second time on."""

    def __init__(self, behind_gate: _BehindGate) -> None:
        self.behind: list[grpc.GenericRpcHandler] = []
        self._behind_gate = behind_gate
        self._gated: dict[str, _GatedMethod] = {}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "_Handler | None":
        method = handler_call_details.method
        gated = self._gated.get(method)
        if gated is None:
            found = (handlers.service(handler_call_details) for handlers in self.behind)
            handler = next((each for each in found if each is not None), None)
            if handler is None:
                return None
            gated = self._gated[method] = self._behind_gate(handler, method)
        return cast("_Handler", _HandlerOfOne(gated, handler_call_details.invocation_metadata))


class GateInterceptor(grpc.aio.ServerInterceptor):
    """Puts a gate in front of every method of a server."""

    def __init__(self, gate: Gate) -> None:
        self._behind_gate = partial(_GatedMethod, gate=gate, room=Room())
        self._gated: dict[str, _GatedMethod] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], "Awaitable[_Handler | None]"],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "_Handler | None":
        """The handler behind the gate; None for a method that the server does not have, which gRPC answers by itself."""
        method = handler_call_details.method
        gated = self._gated.get(method)
        if gated is None:
            handler = await continuation(handler_call_details)
            if handler is None:
                return None
            gated = self._gated[method] = self._behind_gate(handler, method)
        return cast("_Handler", _HandlerOfOne(gated, handler_call_details.invocation_metadata))


class _GatedMethod:
    """One method behind a gate, whatever its shape."""

    def __init__(self, handler: _Handler, method: str, gate: Gate, room: Room) -> None:
        self.name = method
        self.gate = gate
        self.room = room
        self._parse = cast("Callable[[bytes], Any]", handler.request_deserializer or bytes)
        self._serialize = cast("Callable[[Any], bytes]", handler.response_serializer or bytes)
        behaviors = (handler.unary_unary, handler.unary_stream, handler.stream_unary, handler.stream_stream)
        self._behavior = cast("Callable[..., Any]", next(found for found in behaviors if found is not None))
        self.request_streaming, self.response_streaming = handler.request_streaming, handler.response_streaming
        self.streaming = handler.request_streaming or handler.response_streaming
        self.public = method in PUBLIC_METHODS
        self.admitted: _Answer = self._stream if handler.response_streaming else self._reply

    async def _reply(self, call: OpenCall, incoming: Any) -> bytes:
        request = await self._request(call, incoming)
        waiting = self._heard(call, request)
        if waiting is not None:
            await waiting
        message = self._serialize(await self._behavior(request, call.context))
        call.message_bytes = len(message)
        call.check()
        return message

    async def _stream(self, call: OpenCall, incoming: Any) -> None:
        request = await self._request(call, incoming)
        waiting = self._heard(call, request)
        if waiting is not None:
            await waiting
        outgoing = self._behavior(request, _CheckedContext(call, self._serialize))
        if not hasattr(outgoing, "__aiter__"):  # a method that writes through its context
            await outgoing
            return
        async with contextlib.aclosing(outgoing) as messages:
            async for message in messages:
                await call.write(self._serialize(message))

    async def _request(self, call: OpenCall, incoming: Any) -> Any:
        if self.request_streaming:
            return parsed_stream(incoming, self._parse)
        return parsed(await self.room.first_messages.read(call), self._parse)

    def _heard(self, call: OpenCall, request: Any) -> Later:
        """What the gate does with a request."""
        return None if call.on_request is None or self.request_streaming else call.on_request(request)


class _HandlerOfOne:
    """A `grpc.RpcMethodHandler` for a single call, with its metadata: gRPC would put that together anew if it was asked."""

    __slots__ = ("_metadata", "_method", "_status", "response_streaming")

    request_deserializer = response_serializer = None
    request_streaming = True
    unary_unary = unary_stream = None

    def __init__(self, method: _GatedMethod, metadata: Metadata) -> None:
        self.response_streaming = method.response_streaming
        self._method = method
        self._metadata = metadata
        self._status = "OK"

    async def answer(self, incoming: Any, context: Context) -> bytes | None:
        """Take the call through the numbered steps above, and tell how long that took and how it ended, if somebody asks."""
        observer, began = self._method.room.observer, perf_counter()
        if observer is None:
            return await self._answer(incoming, context)
        try:
            return await self._answer(incoming, context)
        except asyncio.CancelledError:
            self._status = "CANCELLED"
            raise
        finally:
            observer.call_ended(self._method.name, self._status, perf_counter() - began)

    async def _answer(self, incoming: Any, context: Context) -> bytes | None:
        method, gate = self._method, self._method.gate
        call = OpenCall(method.name, context, streaming=method.streaming, metadata=self._metadata)
        self._metadata = ()  # gRPC keeps this object for as long as the call is there
        current_call.set(call)
        admitted, slowly = False, False
        try:
            # Released before the client is told how the call ended.
            try:
                waiting = gate.admit(call)
                if waiting is not None:
                    await waiting
                admitted = True
                return await method.admitted(call, incoming)
            except errors.ConsentryError as error:
                self._refused(call, error)
                refusal = status_of(error)
                slowly = not admitted and (method.public or isinstance(error, errors.Unauthenticated))
            except asyncio.CancelledError:
                ended = call.was_ended()
                if ended is None:
                    raise
                self._refused(call, ended)
                refusal = status_of(ended)
            finally:
                gate.release(call)
                call.close()
        except grpc.aio.AbortError as aborted:  # by the method itself
            let_go(aborted)
            self._status = "UNKNOWN"  # gRPC does not tell
            return None
        except Exception as error:  # noqa: BLE001 - the last line of defence: nothing unforeseen reaches a client
            refusal = given_up(method.name, context, error)
        # Outside of all handlers: what is raised in one holds the error that is handled there, and with it the call.
        if slowly and not await method.room.turning_away.wait_turn():
            method.room.crowded(call)
        self._status = refusal.code.name
        await refuse(context, refusal, answers_once=not self.response_streaming)
        return None

    stream_unary = stream_stream = answer

    def _refused(self, call: OpenCall, error: errors.ConsentryError) -> None:
        self._method.gate.refused(call, error)
        if self._method.room.observer is not None:
            self._method.room.observer.refused(error.reason)


class _CheckedContext:
    """A method's context, with a `write` that is checked like every other."""

    def __init__(self, call: OpenCall, serialize: Callable[[Any], bytes]) -> None:
        self._call = call
        self._serialize = serialize

    async def write(self, message: Any) -> None:
        await self._call.write(self._serialize(message))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call.context, name)
