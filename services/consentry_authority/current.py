"""What every call asks of the database, remembered until the next commit: credentials' facts, and the head.

One process writes to the database (`FolderLock`), and hears of each commit on the event loop before whoever made the change is
answered. So what is remembered is never older than a change that has been answered, and a call that comes while one is being
committed finds the state before it or after it, as it would in the database.
"""

from collections import OrderedDict
from typing import Any, Final

from consentry_authority.storage.store import Committed, Store
from consentry_core.follow import Revision
from consentry_rule import Key, Token

_MOST: Final = 10_000


class CurrentFacts:
    """Credentials' facts and the head, as of the last commit. Remembers facts, and no verdict: ends come by the clock."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._credentials: OrderedDict[str, Key | Token | None] = OrderedDict()
        self._head: Revision | None = None
        self._commits = 0
        store.on_commit(self._committed)

    async def credential(self, name: str) -> Key | Token | None:
        """A key or token with its live secrets; None for one that is deleted or never was."""
        if name in self._credentials:
            self._credentials.move_to_end(name)
            return self._credentials[name]
        commits = self._commits
        facts = await self._store.read(lambda view: view.facts.credential(name))
        if commits == self._commits:  # else it may be older than what has been answered since
            self._credentials[name] = facts
            if len(self._credentials) > _MOST:
                self._credentials.popitem(last=False)
        return facts

    async def head(self) -> Revision:
        """The last committed change."""
        if self._head is None:
            commits = self._commits
            head = await self._store.read(lambda view: view.facts.head())
            if commits != self._commits:
                return head
            self._head = head
        return self._head

    def _committed(self, committed: Committed[Any]) -> None:
        self._commits += 1
        self._credentials.clear()
        self._head = committed.revision
