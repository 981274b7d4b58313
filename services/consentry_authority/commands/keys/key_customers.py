"""The list of a KIND_SPECIFIC_CUSTOMERS key: what can stand on it."""

from collections.abc import Collection, Iterable, Sized

from consentry_authority.commands.keys.get_key import get_key
from consentry_authority.commands.ports import View
from consentry_authority.commands.records import KeyRecord
from consentry_core.values import names
from consentry_core.values.errors import FailedPrecondition, InvalidArgument, Violation, denied
from consentry_core.values.reasons import ErrorReason
from consentry_rule import CustomerId, Deny, KeyId, KeyKind, PartnerId, Reason, valid

_FIELD = "key.customers"
MOST_LISTED = 100_000
MOST_TOLD = 10_000
"""In one answer: some 500 kB."""

MOST_TOLD_IN_PAGES = 1_000
"""Of each key in a page of keys; and ten times that of all of them."""
MOST_NEW = 5_000  # in one transaction: it takes about a tenth of a second, and everybody else's changes wait for it


def check_list(kind: KeyKind, customers: Iterable[CustomerId]) -> frozenset[CustomerId]:
    """The list, if a key of this kind can have it: one or more for KIND_SPECIFIC_CUSTOMERS, none for the others."""
    listed = frozenset(customers)
    if kind is not KeyKind.SPECIFIC_CUSTOMERS:
        if listed:
            raise InvalidArgument(
                _FIELD,
                "can be named only for KIND_SPECIFIC_CUSTOMERS; leave them out",
                reason=ErrorReason.CUSTOMERS_NOT_ALLOWED,
            )
        return listed
    if not listed:
        raise InvalidArgument(
            _FIELD, "must name at least one customer for KIND_SPECIFIC_CUSTOMERS", reason=ErrorReason.CUSTOMERS_REQUIRED
        )
    require_can_be_listed(listed, _FIELD)
    return listed


def require_can_be_listed(customers: Collection[CustomerId], field: str) -> None:
    """InvalidArgument for the demo customer, which is on no list."""
    if names.DEMO_CUSTOMER in customers:
        raise InvalidArgument(
            field, "must not name the demo customer; create a KIND_DEMO key for it", reason=Reason.DEMO_CUSTOMER.value
        )


def check_length(named: Sized) -> None:
    """InvalidArgument for a list that no key can have."""
    if len(named) > MOST_LISTED:
        raise InvalidArgument(
            _FIELD,
            f"must name at most {MOST_LISTED:,} customers; a KIND_ALL_CUSTOMERS key covers any number",
            reason=ErrorReason.TOO_MANY,
        )


def check_named(customers: Sized) -> None:
    """InvalidArgument for none, and for more than can be added or removed at once."""
    if not customers:
        raise InvalidArgument("customers", "must name at least one customer", reason=ErrorReason.CUSTOMERS_REQUIRED)
    if len(customers) > MOST_NEW:
        raise InvalidArgument(
            "customers",
            f"must name at most {MOST_NEW:,} customers; name the others in further calls",
            reason=ErrorReason.TOO_MANY,
        )


def listed_key(view: View, partner: PartnerId, key: KeyId, *, etag: str) -> KeyRecord:
    """The key, as `get_key`. FailedPrecondition when it is of a kind that has no list."""
    record = get_key(view, partner, key, etag=etag)
    if record.kind is not KeyKind.SPECIFIC_CUSTOMERS:
        message = "has no list: only a KIND_SPECIFIC_CUSTOMERS key has one; create such a key"
        raise FailedPrecondition(
            f"the key {message}", violations=[Violation(record.name, message)], reason=ErrorReason.KEY_WITHOUT_LIST
        )
    return record


def require_valid(view: View, partner: PartnerId, customers: Collection[CustomerId]) -> None:
    """FailedPrecondition, naming every customer, of these that are new on a list, that is not valid for the partner now.

    InvalidArgument for too many at once. One that is not there and one that is not connected get the same words: a partner
    cannot probe who is a customer.
    """
    if len(customers) > MOST_NEW:
        raise InvalidArgument(
            _FIELD,
            f"must name at most {MOST_NEW:,} that are not on the list yet; add the others with AddKeyCustomers",
            reason=ErrorReason.TOO_MANY,
        )
    standings = view.facts.standings_to(partner, sorted(customers))
    bad = [
        Violation(names.CUSTOMER.format(standing.customer), _why(decision), reason=decision.reason.value)
        for standing in standings
        if isinstance(decision := valid(standing, view.now), Deny)
    ]
    if bad:
        raise FailedPrecondition(
            f"{len(bad)} of the customers cannot be listed on a key now; leave them out or see to it that they are valid",
            violations=bad,
            reason=ErrorReason.CUSTOMERS_NOT_VALID,
        )


def _why(denial: Deny) -> str:
    if denial.reason is Reason.NOT_CONNECTED:
        return "not a customer that is connected to your organisation"
    return denied(denial).message
