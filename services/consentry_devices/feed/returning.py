"""What happened to a customer's coverage while a reader was away, as far as cursor and followed facts tell. No I/O.

The authority numbers its changes, and each standing remembers by which change the customer became valid last, and by which it
ceased to be; each key over a list remembers by which change a customer came on it or went. Held against the number in the
cursor they say whether the customer was covered all the time. They say nothing when the cursor is of another epoch of the
authority, or was made with another key over other customers, or with another key while changes were being told: then nobody is
taken to have stayed.

Of customers that an authority restored from an older copy does not know at all, or does not know on the key's list, nothing is
said: a cursor names nobody. Nothing is handed out of them, and when they come back they enter.
"""

from collections.abc import Callable
from enum import Enum

from consentry_devices.feed.coverage import Coverage
from consentry_devices.feed.cursor import NOTHING, Cursor, Phase, digest, laid_over
from consentry_devices.feed.filter import Filter
from consentry_rule import Allow, CustomerId, DataClass, Deny, Reason, Standing, valid

OpenClasses = Callable[[CustomerId], frozenset[DataClass]]


class Fate(Enum):
    """How it went from the cursor until now."""

    STAYED = "covered all the time"
    INTERRUPTED = "covered at the cursor and now, and not all the time"
    RETURNED = "covered now and before the cursor, and not at the cursor"
    ENTERED = "covered now, and never before"
    LEFT = "covered at the cursor, and not now"
    PASSED = "covered neither at the cursor nor now, but in between"
    OUT = "covered neither at the cursor nor since"


class Away:
    """The time since a cursor. `key` is the digest of the name of the key that the reader comes back with."""

    def __init__(self, coverage: Coverage, wanted: Filter, open_classes: OpenClasses, cursor: Cursor, key: bytes) -> None:
        known = cursor.known
        self._coverage = coverage
        self._wanted = wanted
        self._open_classes = open_classes
        self._known = known
        self._same_key = key == known.key
        self._same_history = digest(coverage.authority_epoch()) == known.epoch
        self._trusted = self._same_history and (self._same_key or cursor.phase is Phase.STARTED)
        self._members = NOTHING
        self._passed_is_left = False
        self._unlisted = {customer: (on, off) for customer, on, off in coverage.unlisted()} if self._same_key else {}

    def weigh(self, customer: CustomerId) -> None:
        """Take into account that this is one of the customers in question. All of them are weighed before `weighed`."""
        if self._trusted and self._fate(customer) in {Fate.STAYED, Fate.INTERRUPTED, Fate.LEFT}:
            self._members = laid_over(self._members, digest(customer))

    def weighed(self) -> None:
        """Hold those who were told about at the cursor, as it seems, against the cursor: from here on fates can be asked."""
        if self._trusted and self._members != self._known.members:
            # With the same key: somebody was covered at the cursor, and again since, and the last time is what is remembered.
            self._trusted = self._same_key
            self._passed_is_left = self._same_key

    def fate(self, customer: CustomerId) -> Fate:
        """How it went, as of this step. Once all have been weighed."""
        fate = self._fate(customer)
        return Fate.LEFT if fate is Fate.PASSED and self._passed_is_left else fate

    def changed_classes(self, standing: Standing) -> frozenset[DataClass]:
        """The classes, of those asked for, that were opened or closed meanwhile, while the customer was covered."""
        return self._wanted.wants({data_class for data_class, number in standing.class_numbers if number > self._known.number})

    def _fate(self, customer: CustomerId) -> Fate:
        standing = self._coverage.standing(customer)
        is_open = bool(self._open_classes(customer))
        if not self._trusted:
            return Fate.INTERRUPTED if is_open else Fate.LEFT if self._may_have_been_covered(standing) else Fate.OUT
        then = self._known.number
        on, off = self._unlisted.get(customer, (0, 0))
        if not is_open:
            if self._was_covered(standing):
                return Fate.LEFT
            return Fate.PASSED if max(standing.opened_number, off) > then else Fate.OUT
        listed = self._coverage.listed_number(customer) if self._same_key else 0
        if max(standing.opened_number, listed) <= then:
            return Fate.STAYED
        if standing.closed_number > then or on <= then < off:
            return Fate.INTERRUPTED
        return Fate.RETURNED if standing.closed_number > 0 or off > 0 else Fate.ENTERED

    def _was_covered(self, standing: Standing) -> bool:
        """Whether a customer of which nothing is open now was covered at the cursor."""
        then = self._known.number
        if not 0 < standing.opened_number <= then:
            return False
        decision = self._coverage.decide_covered(standing.customer)
        if isinstance(decision, Allow):
            return bool(self.changed_classes(standing))  # none is open that this reader wants
        if decision.reason is Reason.NOT_ON_KEY:
            on, off = self._unlisted.get(standing.customer, (0, 0))
            if not on <= then < off:
                return False
        if standing.closed_number > standing.opened_number:
            return standing.closed_number > then
        return isinstance(valid(standing, self._known.time), Allow)  # an end has come since, or the list has changed

    def _may_have_been_covered(self, standing: Standing) -> bool:
        decision = self._coverage.decide_covered(standing.customer)
        never_listed = (
            self._same_key
            and isinstance(decision, Deny)
            and decision.reason is Reason.NOT_ON_KEY
            and standing.customer not in self._unlisted
        )
        # What this history says of former times need not have been so in another one; but of who is not on a key's list its
        # holder learns nothing.
        return not never_listed and (standing.opened_number > 0 or not self._same_history)
