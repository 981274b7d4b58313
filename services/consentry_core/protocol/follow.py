"""What a guard and the authority say to each other on `Follow`, free of transport.

Both sides of the protocol are classes without I/O that take and return these messages, so that a simulated network can drive
them. `consentry_core.protocol.follow_wire` puts them on the wire and takes them off.
"""

from dataclasses import dataclass
from typing import TypeAlias

from consentry_core.protocol.marks import ListDifference, MarkedKey, MarkedStanding
from consentry_core.values.clock import BootTime
from consentry_core.values.errors import InvalidArgument
from consentry_core.values.reasons import ErrorReason
from consentry_rule import Instant, Token


@dataclass(frozen=True, slots=True)
class Revision:
    """A position in the authority's history. Numbers of two epochs cannot be compared."""

    epoch: str
    number: int

    def __str__(self) -> str:
        """The text form that clients see: opaque to them, only we compare it."""
        return f"{self.epoch}.{self.number}"

    @classmethod
    def parse(cls, text: str, field: str) -> "Revision":
        """Read the text form. InvalidArgument, naming `field`, for anything else."""
        epoch, dot, number = text.partition(".")
        if not (epoch and dot and number.isascii() and number.isdigit() and len(number) < 20):
            raise InvalidArgument(field, "must be a revision from an earlier answer", reason=ErrorReason.REVISION_INVALID)
        return cls(epoch, int(number))


@dataclass(frozen=True, slots=True)
class Hello:
    """Guard: who is asking. The first message of a stream. `incarnation` names one run of one process.

    `list_differences`: whether it takes what differs of a key's list; guards from before that are told each list whole.
    """

    incarnation: str
    service: str
    list_differences: bool = True


@dataclass(frozen=True, slots=True)
class Renewal:
    """Guard: asks for a lease. `stamp` is its own clock's time when it asked."""

    stamp: BootTime


@dataclass(frozen=True, slots=True)
class Interest:
    """Guard: wants the facts about these names from now on: credentials, standings, or all standings towards a partner."""

    number: int
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Guard: everything up to `revision` is applied; no write begins any more that it denies."""

    revision: Revision


@dataclass(frozen=True, slots=True)
class Forget:
    """Guard: the facts about these names need not be told any more."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Farewell:
    """Guard: this incarnation serves nothing any more, and never will. Its lease is given back."""


@dataclass(frozen=True, slots=True)
class Uses:
    """Guard: when secrets, by their ids, were last in use. Decides nothing."""

    uses: tuple[tuple[str, Instant], ...]


@dataclass(frozen=True, slots=True, repr=False)
class Proofs:
    """Guard: these credentials were verified with its service's token. `(credential, proof)`, as the authority gave them."""

    proofs: tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class Lease:
    """Authority: the right to serve until `stamp + duration` on the guard's clock, once `revision` has been applied.

    `authority_time` and `authority_boot` are the authority's clocks when it answered; the second is one that nobody sets, and
    `authority_clock` tells it apart from every other such clock. Neither is said (0) by an authority that is older than they.
    `waited`: for how long the renewal had been there before it was answered, in nanoseconds of that clock.
    """

    stamp: BootTime
    revision: Revision
    duration: int
    authority_time: Instant
    authority_boot: BootTime = BootTime(0)  # noqa: RUF009 - a number
    authority_clock: int = 0
    waited: int = 0


@dataclass(frozen=True, slots=True)
class Credential:
    """A key or token as it is now; `facts` None when it is deleted or never was.

    With a `difference`, no list is in `facts`: it is the one that the guard has, changed by that.
    """

    name: str
    facts: MarkedKey | Token | None
    difference: ListDifference | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """Authority: the state of credentials and standings at `revision`.

    A change (`interest` 0) covers everything that was asked for before; a snapshot is a piece of one interest's first answer.
    With `more`, pieces of the same change or snapshot follow, and it has not been told whole.
    """

    revision: Revision
    interest: int = 0
    more: bool = False
    credentials: tuple[Credential, ...] = ()
    standings: tuple[MarkedStanding, ...] = ()


FromGuard: TypeAlias = Hello | Renewal | Interest | Acknowledgement | Forget | Farewell | Uses | Proofs
FromAuthority: TypeAlias = Lease | Facts

NAMES_AT_ONCE = 500
"""The most names, proofs or uses in one message of a guard: what is more comes in the next one."""

LEASE_SECONDS = 5
"""T: how long a guard may serve without having heard from the authority."""

CLOCK_DRIFT = 0.001
"""rho: by how much the clocks of two machines may run apart, as a share of the time that passes."""

SLACK_SECONDS = 0.1
"""epsilon: for what a clock cannot show, such as the time between reading it and acting."""

BOUND_SECONDS = LEASE_SECONDS * (1 + CLOCK_DRIFT) + SLACK_SECONDS
"""After so long on anybody's clock, no lease that was granted before can still be usable."""
