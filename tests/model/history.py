"""What is true: the reference that everything else is held against. Facts by revision, and what may be read by them."""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

from consentry_core.protocol.follow import Revision
from consentry_core.protocol.marks import MarkedKey, MarkedStanding
from consentry_core.values import names
from consentry_rule import Allow, CustomerId, DataClass, Instant, PartnerId, Token, allowed, usable

Fact: TypeAlias = MarkedKey | Token | MarkedStanding | None
"""What is so about a subject (a credential or a standing); None: nothing is known of it."""


class History:
    """One epoch: every version of every fact. `enforced`: the last change that was answered ENFORCED."""

    def __init__(self, epoch: str, facts: Mapping[str, Fact]) -> None:
        self.epoch = epoch
        self.head = 0
        self.enforced = 0
        self.found: dict[str, int] = {}
        """Of subjects about which somebody who asked again was answered ENFORCED: since when what they found there is so."""
        self.lines: list[tuple[int, str, Instant]] = []
        self._numbers: dict[str, list[int]] = {subject: [0] for subject in facts}
        self._facts: dict[str, list[Fact]] = {subject: [fact] for subject, fact in facts.items()}

    def commit(self, changed: Mapping[str, Fact], commit_time: Instant) -> Revision:
        """The next revision: these facts are so from now on."""
        self.head += 1
        for subject, fact in changed.items():
            self.lines.append((self.head, subject, commit_time))
            self._numbers.setdefault(subject, [0]).append(self.head)
            self._facts.setdefault(subject, [None]).append(fact)
        return Revision(self.epoch, self.head)

    def at(self, subject: str, number: int) -> Fact:
        """The fact at a revision."""
        numbers = self._numbers.get(subject)
        return None if numbers is None else self._facts[subject][bisect_right(numbers, number) - 1]

    def since(self, subject: str, number: int) -> list[Fact]:
        """Every version that the fact had at a revision or after it."""
        numbers = self._numbers.get(subject)
        return [None] if numbers is None else self._facts[subject][bisect_right(numbers, number) - 1 :]

    def began(self, subject: str, field: str, number: int | None = None) -> int:
        """Since when a field of a fact is what it is now, or at a revision."""
        numbers, facts = self._numbers.get(subject, [0]), self._facts.get(subject, [None])
        last = began = len(facts) - 1 if number is None else max(bisect_right(numbers, number) - 1, 0)
        while began and getattr(facts[began - 1], field, None) == getattr(facts[last], field, None):
            began -= 1
        return numbers[began]

    def subjects(self) -> Iterator[str]:
        """All that there is anything to say about."""
        return iter(self._numbers)

    def facts(self, number: int) -> dict[str, Fact]:
        """Everything at a revision."""
        return {subject: self.at(subject, number) for subject in self._numbers}

    def may(self, since: int, read: "Read", moment: Instant) -> bool:
        """Whether what is read may be read at a moment, by some version of each fact at a revision or after it."""
        return self._any(lambda subject: self.since(subject, since), read, moment)

    def may_as_found(self, lease: "History", since: int, read: "Read", moment: Instant) -> bool:
        """Whether it may be read by what was found, where somebody was answered about that; and else by the lease's history."""

        def versions(subject: str) -> list[Fact]:
            if subject in self.found:
                return self.since(subject, max(self.found[subject], since if lease is self else 0))
            return lease.since(subject, since)

        return self._any(versions, read, moment)

    @staticmethod
    def _any(versions: Callable[[str], list[Fact]], read: "Read", moment: Instant) -> bool:
        standings = [None] if read.customer is None else versions(read.subject)
        return any(
            _lets(credential, standing, read, moment) for credential in versions(read.credential) for standing in standings
        )


class Read:
    """What a call reads: which secret of which credential, and of which customer what (None: nothing, a gateway publishes)."""

    def __init__(self, credential: str, secret_id: str, customer: CustomerId | None, data_class: DataClass) -> None:
        self.credential = credential
        self.secret_id = secret_id
        self.customer = customer
        self.data_class = data_class
        self.subject = ""
        if customer is not None:
            self.subject = names.CONSENT.format(customer, names.KEY.parse(credential, "key")[0])

    def __repr__(self) -> str:
        return f"{self.credential} {self.secret_id} {self.customer} {self.data_class.value}"


def standing_of(subject: str, fact: Fact) -> MarkedStanding:
    """A standing; an empty one where there is none."""
    if isinstance(fact, MarkedStanding):
        return fact
    customer, partner = names.CONSENT.parse(subject, "subject")
    return MarkedStanding(PartnerId(partner), CustomerId(customer), demo=customer == names.DEMO_CUSTOMER)


def _lets(credential: Fact, standing: Fact, read: Read, moment: Instant) -> bool:
    if not isinstance(credential, MarkedKey | Token) or not isinstance(usable(credential, moment), Allow):
        return False
    if not any(s.id == read.secret_id and isinstance(usable(s, moment), Allow) for s in credential.secrets):
        return False
    if read.customer is None or not isinstance(credential, MarkedKey):
        return read.customer is None
    return isinstance(allowed(credential, standing_of(read.subject, standing), read.data_class, None, moment), Allow)
