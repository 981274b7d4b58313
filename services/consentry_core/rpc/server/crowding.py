"""Closes connections of strangers that take more room than there is, with all their calls.

Refusing a call costs as much as answering one. Whoever opens a thousand at a time without a credential, again and again, is
refused a thousand times; its connection is ended once, and with it whatever still waits in the transport. Nobody who is known
is hung up on for a stranger's sake: behind a proxy both share a connection.

Likewise with who is known, and far over its bounds: a credential with hundreds of refusals a second, for seconds. From then on
those of its connections are ended that go on being refused, for as long as they do. One on which it is refused now and then
stays, and so does one that another credential uses too.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable

from consentry_core.rpc.server.open_call import OpenCall
from consentry_core.rpc.server.stuck import hang_up

_TOGETHER = 0.02
"""Seconds within which connections are hung up on together: finding them is a look at every open file."""


_MANY, _SECONDS = 300, 3
"""Refusals of one credential in a second, and for how many seconds on end, before connections of its are hung up on."""
_SOME = 20
"""Refusals in a second of one connection, below which it stays."""
_PENALTY = 30.0
"""Seconds for which a credential is one whose connections are hung up on, after the last second with so many."""


class Crowding:
    """Hangs up on the connections of those that it is told of. `calls` are all that are open."""

    def __init__(self, calls: Callable[[], Iterable[OpenCall]]) -> None:
        self._calls = calls
        self._peers: dict[str, str | None] = {}  # and whose credential it is for, if anybody's
        self._second = 0.0
        self._refused: Counter[str] = Counter()  # in this second, by credential
        self._on_connection: Counter[tuple[str, str]] = Counter()
        self._for: dict[str, int] = {}  # seconds on end, by credential
        self._until: dict[str, float] = {}

    def crowded(self, call: OpenCall) -> None:
        """Note a call that was refused, and found no room to wait."""
        self._add(call.context.peer(), None)

    def exceeded(self, call: OpenCall) -> None:
        """This call of somebody who is known was refused by a bound of its own."""
        now = asyncio.get_running_loop().time()
        if now - self._second >= 1:
            self._begin_second(now)
        who, peer = call.known_as, call.context.peer()
        self._refused[who] += 1
        self._on_connection[who, peer] += 1
        if who in self._until and self._on_connection[who, peer] > _SOME:
            self._add(peer, who)

    def _begin_second(self, now: float) -> None:
        on_end = self._for if now - self._second < 2 else {}
        self._for = {who: on_end.get(who, 0) + 1 for who, count in self._refused.items() if count >= _MANY}
        self._until = {who: until for who, until in self._until.items() if until > now}
        self._until.update((who, now + _PENALTY) for who, seconds in self._for.items() if seconds >= _SECONDS)
        self._second = now
        self._refused.clear()
        self._on_connection.clear()

    def _add(self, peer: str, who: str | None) -> None:
        if not self._peers:
            asyncio.get_running_loop().call_later(_TOGETHER, self._hang_up)
        self._peers[peer] = who if self._peers.get(peer, who) == who else None

    def _hang_up(self) -> None:
        peers, self._peers = self._peers, {}
        for call in self._calls():
            peer = call.context.peer()
            if peer in peers and call.caller is not None and call.known_as != peers[peer]:
                del peers[peer]
        if peers:
            hang_up(peers)
