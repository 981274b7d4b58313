"""What every call asks of the database, remembered until the next commit: credentials' facts, and the head.

One process writes to the database (`FolderLock`), and hears of each commit on the event loop before whoever made the change is
answered. So what is remembered is never older than a change that has been answered, and a call that comes while one is being
committed finds the state before it or after it, as it would in the database.
"""

from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Final, Generic, TypeVar

from consentry_authority.storage.store import Committed, Store
from consentry_core.follow import Revision
from consentry_rule import Key, Token

_MOST: Final = 10_000

_K = TypeVar("_K", bound=Hashable)
_V = TypeVar("_V")


class UntilCommit(Generic[_K, _V]):
    """What follows from the database's state alone. At most 10,000 answers; the one that was found first makes room."""

    def __init__(self, store: Store) -> None:
        self._answers: dict[_K, _V] = {}
        self._commits = 0
        store.on_commit(self._committed)

    def get(self, key: _K) -> _V | None:
        """The answer, if it is remembered."""
        return self._answers.get(key)

    async def find(self, key: _K, look: Callable[[], Awaitable[_V]]) -> _V:
        """The answer: remembered, or what `look` finds."""
        if key in self._answers:
            return self._answers[key]
        commits = self._commits
        answer = await look()
        if commits == self._commits:  # else it may be older than what has been answered since
            if len(self._answers) >= _MOST:
                del self._answers[next(iter(self._answers))]
            self._answers[key] = answer
        return answer

    def _committed(self, _: Committed[Any]) -> None:
        self._commits += 1
        self._answers.clear()


class CurrentFacts:
    """Credentials' facts and the head, as of the last commit. Remembers facts, and no verdict: ends come by the clock."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._credentials: UntilCommit[str, Key | Token | None] = UntilCommit(store)
        self._head: UntilCommit[None, Revision] = UntilCommit(store)

    def until_commit(self) -> UntilCommit[Any, Any]:
        """For what somebody else finds by these facts, and by nothing else."""
        return UntilCommit(self._store)

    async def credential(self, name: str) -> Key | Token | None:
        """A key or token with its live secrets; None for one that is deleted or never was."""
        return await self._credentials.find(name, lambda: self._store.read(lambda view: view.facts.credential(name)))

    async def head(self) -> Revision:
        """The last committed change."""
        return await self._head.find(None, lambda: self._store.read(lambda view: view.facts.head()))
