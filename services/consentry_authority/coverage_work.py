"""What coverage costs, shared out: whoever asks for much of it waits for itself, and for nobody else.

1. Reading goes in steps of some two milliseconds (`STEP`), one at a time for an organisation, whatever it asks at once,
   and each in its organisation's turn among those who read (`Turns`).
2. Telling goes in turns too: one watch tells a few events in each step of the event loop, organisations by turns, so that a
   thousand watches that have something to say are not one step of a thousand messages.
"""

import asyncio
import contextlib
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

from consentry_authority.commands.ports import View
from consentry_authority.storage.store import Store
from consentry_core.errors import ResourceExhausted

_T = TypeVar("_T")
_LISTS_AT_ONCE: Final = 8
"""Coverage lists that one key has answered at the same time: more are no faster, for they are read one after the other."""


class CoverageWork:
    """Reads and tells, in turns."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._reading: dict[str, asyncio.Lock] = {}
        self._waiting: Counter[str] = Counter()
        self._lists: Counter[str] = Counter()
        self._tellers: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        self._under_way = False

    async def read(self, organization: str, question: Callable[[View], _T]) -> _T:
        """The answer to a question that takes one step."""
        self._waiting[organization] += 1
        try:
            async with self._reading.setdefault(organization, asyncio.Lock()):
                return await self._store.read(question, lane=organization)
        finally:
            self._waiting[organization] -= 1
            if not self._waiting[organization]:
                del self._waiting[organization], self._reading[organization]

    @contextlib.contextmanager
    def listing(self, key: str) -> Iterator[None]:
        """While a list of this key's is answered. ResourceExhausted when there are too many of them already."""
        if self._lists[key] >= _LISTS_AT_ONCE:
            raise ResourceExhausted(
                f"{_LISTS_AT_ONCE} coverage lists of this key are being answered; ask one page after the other, or watch",
                retry_after=1.0,
                reason="COVERAGE_LISTS_EXCEEDED",
            )
        self._lists[key] += 1
        try:
            yield
        finally:
            self._lists[key] -= 1
            if not self._lists[key]:
                del self._lists[key]

    async def turn(self, organization: str) -> None:
        """Wait for a turn to tell a few events."""
        turn = asyncio.get_running_loop().create_future()
        self._tellers.setdefault(organization, deque()).append(turn)
        if not self._under_way:
            self._under_way = True
            asyncio.get_running_loop().call_soon(self._next)
        await turn

    def _next(self) -> None:
        while self._tellers:
            organization, waiting = self._tellers.popitem(last=False)
            turn = waiting.popleft()
            if waiting:
                self._tellers[organization] = waiting  # behind the others
            if not turn.done():  # whoever has gone has no turn
                turn.set_result(None)
                break
        self._under_way = bool(self._tellers)
        if self._under_way:
            asyncio.get_running_loop().call_soon(self._next)
