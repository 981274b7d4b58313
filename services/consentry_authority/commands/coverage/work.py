"""What coverage costs, shared out: whoever asks for much of it waits for itself, and for nobody else.

1. Reading goes in steps of some two milliseconds (`STEP`), one at a time for an organisation, whatever it asks at once,
   and each in its organisation's turn among those who read (`Turns`).
2. Telling goes in turns too: one watch at a time tells a few events, organisations by turns, and then nobody does for as long.
   So a thousand watches that have something to say are not one step of a thousand messages, and take half of the time at most.
"""

import asyncio
import contextlib
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Final, TypeVar

from consentry_authority.commands.ports import View
from consentry_authority.storage.store import Store
from consentry_core.values.errors import ResourceExhausted

_T = TypeVar("_T")
_LISTS_AT_ONCE: Final = 8
"""Coverage lists that one key has answered at the same time: more are no faster, for they are read one after the other."""

_LONGEST_TURN: Final = 0.02  # seconds


class CoverageWork:
    """Reads and tells, in turns."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._reading: dict[str, asyncio.Lock] = {}
        self._waiting: Counter[str] = Counter()
        self._lists: Counter[str] = Counter()
        self._waiting_to_tell: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        self._telling: asyncio.Future[None] | None = None

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

    @contextlib.asynccontextmanager
    async def turn(self, organization: str) -> AsyncIterator[None]:
        """A turn to tell a few events. Who takes too long over it, for its client does not read, keeps nobody waiting."""
        loop, turn = asyncio.get_running_loop(), asyncio.get_running_loop().create_future()
        self._waiting_to_tell.setdefault(organization, deque()).append(turn)
        if self._telling is None:
            self._give_turn()
        try:
            await turn
            began = loop.time()
            timer = loop.call_later(_LONGEST_TURN, self._over, turn, _LONGEST_TURN)
            yield
            timer.cancel()
            self._over(turn, loop.time() - began)
        finally:
            turn.cancel()
            self._over(turn, 0.0)

    def _over(self, turn: "asyncio.Future[None]", took: float) -> None:
        """As long as it took, nobody tells: half of the time is for everything else."""
        if self._telling is turn:
            self._telling = asyncio.get_running_loop().create_future()  # nobody's
            asyncio.get_running_loop().call_later(min(took, _LONGEST_TURN), self._give_turn)

    def _give_turn(self) -> None:
        self._telling = None
        while self._waiting_to_tell and self._telling is None:
            organization, waiting = self._waiting_to_tell.popitem(last=False)
            turn = waiting.popleft()
            if waiting:
                self._waiting_to_tell[organization] = waiting  # behind the others
            if not turn.done():  # whoever has gone has no turn
                self._telling = turn
                turn.set_result(None)
