"""Connections that take more room than strangers have: hung up on, all their calls at once.

Refusing a call costs as much as answering one. Whoever opens a thousand at a time without a credential, again and again, is
refused a thousand times; its connection is ended once, and with it whatever still waits in the transport. Nobody who is known
is hung up on for a stranger's sake: behind a proxy both share a connection.
"""

import asyncio
from collections.abc import Callable, Iterable

from consentry_core.rpc.server.open_call import OpenCall
from consentry_core.rpc.server.stuck import hang_up

_TOGETHER = 0.02
"""Seconds within which connections are hung up on together: finding them is a look at every open file."""


class Crowding:
    """Hangs up on the connections of those that it is told of. `calls` are all that are open."""

    def __init__(self, calls: Callable[[], Iterable[OpenCall]]) -> None:
        self._calls = calls
        self._peers: set[str] = set()

    def crowded(self, call: OpenCall) -> None:
        """There is no room for this call, which was refused."""
        if not self._peers:
            asyncio.get_running_loop().call_later(_TOGETHER, self._hang_up)
        self._peers.add(call.context.peer())

    def _hang_up(self) -> None:
        peers, self._peers = self._peers, set()
        peers -= {call.context.peer() for call in self._calls() if call.caller is not None}
        if peers:
            hang_up(peers)
