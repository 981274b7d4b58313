"""What stands before a server's gate: what holds for every call, whoever makes it."""

import asyncio
import math
from collections import Counter

from consentry_core.callers.policy import PUBLIC_METHODS
from consentry_core.pacing.backoff import return_after
from consentry_core.rpc.server.crowding import Crowding
from consentry_core.rpc.server.gate import Gate
from consentry_core.rpc.server.open_call import Later, OpenCall
from consentry_core.values.errors import ConsentryError, ResourceExhausted, Unavailable
from consentry_core.values.reasons import ErrorReason

MAX_METADATA_BYTES = 8 * 1024
_METADATA_OF_NOBODY = 8 * MAX_METADATA_BYTES
"""More is no mistake. Copying it takes longer than answering a call, before anybody is asked: who sends it is hung up on."""
_NOBODYS_FAULT = frozenset({"ARGON2_POOL_FULL", "VERIFICATION_BUSY"})
"""Reasons of refusals that say nothing about who is refused."""
_PUBLIC_STREAMS, _PUBLIC_OF_CONNECTION = 1_000, 10
"""Watches of health and reflections that may be open in all, and on one connection; each takes some 25 kB."""
_PUBLIC_RETRY = 5.0  # seconds; nobody knows when one of the open ones ends


class Doorkeeper:
    """A gate that knows which calls are open, lets public methods pass, and lets nobody in while draining."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self.crowding = Crowding(lambda: self.calls)
        self.calls: set[OpenCall] = set()
        self.draining = False
        self.last_came = -math.inf
        """When the last call came, by the event loop's clock."""
        self._public: dict[OpenCall, str] = {}  # streams, and their connections
        self._by_connection: Counter[str] = Counter()

    def admit(self, call: OpenCall) -> Later:
        """Let a call in, if its size, the drain and the gate do. It is registered first, so that no drain misses it."""
        self.calls.add(call)
        self.last_came = asyncio.get_running_loop().time()
        size = sum(len(name) + len(value) for name, value in call.metadata)
        if size > MAX_METADATA_BYTES:  # gRPC refuses it too, and hands it on all the same
            if size > _METADATA_OF_NOBODY:
                self.crowding.crowded(call)
            raise ResourceExhausted(
                "the call's metadata is larger than 8 KiB; send less", reason=ErrorReason.METADATA_TOO_LARGE
            )
        if self.draining:
            raise draining()
        if call.method not in PUBLIC_METHODS:
            return self._gate.admit(call)
        if call.streaming:
            self._admit_public(call)
        return None

    def _admit_public(self, call: OpenCall) -> None:
        """Take a stream that anybody may open: so many on one connection, and so many in all."""
        connection = call.context.peer()
        if self._by_connection[connection] >= _PUBLIC_OF_CONNECTION or len(self._public) >= _PUBLIC_STREAMS:
            raise ResourceExhausted(
                "there are too many open streams of methods that take no credential; close yours, or call Health.Check instead",
                retry_after=_PUBLIC_RETRY,
                reason=ErrorReason.PUBLIC_STREAMS_EXCEEDED,
            )
        self._public[call] = connection
        self._by_connection[connection] += 1

    def refused(self, call: OpenCall, error: ConsentryError) -> None:
        """Tell the gate of a refusal, unless the method is anybody's."""
        if call.method not in PUBLIC_METHODS:
            self._gate.refused(call, error)
            if call.known_as and isinstance(error, ResourceExhausted) and error.reason not in _NOBODYS_FAULT:
                self.crowding.exceeded(call)

    def release(self, call: OpenCall) -> None:
        """A call is over: what it held is free again."""
        self.calls.discard(call)
        if call.method not in PUBLIC_METHODS:
            self._gate.release(call)
        elif (connection := self._public.pop(call, None)) is not None:
            self._by_connection[connection] -= 1
            if not self._by_connection[connection]:
                del self._by_connection[connection]


def draining(calls: int = 1) -> ConsentryError:
    """What one of so many calls is told when the service goes down."""
    return Unavailable(
        "the service is going down; open the call again, elsewhere or a little later",
        retry_after=return_after(calls),
        reason=ErrorReason.DRAINING,
    )
