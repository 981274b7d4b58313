"""What every call asks of the database, remembered until a commit touches it: credentials' facts, and the head.

`Commits` tells of each commit on the event loop before whoever made the change is answered. So what is remembered is never
older than a change that has been answered, and a call that comes while one is being committed finds the state before it or
after it, as it would in the database. When a commit may have been missed, all that is remembered is forgotten.

A commit says what it has touched (`Commit.subjects`): whatever a repository is about to save it touches first. The facts of
a credential follow from its own rows, its secrets and its list, of which each is touched by the credential's name, and a key's
also from whether its partner rehearses a withdrawal, of which the demo customer's standing is touched. So a commit that touched
neither leaves them as they were, however many of these others make.

However many calls wait for the same look-up, it is made once: in the turn of the organisation whose credential it is.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Hashable
from functools import partial
from typing import Any, Final, Generic, TypeVar

from consentry_authority.commands.ports import Commit, Commits, Store
from consentry_core.protocol.follow import Revision
from consentry_core.protocol.marks import MarkedKey
from consentry_core.values import names
from consentry_rule import Token

_MOST: Final = 10_000
_EVERYTHING: Final = ""

_K = TypeVar("_K", bound=Hashable)
_V = TypeVar("_V")


class UntilTouched(Generic[_K, _V]):
    """Answers that follow from one credential's facts, or (of no subject) from the whole state.

    At most 10,000; the one that was found first makes room.
    """

    def __init__(self, commits: Commits) -> None:
        self._answers: dict[_K, _V] = {}
        self._looking: dict[_K, asyncio.Task[_V]] = {}
        self._by_subject: defaultdict[str, set[_K]] = defaultdict(set)
        self._subjects: dict[_K, str] = {}
        commits.subscribe(self)

    def get(self, key: _K) -> _V | None:
        """The answer, if it is remembered."""
        return self._answers.get(key)

    async def find(self, key: _K, look: Callable[[], Awaitable[_V]], *, subject: str = _EVERYTHING) -> _V:
        """The answer: remembered, or what `look` finds, once for all who wait. `subject`: whose facts it follows from."""
        if key in self._answers:
            return self._answers[key]
        looking = self._looking.get(key)
        if looking is None:
            self._subjects[key] = subject
            self._by_subject[subject].add(key)
            looking = self._looking[key] = asyncio.create_task(self._look(key, look))
            looking.add_done_callback(partial(self._looked, key))
        # Shielded: one caller that goes away does not take the answer from the others.
        return await asyncio.shield(looking)

    async def _look(self, key: _K, look: Callable[[], Awaitable[_V]]) -> _V:
        answer = await look()
        if self._looking.get(key) is asyncio.current_task():  # else it may be older than what has been answered since
            if len(self._answers) >= _MOST:
                self._forget(next(iter(self._answers)))
            self._answers[key] = answer
        return answer

    def _looked(self, key: _K, looking: "asyncio.Task[_V]") -> None:
        if self._looking.get(key) is looking:
            del self._looking[key]
            if key not in self._answers:
                self._forget(key)
        if not looking.cancelled():
            looking.exception()  # whoever waits raises it; with nobody waiting it would be reported as never retrieved

    def committed(self, commit: Commit) -> None:
        """Something was committed: forget what it has touched."""
        touched = {_EVERYTHING, *commit.subjects}
        touched.update(*map(self._keys_of, _rehearsing(commit.subjects)))
        for subject in touched & self._by_subject.keys():
            for key in tuple(self._by_subject[subject]):
                self._forget(key)

    def missed(self) -> None:
        """Something may have been committed elsewhere: forget everything."""
        for key in tuple(self._subjects):
            self._forget(key)

    def _keys_of(self, partner: str) -> list[str]:
        return [name for name in self._by_subject if name.startswith(f"{names.PARTNER.format(partner)}/keys/")]

    def _forget(self, key: _K) -> None:
        """What is being looked for is answered to those who wait by now, and to nobody else."""
        self._answers.pop(key, None)
        self._looking.pop(key, None)
        subject = self._subjects.pop(key, _EVERYTHING)
        self._by_subject[subject].discard(key)
        if not self._by_subject[subject]:
            del self._by_subject[subject]


def _rehearsing(subjects: Collection[str]) -> list[str]:
    """The partners that may have begun or ended a rehearsal."""
    return [subject.rpartition("/")[2] for subject in subjects if subject.startswith(f"customers/{names.DEMO_CUSTOMER}/")]


class CurrentFacts:
    """Credentials' facts and the head, as of the last commit. Remembers facts, and no verdict: ends come by the clock."""

    def __init__(self, store: Store, commits: Commits) -> None:
        self._store = store
        self._commits = commits
        self._credentials: UntilTouched[str, MarkedKey | Token | None] = UntilTouched(commits)
        self._head: Revision | None = None
        commits.subscribe(self)

    def until_touched(self) -> UntilTouched[Any, Any]:
        """For what somebody else finds by these facts, and by nothing else."""
        return UntilTouched(self._commits)

    async def credential(self, name: str) -> MarkedKey | Token | None:
        """A key or token with its live secrets; None for one that is deleted or never was."""
        look = partial(self._store.read, lambda view: view.facts.credential(name), lane=self._lane(name))
        return await self._credentials.find(name, look, subject=name)

    async def head(self) -> Revision:
        """The last change that was committed and heard of."""
        return self._head or self._heard(await self._store.read(lambda view: view.facts.head()))

    def _lane(self, credential: str) -> str:
        """In whose turn it is looked up: never in that of all whom nobody has been let in for."""
        if names.KEY.matches(credential):
            return names.PARTNER.format(names.KEY.parse(credential, "name")[0])
        return self._store.lane or credential

    def committed(self, commit: Commit) -> None:
        """Something was committed: that is the head now."""
        self._heard(commit.revision)

    def missed(self) -> None:
        """Something may have been committed elsewhere: whoever asks next reads the head."""
        self._head = None

    def _heard(self, head: Revision) -> Revision:
        """The newer one of this and what was heard before."""
        if self._head is None or self._head.number < head.number:
            self._head = head
        return self._head
