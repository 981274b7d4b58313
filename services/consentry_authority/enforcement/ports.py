"""What enforcement needs from the outside: the rows of members and receipts. `storage` implements it.

None of it is history: it draws no revision.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from consentry_authority.enforcement.barriers import Barrier, Member, Receipt, Speaker
from consentry_core.protocol.follow import Revision
from consentry_rule import Instant


@dataclass(frozen=True, slots=True)
class Claim:
    """A token speaks for an incarnation. PermissionDenied when that is another one's: it is whose token spoke first."""

    speaker: Speaker
    time: Instant


@dataclass(frozen=True, slots=True)
class Grant:
    """A lease is about to be made: count it, and note what the member has applied. Refused as a `Claim` is."""

    speaker: Speaker
    applied: Revision | None
    time: Instant


@dataclass(frozen=True, slots=True)
class Leave:
    """A member has given its lease back."""

    speaker: Speaker
    time: Instant


MemberChange: TypeAlias = Claim | Grant | Leave


@dataclass(frozen=True, slots=True)
class Pending:
    """What was under way when the authority went down: changes by number and commit time, the members, and the head."""

    changes: Sequence[tuple[int, Instant]]
    members: Sequence[Member]
    head: Revision


class EnforcementRecords(Protocol):
    """Members and receipts. What is written is committed when the call returns."""

    async def primary_head(self) -> Revision | None:
        """The committed head, for a lease to name. None when whatever is read from here on shows it anyway."""
        ...

    async def members(self) -> Sequence[Member]:
        """Whoever may hold a lease, by incarnation."""
        ...

    async def change_members(
        self, changes: Sequence[MemberChange], token: str, *, most: int, admit: Callable[[], None]
    ) -> Sequence[Exception | None]:
        """Make changes of one token's members, in one transaction; of each, what it was refused with.

        What is refused is undone, and the others are made. `admit` is called for an incarnation that nobody has spoken for, and
        refuses it by raising. ResourceExhausted for one more member than `most` of the token.
        """
        ...

    async def drop(self, silent: Sequence[Member]) -> int:
        """Drop members that were granted nothing since they were read: none of their leases is usable any more. How many.

        One that was dropped and came back counts from 1 again; by when it joined it is told from what it was.
        """
        ...

    async def pending(self) -> Pending:
        """The changes whose enforcement nobody has seen to its end, all of it from one snapshot."""
        ...

    async def close_receipts(self, barriers: Sequence[Barrier]) -> None:
        """Changes have been enforced: keep when, and what each enforcement point did. What is kept already stays as it is."""
        ...

    async def receipt(self, revision: Revision) -> tuple[Receipt, str] | None:
        """A change's receipt as it is kept, and whose change it was; None for one that is not on record.

        A change that took nothing away is enforced since its commit.
        """
        ...

    async def receipts(self, epoch: str, numbers: Sequence[int], *, most_points: int) -> Mapping[int, Receipt]:
        """The receipts of those of these changes that took something away, each with at most so many points."""
        ...

    async def last_number(self, subjects: Sequence[str]) -> int | None:
        """The last change that took access away from one of these subjects; None when none did."""
        ...
