"""The authority's side of one `Follow` stream, without I/O.

Everything that the stream is told is told in turns. A turn reads one snapshot of the database, at head revision R, and says, in
this order: what has changed since the turn before, up to R; a bounded piece of each snapshot that is owed; a lease at R, if one
was asked for. So the stream never goes back in history, and a lease never comes before what it stands on.
"""

import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import assert_never

from consentry_authority.commands.ports import View
from consentry_core.protocol.follow import (
    LEASE_SECONDS,
    Acknowledgement,
    Credential,
    Facts,
    Farewell,
    Forget,
    FromAuthority,
    FromGuard,
    Hello,
    Interest,
    Lease,
    Proofs,
    Renewal,
    Revision,
    Uses,
)
from consentry_core.protocol.marks import MarkedKey, MarkedStanding
from consentry_core.values import names
from consentry_core.values.clock import SECOND, BootTime
from consentry_core.values.errors import InvalidArgument, ResourceExhausted, Unavailable
from consentry_core.values.reasons import ErrorReason
from consentry_core.values.text import plain
from consentry_rule import CustomerId, Deny, KeyKind, PartnerId, Token, TokenRole, shown

PIECE = 100
"""The most facts in one message: what the authority says, and a guard applies, in one step stays short."""

PIECES = 4
"""The most messages of snapshots in one turn."""

NAMES_OWED, INTERESTS_OWED = 10_000, 100
"""With so many snapshots owed, a stream is read on only when some of them have been told."""

NAMES_PER_STREAM = 200_000
"""What one guard can follow; see `consentry_guard.follow.interests`."""

FARTHEST_BEHIND = 50_000
"""Changes. Whoever has been told so little learns all anew: that is less than to look what of these concerns it."""

_SHORTEST_INCARNATION, _LONGEST = 16, 100

_followable = re.compile(
    "|".join(f"(?:{each.expression})" for each in (names.KEY, names.TOKEN, names.CONSENT, names.PARTNER))
).fullmatch


_UNLIMITED = Token(TokenRole.SERVICE)


@dataclass(slots=True)
class _Snapshot:
    """An interest whose snapshot is owed: what is left of it."""

    number: int
    names: deque[str]
    after: CustomerId | None = None  # within the first of `names`, when that is a partner


class Following:
    """What one guard follows, and how much of it has been told. A credential that `service` is not shown is told as deleted.

    `service` is the token that the stream came with, as it was then: what a token is for is fixed when it is issued.
    """

    def __init__(self, service: Token = _UNLIMITED) -> None:
        self._service = service
        self.hello: Hello | None = None
        self.applied: Revision | None = None
        """What the guard has acknowledged."""
        self.gone = False
        """Whether it has said farewell."""
        self._names: set[str] = set()
        self._partners: set[PartnerId] = set()
        self._owed: deque[_Snapshot] = deque()
        self._renewal: BootTime | None = None
        self._held = False  # whether that has to wait
        self.told: Revision | None = None
        """Up to where it has been told what concerns it."""
        self._behind = False  # whether what was read last was older than what has been told
        self._lists: dict[str, int] = {}
        """By key whose snapshot has been told: the last change of its list that the guard knows."""

    def received(self, message: FromGuard) -> None:
        """The guard said something. InvalidArgument when it does not fit the protocol; the stream then ends."""
        if isinstance(message, Hello):
            if self.hello is not None:
                raise InvalidArgument("hello", "must be said once, first")
            if not _SHORTEST_INCARNATION <= len(message.incarnation) <= _LONGEST:
                raise InvalidArgument(
                    "hello.incarnation", f"must be a random name of {_SHORTEST_INCARNATION} to {_LONGEST} characters"
                )
            plain(message.incarnation, "hello.incarnation", _LONGEST)
            plain(message.service, "hello.service", _LONGEST)
            self.hello = message
            return
        if self.hello is None:
            raise InvalidArgument("message", "must begin with a hello")
        match message:
            case Renewal():
                self._renewal = message.stamp  # a later one answers an earlier one too
            case Interest():
                self._follow(message)
            case Forget():
                self._forget(message)
            case Acknowledgement():
                self._acknowledge(message.revision)
            case Farewell():
                self.gone, self._renewal = True, None
            case Uses() | Proofs():
                pass  # for others, who have taken them
            case _:
                assert_never(message)

    def _acknowledge(self, applied: Revision) -> None:
        if self.told is None or applied.epoch != self.told.epoch or applied.number > self.told.number:
            raise InvalidArgument("acknowledgement.revision", "must be one that this stream has told of")
        self.applied = applied

    def _follow(self, interest: Interest) -> None:
        _check_names(interest.names, "interest.names")
        # Registered before its snapshot is read: a change in between is told as a change.
        self._names.update(interest.names)
        if len(self._names) > NAMES_PER_STREAM:
            raise ResourceExhausted(
                f"a stream can follow {NAMES_PER_STREAM} names; forget those that nobody asks for",
                retry_after=5.0,
                reason=ErrorReason.INTERESTS_EXCEEDED,
            )
        self._partners.update(PartnerId(_only(name)) for name in interest.names if _is_partner(name))
        self._owed.append(_Snapshot(interest.number, deque(dict.fromkeys(interest.names))))

    def _forget(self, forget: Forget) -> None:
        _check_names(forget.names, "forget.names")
        forgotten = set(forget.names)
        self._names -= forgotten
        for name in forgotten:
            self._lists.pop(name, None)
        self._partners -= {PartnerId(_only(name)) for name in forgotten if _is_partner(name)}
        for snapshot in self._owed:
            if snapshot.names and snapshot.names[0] in forgotten:
                snapshot.after = None
            if not forgotten.isdisjoint(snapshot.names):
                snapshot.names = deque(name for name in snapshot.names if name not in forgotten)

    def __len__(self) -> int:
        """How many names it follows."""
        return len(self._names)

    @property
    def full(self) -> bool:
        """Whether so much is owed that nothing more should be taken before some of it has been told."""
        return len(self._owed) > INTERESTS_OWED or sum(len(snapshot.names) for snapshot in self._owed) > NAMES_OWED

    @property
    def asks_for_a_lease(self) -> bool:
        """Whether the next turn grants one: the member's row has to be written before it."""
        return self._renewal is not None

    @property
    def owes_snapshots(self) -> bool:
        """Whether a part of a snapshot is still to be told."""
        return bool(self._owed)

    @property
    def owes(self) -> bool:
        """Whether another turn is due at once, and not only once the database shows more, or a lease may be granted."""
        return not self._behind and (bool(self._owed) or (self._renewal is not None and not self._held))

    def concerned(self, subjects: Iterable[str]) -> bool:
        """Whether a change of any of these has to be told."""
        return any(map(self._concerns, subjects))

    def passed(self, head: Revision) -> Sequence[FromAuthority]:
        """What is to be said when nothing that was committed up to `head` concerns it, and it is owed no snapshot.

        A lease that is asked for has to wait.
        """
        self._held = True
        if self.told == head:
            return ()
        self.told = head
        return (Facts(head),)

    def turn(self, view: View, *, committed: Revision | None = None, grant: bool = True) -> Sequence[FromAuthority]:
        """What is to be said now. One read of one snapshot of the database.

        `committed`: the head as the primary has it, read after the member's row was written; a snapshot of a replica that lags
        may be behind it. None: the snapshot is the primary's, and was taken after that. Not `grant`: a lease that is asked for
        has to wait, and no member's row was written.
        """
        self._held = not grant
        head = view.facts.head()
        if self.told is not None and self.told.epoch != head.epoch:
            # What was told is of another history, and cannot be compared with this one: the guard learns all anew.
            raise Unavailable("the authority's history was replaced; follow anew", reason=ErrorReason.HISTORY_REPLACED)
        self._behind = self.told is not None and head.number < self.told.number
        if self._behind:
            return ()  # a replica that lags behind what this stream has been told: what it shows is old
        if self.told is not None and head.number - self.told.number > FARTHEST_BEHIND:
            raise Unavailable(
                "too much has changed since this stream took what it was told; follow anew", reason=ErrorReason.TOO_FAR_BEHIND
            )
        said: list[FromAuthority] = list(self._changes(view, head))
        self.told = head
        said.extend(self._piece(view, head) for _ in range(PIECES) if self._owed)
        if self._renewal is not None and grant:
            said.append(Lease(self._renewal, committed or head, LEASE_SECONDS * SECOND, view.now))
            self._renewal = None
        return said

    def _changes(self, view: View, head: Revision) -> Iterator[Facts]:
        if self.told is None:
            yield Facts(head)  # nothing was told before, so nothing of it has changed
            return
        if self.told.number == head.number and (self._renewal is None or self._held):
            return
        subjects = dict.fromkeys(
            change.subject for change in view.facts.changes_after(self.told.number) if self._concerns(change.subject)
        )
        facts = self._read(view, list(subjects), snapshot=False)
        for start in range(0, max(len(facts), 1), PIECE):
            piece = facts[start : start + PIECE]
            yield _facts(head, 0, start + PIECE < len(facts), piece)

    def _concerns(self, subject: str) -> bool:
        if subject in self._names:
            return True
        if not names.CONSENT.matches(subject):
            return False
        customer, partner = names.CONSENT.parse(subject, "subject")
        # Like its snapshot, news of a whole partner leaves the demo customer out: it is nobody's customer.
        return PartnerId(partner) in self._partners and customer != names.DEMO_CUSTOMER

    def _piece(self, view: View, head: Revision) -> Facts:
        """The next piece of the oldest snapshot that is owed."""
        snapshot = self._owed[0]
        facts: list[Credential | MarkedStanding] = []
        while snapshot.names and len(facts) < PIECE:
            room = PIECE - len(facts)
            name = snapshot.names[0]
            if not _is_partner(name):
                facts.extend(self._read(view, _first_not_partners(snapshot.names, room), snapshot=True))
                continue
            standings = view.facts.standings_of(PartnerId(_only(name)), after=snapshot.after, limit=room)
            facts.extend(standings)
            if len(standings) < room:
                snapshot.names.popleft()
                snapshot.after = None
            else:
                snapshot.after = standings[-1].customer
        if not snapshot.names:
            self._owed.popleft()
        return _facts(head, snapshot.number, bool(snapshot.names), facts)

    def _read(self, view: View, followed: Sequence[str], *, snapshot: bool) -> list[Credential | MarkedStanding]:
        """The facts about credentials and single standings. Standings are read all at once: that is ten times cheaper."""
        consents = [names.CONSENT.parse(name, "name") for name in followed if names.CONSENT.matches(name)]
        pairs = [(PartnerId(partner), CustomerId(customer)) for customer, partner in consents]
        facts: list[Credential | MarkedStanding] = list(view.facts.standings_between(pairs)) if pairs else []
        facts.extend(self._credential(view, name, snapshot) for name in followed if not names.CONSENT.matches(name))
        return facts

    def _credential(self, view: View, name: str, snapshot: bool) -> Credential:
        """A credential; of a key whose list the guard knows, what has become of that.

        A change that comes before the snapshot is told whole, and does not count as known: the guard may not take it yet.
        """
        base = None if snapshot else self._lists.pop(name, None)
        found = view.facts.credential(name) if base is None else view.facts.terms(name)
        if found is None or isinstance(shown(found, self._service), Deny):
            return Credential(name, None)
        if not isinstance(found, MarkedKey) or found.kind is not KeyKind.SPECIFIC_CUSTOMERS or not self._takes_differences:
            return Credential(name, found)
        if base is None and not snapshot:
            return Credential(name, found)
        self._lists[name] = found.list_number
        if base is None:
            return Credential(name, found)
        return Credential(name, found, view.facts.list_difference(found.partner, names.KEY.parse(name, "name")[1], base))

    @property
    def _takes_differences(self) -> bool:
        return self.hello is not None and self.hello.list_differences


def _first_not_partners(owed: deque[str], most: int) -> list[str]:
    """Take the first of these names, up to a partner's."""
    taken: list[str] = []
    while owed and len(taken) < most and not _is_partner(owed[0]):
        taken.append(owed.popleft())
    return taken


def _check_names(followed: Iterable[str], field: str) -> None:
    for index, name in enumerate(followed):
        if _followable(name) is None:
            raise InvalidArgument(
                f"{field}[{index}]",
                "must be the name of a key, a token, a consent or a partner",
                reason=ErrorReason.NAME_INVALID,
            )


def _facts(revision: Revision, interest: int, more: bool, facts: Iterable[Credential | MarkedStanding]) -> Facts:
    facts = tuple(facts)
    return Facts(
        revision,
        interest,
        more,
        tuple(fact for fact in facts if isinstance(fact, Credential)),
        tuple(fact for fact in facts if isinstance(fact, MarkedStanding)),
    )


def _is_partner(name: str) -> bool:
    """Of a name that has been checked; thousands come in one message."""
    return name.startswith("partners/") and "/keys/" not in name


def _only(name: str) -> str:
    return names.PARTNER.parse(name, "name")[0]
