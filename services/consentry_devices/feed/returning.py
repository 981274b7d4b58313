"""What happened to a customer's coverage while a reader was away, as far as cursor and followed facts tell. No I/O.

The authority numbers its changes, and each standing remembers by which change the customer became valid last, and by which it
ceased to be; each key over a list remembers by which change a customer came on it or went. Held against the number in the
cursor they say whether the customer was covered all the time. With another key of the partner it is the standing that counts:
whoever was valid all the time, is known to the reader and is covered by this key as well goes on.

Who is known to the reader the cursor says by name, when they are few. Of many it follows from the numbers: for a key without a
list whichever key the reader comes back with, for one with a list only with the same key, or one over the same customers. When
it does not follow (another epoch of the authority, another list, another key while changes were being told), nobody is taken
to have stayed.

Of customers that an authority restored from an older copy does not know at all, or does not know on the key's list, nothing is
said: no name follows from a cursor. Nothing is handed out of them, and when they come back they enter.
"""

from collections.abc import Callable, Iterable
from enum import Enum

from consentry_core.protocol.marks import MarkedStanding
from consentry_devices.feed.coverage import Coverage
from consentry_devices.feed.cursor import NOTHING, Cursor, Phase, digest, laid_over
from consentry_devices.feed.filter import Filter
from consentry_rule import ALL_DATA_CLASSES, Allow, CustomerId, DataClass, Deny, Reason, valid

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
        self._entered = cursor.entered
        self._starting = cursor.phase in {Phase.ENTERING, Phase.IN_SNAPSHOT}
        self._same_key = key == known.key
        self.mixed = known.mixed or not self._same_key
        self._same_history = digest(coverage.authority_epoch()) == known.epoch
        self.restored = known.restored or not self._same_history
        self._trusted = self._same_history and (self._same_key or cursor.phase is Phase.STARTED)
        self._members = NOTHING
        self._passed_is_left = False
        self._unlisted_now: Iterable[tuple[CustomerId, int, int]] = ()
        self._unlisted_by: dict[CustomerId, tuple[int, int]] = {}

    def weigh(self, customer: CustomerId) -> None:
        """Take into account that this is one of the customers in question. All of them are weighed before `weighed`."""
        if self._known.named is None and self._trusted and self._fate(customer) in {Fate.STAYED, Fate.INTERRUPTED, Fate.LEFT}:
            self._members = laid_over(self._members, digest(customer))

    def weighed(self) -> None:
        """Hold those who were told about at the cursor, as it seems, against the cursor: from here on fates can be asked."""
        if self._known.named is None and self._trusted and self._members != self._known.members:
            # With the same key: somebody was covered at the cursor, and again since, and the last time is what is remembered.
            self._trusted = self._same_key
            self._passed_is_left = self._same_key

    def fate(self, customer: CustomerId) -> Fate:
        """How it went, as of this step. Once all have been weighed."""
        fate = self._fate(customer)
        return Fate.LEFT if fate is Fate.PASSED and self._passed_is_left else fate

    def changed_classes(self, standing: MarkedStanding) -> frozenset[DataClass]:
        """The classes, of those asked for, that were opened or closed meanwhile, while the customer was covered."""
        return self._wanted.wants({data_class for data_class, number in standing.class_numbers if number > self._known.number})

    def open_once(self, standing: MarkedStanding) -> frozenset[DataClass]:
        """The classes of a customer that has stayed which may have been open to the reader at some time."""
        if standing.closed_number > 0 or self.restored:
            return ALL_DATA_CLASSES
        return frozenset(data_class for data_class, number in standing.class_numbers if number > 0)

    def was_open_once(self, customer: CustomerId) -> bool:
        """Whether a customer that enters now, and is not known to the reader, may have been at some time."""
        standing = self._coverage.standing(customer)
        was_valid_then = 0 < standing.opened_number <= self._known.number
        was_listed = self._unlisted(customer)[1] > 0
        return standing.closed_number > 0 or was_listed or self.restored or (self.mixed and was_valid_then)

    def _fate(self, customer: CustomerId) -> Fate:
        standing = self._coverage.standing(customer)
        is_open = bool(self._open_classes(customer))
        if self._known.named is not None:
            return self._fate_by_name(customer, standing, digest(customer) in self._known.named, is_open)
        if not self._trusted:
            return Fate.INTERRUPTED if is_open else Fate.LEFT if self._may_have_been_covered(standing) else Fate.OUT
        then = self._known.number
        on, off = self._unlisted(customer) if self._same_key else (0, 0)
        if not is_open:
            if self._was_covered(standing):
                return Fate.LEFT
            return Fate.PASSED if max(standing.opened_number, off) > then else Fate.OUT
        if self._is_continuous(standing):
            return Fate.STAYED
        if standing.closed_number > then or on <= then < off:
            return Fate.INTERRUPTED
        return Fate.RETURNED if standing.closed_number > 0 or off > 0 else Fate.ENTERED

    def _fate_by_name(self, customer: CustomerId, standing: MarkedStanding, told: bool, is_open: bool) -> Fate:
        entered = digest(customer) in self._entered
        told = told or (entered and self._starting)
        if not is_open:
            return Fate.LEFT if told or entered else Fate.OUT
        if not self._same_history:
            return Fate.INTERRUPTED if told else Fate.RETURNED
        if told or self._starting:
            if self._is_continuous(standing):
                return Fate.STAYED
            if told:
                return Fate.INTERRUPTED
        return Fate.RETURNED if self.was_open_once(customer) else Fate.ENTERED

    def _is_continuous(self, standing: MarkedStanding) -> bool:
        """Whether a customer that is covered has been valid since the cursor, and on the list of a key that is the same."""
        listed = self._coverage.listed_number(standing.customer) if self._same_key else 0
        return max(standing.opened_number, listed) <= self._known.number

    def _unlisted(self, customer: CustomerId) -> tuple[int, int]:
        """By which changes a customer first came on the list of the reader's key, and went last; zeros if it never went."""
        unlisted = self._coverage.unlisted()
        if unlisted is not self._unlisted_now:  # the key has changed
            self._unlisted_now, self._unlisted_by = unlisted, {each: (on, off) for each, on, off in unlisted}
        return self._unlisted_by.get(customer, (0, 0))

    def _was_covered(self, standing: MarkedStanding) -> bool:
        """Whether a customer of which nothing is open now was covered at the cursor."""
        then = self._known.number
        if not 0 < standing.opened_number <= then:
            return False
        decision = self._coverage.decide_covered(standing.customer)
        if isinstance(decision, Allow):
            return bool(self.changed_classes(standing))  # none is open that this reader wants
        if decision.reason is Reason.NOT_ON_KEY and not self._known.listless:
            on, off = self._unlisted(standing.customer) if self._same_key else (0, 0)
            if not on <= then < off:
                return False
        if standing.closed_number > standing.opened_number:
            return standing.closed_number > then
        return isinstance(valid(standing, self._known.time), Allow)  # an end has come since, or the list has changed

    def _may_have_been_covered(self, standing: MarkedStanding) -> bool:
        decision = self._coverage.decide_covered(standing.customer)
        never_listed = (
            self._same_key
            and isinstance(decision, Deny)
            and decision.reason is Reason.NOT_ON_KEY
            and not self._unlisted(standing.customer)[1]
        )
        # What this history says of former times need not have been so in another one; but of who is not on a key's list its
        # holder learns nothing.
        return not never_listed and (standing.opened_number > 0 or not self._same_history)
