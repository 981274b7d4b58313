"""One snapshot to look at, one transaction to change things in, and the store that runs use cases in them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from consentry_authority.commands.ports.facts import ReadFacts
from consentry_authority.commands.ports.repositories import (
    Connections,
    Consents,
    Customers,
    Keys,
    Partners,
    ReadAudit,
    ReadConnections,
    ReadConsents,
    ReadCustomers,
    ReadKeys,
    ReadPartners,
    ReadTokens,
    Requests,
    Tokens,
)
from consentry_core.protocol.follow import Revision
from consentry_core.values.clock import BootTime
from consentry_rule import Instant

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Origin:
    """Who did something, by which method, from where, under which request id; for the readers of history and audit log."""

    actor: str = ""
    method: str = ""
    organization: str = ""
    peer: str = ""
    request_id: str = ""


NOBODY = Origin()


@dataclass(frozen=True, slots=True)
class Committed(Generic[_T]):
    """What a use case returned, and its place in the history.

    For one that changed nothing (`changed` False): the place of the change that has brought about what it found and saved as it
    was; without such a change the head, which is somebody else's (`own` False). `narrowing`: that change took access away, and
    is to be enforced, or has been. `subjects`: the names of everything that was touched.
    `listed`: how many customers were on the lists that had to be looked at.
    """

    value: _T
    revision: Revision
    commit_time: Instant
    changed: bool
    narrowing: bool = False
    subjects: frozenset[str] = frozenset()
    """The credentials and standings that it has touched, if it changed something."""
    own: bool = True
    listed: int = 0
    since: BootTime | None = None
    """When it was committed, by the clock that leases are counted with; None where nobody waits for them."""


class View(Protocol):
    """One snapshot of everything."""

    @property
    def now(self) -> Instant:
        """The moment of the question."""
        ...

    @property
    def facts(self) -> ReadFacts:
        """What decisions are made of."""
        ...

    @property
    def partners(self) -> ReadPartners:
        """The partners."""
        ...

    @property
    def customers(self) -> ReadCustomers:
        """The customers."""
        ...

    @property
    def connections(self) -> ReadConnections:
        """The connections."""
        ...

    @property
    def consents(self) -> ReadConsents:
        """The consents."""
        ...

    @property
    def keys(self) -> ReadKeys:
        """The keys."""
        ...

    @property
    def tokens(self) -> ReadTokens:
        """The tokens."""
        ...

    @property
    def audit(self) -> ReadAudit:
        """The audit log."""
        ...


class Transaction(View, Protocol):
    """A unit of work: all of it is committed, with its place in the history, or none of it."""

    @property
    def partners(self) -> Partners:
        """The partners."""
        ...

    @property
    def customers(self) -> Customers:
        """The customers."""
        ...

    @property
    def connections(self) -> Connections:
        """The connections."""
        ...

    @property
    def consents(self) -> Consents:
        """The consents."""
        ...

    @property
    def keys(self) -> Keys:
        """The keys."""
        ...

    @property
    def tokens(self) -> Tokens:
        """The tokens."""
        ...

    @property
    def requests(self) -> Requests:
        """The requests that had an id."""
        ...

    def kill_secret(self, credential: str, secret_id: str) -> str | None:
        """No secret matches it any more. Its hint; None when it was dead before."""
        ...

    def rehash(self, secret_id: str, old_hash: str, new_hash: str) -> None:
        """Keep a secret under a hash of another cost, if it still has the old one. Changes nothing that anybody decides by."""
        ...


class Store(Protocol):
    """What the authority knows. Reads side by side, writes one after the other, each with its entry in the audit log."""

    @property
    def lane(self) -> str:
        """In whose turn whoever asks now is served; empty when nobody has been let in yet."""
        ...

    async def read(self, question: Callable[[View], _T], *, lane: str | None = None) -> _T:
        """The answer to a question, all of it from one snapshot. `lane`: in whose turn, if not in that of who asks now."""
        ...

    async def write(self, use_case: Callable[[Transaction], _T], *, origin: Origin = NOBODY) -> Committed[_T]:
        """Run a use case: all that it changed is committed, or, when it raises, nothing.

        So are its place in the history and its entry in the audit log: what cannot be written there is not done.
        A caller that is cancelled does not stop it, and does not keep `Commits` from telling of it.
        """
        ...
