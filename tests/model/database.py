"""A simulated database: the history, members and receipts, as the authority's storage keeps them; and views that may lag."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

from consentry_authority.commands.ports import Change, ReadFacts, StoredSecret, View
from consentry_authority.enforcement.barriers import Barrier, Member
from consentry_authority.storage.enforcement.receipts import EVERYTHING
from consentry_core.protocol.follow import Revision
from consentry_core.protocol.marks import ListDifference, MarkedKey, MarkedStanding
from consentry_core.values import names
from consentry_core.values.clock import BootTime
from consentry_rule import CustomerId, Instant, PartnerId, Token
from consentry_rule.narrowing import narrows_credential, narrows_standing
from model.history import Fact, History, standing_of


@dataclass(frozen=True)
class Committed:
    """A change and its place in the history."""

    revision: Revision
    commit_time: Instant
    narrowing: bool
    subjects: frozenset[str] = frozenset()
    since: BootTime | None = None


@dataclass(frozen=True)
class Receipt:
    """A row of the receipts."""

    commit_time: Instant
    subjects: tuple[str, ...]
    enforce_time: Instant | None = None


FIELDS = ("connected", "subscription", "consent", "disabled", "expire_time", "customers", "secrets", "rehearsing")
"""What a call can want to be so, of a standing or a credential."""


class Database:
    """The primary. Its rows outlive every process."""

    def __init__(self, facts: Mapping[str, Fact]) -> None:
        self.history = History("e1", facts)
        self.histories = {"e1": self.history}
        self.members: dict[str, Member] = {}
        self.receipts: dict[int, Receipt] = {}
        self.marks: dict[tuple[str, str], int] = {}
        self._marks_began = 0
        self._backups: list[tuple[int, dict[str, Member], dict[int, Receipt]]] = []

    def head(self) -> Revision:
        """The committed head."""
        return Revision(self.history.epoch, self.history.head)

    def commit(self, changed: Mapping[str, Fact], now: Instant) -> Committed:
        """As `storage.history.record`: draws the number, opens a receipt if something was taken away, and marks the fields."""
        self._backups.append((self.history.head, dict(self.members), dict(self.receipts)))
        pending = {
            subject for receipt in self.receipts.values() if receipt.enforce_time is None for subject in receipt.subjects
        }
        narrowed = [
            subject
            for subject, fact in changed.items()
            if subject in pending
            or EVERYTHING in pending
            or _narrows(subject, self.history.at(subject, self.history.head), fact, now)
        ]
        before = {subject: self.history.at(subject, self.history.head) for subject in changed}
        revision = self.history.commit(changed, now)
        for subject, fact in changed.items():
            for field in FIELDS:
                if getattr(before[subject], field, None) != getattr(fact, field, None):
                    self.marks[subject, field] = revision.number
        if narrowed:
            self.receipts[revision.number] = Receipt(now, tuple(narrowed))
        return Committed(revision, now, bool(narrowed), frozenset(changed))

    def restore(self, back: int, now: Instant) -> None:
        """A backup is put back, and `storage.opening.begin_new_epoch` run on it."""
        number, members, receipts = self._backups[-min(back, len(self._backups))] if self._backups else (0, {}, {})
        epoch = f"e{len(self.histories) + 1}"
        self.history = History(epoch, self.history.facts(number))
        self.history.head = number + 1
        self.histories[epoch] = self.history
        former = Member(f"before-{epoch}", "served before the restore", now, 0)
        self.members, self._backups = {**members, former.incarnation: former}, []
        self.receipts = {**receipts, number + 1: Receipt(now, (EVERYTHING,))}
        self.marks, self._marks_began = {}, number + 1

    def number_of(self, subject: str, field: str) -> int | None:
        """See `storage.history.marks.number_of`."""
        marked = self.marks.get((subject, field))
        if marked is not None:
            return marked
        return max(
            (
                number
                for number, receipt in self.receipts.items()
                if number <= self._marks_began and {subject, EVERYTHING} & set(receipt.subjects)
            ),
            default=None,
        )

    # Members and receipts, each as the function of that name in `storage.enforcement`: see `EnforcementRecords`

    def grant(self, incarnation: str, service: str, applied: Revision | None, now: Instant) -> None:
        """Count another lease of a member."""
        member = self.members.get(incarnation) or Member(incarnation, service, now, 0)
        self.members[incarnation] = replace(member, leases=member.leases + 1, applied=applied or member.applied)

    def leave(self, incarnation: str) -> None:
        """A member has given its lease back."""
        self.members.pop(incarnation, None)

    def expire(self, expired: Iterable[Member]) -> int:
        """Drop members that were granted nothing since their leases were counted."""
        before = len(self.members)
        for member in expired:
            row = self.members.get(member.incarnation)
            if row is not None and (row.join_time, row.leases) == (member.join_time, member.leases):
                del self.members[member.incarnation]
        return before - len(self.members)

    def close_receipts(self, barriers: Iterable[Barrier]) -> None:
        """Changes have been enforced."""
        for barrier in barriers:
            receipt = self.receipts[barrier.revision.number]
            if receipt.enforce_time is None:
                self.receipts[barrier.revision.number] = replace(receipt, enforce_time=barrier.enforce_time)

    def pending(self) -> Sequence[tuple[int, Instant]]:
        """The changes whose enforcement nobody has seen to its end."""
        return [(number, one.commit_time) for number, one in sorted(self.receipts.items()) if one.enforce_time is None]


def _narrows(subject: str, before: Fact, after: Fact, now: Instant) -> bool:
    if names.CONSENT.matches(subject):
        return narrows_standing(standing_of(subject, before), standing_of(subject, after), now)
    assert not isinstance(before, MarkedStanding)
    assert not isinstance(after, MarkedStanding)
    return narrows_credential(before, after, now)


class Shown:
    """What a copy of the database shows at one revision. See `ports.ReadFacts`."""

    def __init__(self, history: History, number: int) -> None:
        self._history = history
        self._number = number

    def head(self) -> Revision:
        return Revision(self._history.epoch, self._number)

    def changes_after(self, number: int) -> Iterator[Change]:
        return (Change(line[0], line[2], line[1]) for line in self._history.lines if number < line[0] <= self._number)

    def commit_time_of(self, number: int) -> Instant | None:
        return max((line[2] for line in self._history.lines if line[0] <= number), default=None)

    def credential(self, name: str) -> MarkedKey | Token | None:
        fact = self._history.at(name, self._number)
        assert not isinstance(fact, MarkedStanding)
        if not isinstance(fact, MarkedKey):
            return fact
        return replace(fact, list_number=self._history.began(name, "customers", self._number))

    def terms(self, name: str) -> MarkedKey | Token | None:
        found = self.credential(name)
        return replace(found, customers=frozenset()) if isinstance(found, MarkedKey) else found

    def list_difference(self, partner: PartnerId, key: str, base: int) -> ListDifference:
        name = names.KEY.format(partner, key)
        before, now = (self._history.at(name, number) for number in (base, self._number))
        was = before.customers if isinstance(before, MarkedKey) else frozenset()
        listed = now.customers if isinstance(now, MarkedKey) else frozenset()
        return ListDifference(
            base,
            tuple((customer, self._number) for customer in sorted(listed - was)),
            tuple((customer, 0, self._number) for customer in sorted(was - listed)),
        )

    def secret(self, secret_id: str) -> StoredSecret | None:
        raise NotImplementedError(secret_id)

    def standing(self, partner: PartnerId, customer: CustomerId) -> MarkedStanding:
        subject = names.CONSENT.format(customer, partner)
        return standing_of(subject, self._history.at(subject, self._number))

    def standings_of(self, partner: PartnerId, *, after: CustomerId | None = None, limit: int) -> Sequence[MarkedStanding]:
        facts = (self._history.at(subject, self._number) for subject in self._history.subjects())
        of = [
            fact
            for fact in facts
            if isinstance(fact, MarkedStanding) and fact.partner == partner and fact.customer > (after or "")
        ]
        return sorted(of, key=lambda standing: standing.customer)[:limit]

    def standings_changed(
        self, partner: PartnerId, since: tuple[int, Instant], now: Instant, *, after: CustomerId, limit: int
    ) -> Sequence[MarkedStanding]:
        raise NotImplementedError(partner)

    def standings_to(self, partner: PartnerId, customers: Sequence[CustomerId]) -> Sequence[MarkedStanding]:
        return [self.standing(partner, customer) for customer in customers]

    def standings_between(self, pairs: Sequence[tuple[PartnerId, CustomerId]]) -> Sequence[MarkedStanding]:
        return [self.standing(*pair) for pair in pairs]

    def demo_standing(self, partner: PartnerId) -> MarkedStanding:
        return self.standing(partner, CustomerId(names.DEMO_CUSTOMER))


@dataclass(frozen=True)
class _View:
    now: Instant
    facts: ReadFacts


def view(history: History, number: int, now: Instant) -> View:
    """One snapshot: what the code under test reads of a view."""
    return cast(View, _View(now, Shown(history, number)))
