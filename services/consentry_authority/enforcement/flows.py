"""What the coordinator says is to be done, as data: no I/O here, and none in whoever says it.

A `Flow` is a generator. It yields one action after the other, each is carried out before it goes on, and what came of it is
sent in, or thrown. So the order in which things happen stands in the flow, and whoever carries it out has none of its own: the
`EnforcementRunner` does it over ports, and the model over a simulated database, with anything happening in between.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, TypeVar

from consentry_authority.commands.ports import View
from consentry_authority.enforcement.barriers import Barrier, Member, Speaker
from consentry_authority.enforcement.following import Following
from consentry_authority.enforcement.ports import MemberChange
from consentry_core.protocol.follow import FromAuthority, Revision

_T = TypeVar("_T")


class Stream(Protocol):
    """A `Follow` stream, as the coordinator knows it. Its guard has said hello."""

    @property
    def following(self) -> Following:
        """What its guard follows, and how much of that has been told."""
        ...

    @property
    def speaker(self) -> Speaker:
        """Who speaks on it."""
        ...

    def concerned(self, subjects: frozenset[str]) -> bool:
        """Whether a change of these has to be looked at, and not only passed by. Raises when the stream is to end."""
        ...

    def read(self, view: View, *, committed: Revision | None, grant: bool) -> Sequence[FromAuthority]:
        """What its next turn says; see `Following.turn`."""
        ...

    def wake_in(self, duration: int) -> None:
        """Give it a turn after so many nanoseconds."""
        ...

    def replaced(self) -> None:
        """Another stream of its incarnation has taken its place: end it."""
        ...


class Milestone:
    """Something that happens once, and that others wait for."""

    def __init__(self) -> None:
        self.reached = False
        self._waiting: list[Callable[[], None]] = []

    def then(self, call: Callable[[], None]) -> None:
        """Call this once it has happened: now, if it has."""
        if self.reached:
            call()
        else:
            self._waiting.append(call)

    def reach(self) -> None:
        """It has happened."""
        self.reached = True
        waiting, self._waiting = self._waiting, []
        for call in waiting:
            call()


@dataclass(frozen=True, slots=True)
class WriteMember:
    """Change a member's row; committed before the flow goes on."""

    change: MemberChange


@dataclass(frozen=True, slots=True)
class ReadMembers:
    """Sends in the members as they are now."""


@dataclass(frozen=True, slots=True)
class ReadHead:
    """Sends in the committed head, or None; see `EnforcementRecords.primary_head`."""


@dataclass(frozen=True, slots=True)
class ReadTurn:
    """Sends in what a stream's turn says, by one snapshot of the database that is taken now."""

    stream: Stream
    committed: Revision | None
    grant: bool


@dataclass(frozen=True, slots=True)
class ReadPending:
    """Sends in what was under way when the authority went down."""


@dataclass(frozen=True, slots=True)
class ReadReceipt:
    """Sends in a change's receipt as it is kept, and whose it is; None for what is not on record."""

    revision: Revision


@dataclass(frozen=True, slots=True)
class KeepReceipts:
    """Write the receipts of barriers that have ended."""

    barriers: Sequence[Barrier]


@dataclass(frozen=True, slots=True)
class DropMembers:
    """Drop members that are still as they were read. Sends in how many were."""

    silent: Sequence[Member]


@dataclass(frozen=True, slots=True)
class WaitFor:
    """Go on when this has happened, at the latest after so many seconds (None: whenever that is)."""

    milestone: Milestone
    patience: float | None = None


Action: TypeAlias = (
    WriteMember | ReadMembers | ReadHead | ReadTurn | ReadPending | ReadReceipt | KeepReceipts | DropMembers | WaitFor
)

Flow: TypeAlias = Generator[Action, Any, _T]
