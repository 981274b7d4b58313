"""Let one partner read a customer's device data."""

from dataclasses import dataclass, replace

from consentry_authority.commands import checks
from consentry_authority.commands.consents.get_consent import get_consent
from consentry_authority.commands.ports import Transaction
from consentry_authority.commands.records import ConsentRecord
from consentry_authority.commands.states import State, consent_state
from consentry_core.values import names
from consentry_core.values.errors import FailedPrecondition, Violation
from consentry_rule import ALL_DATA_CLASSES, CustomerId, DataClass, Instant, PartnerId, Reason


@dataclass(frozen=True, slots=True)
class Grant:
    """What is granted. No data classes named means all that there are now; `data_start_time` None leaves it to us."""

    data_classes: frozenset[DataClass] = frozenset()
    expire_time: Instant | None = None
    data_start_time: Instant | None = None
    purpose: str = ""


def grant_consent(transaction: Transaction, customer: CustomerId, partner: PartnerId, grant: Grant) -> ConsentRecord:
    """The consent; it replaces what was granted before. Granting what is granted already changes nothing.

    FailedPrecondition when the two are not connected, whether there is such a partner or not. The earliest data that it opens
    is, unless the grant says: what an active consent opens already; else the moment of the grant.

    The classes are written down one by one, also when none is named: the customer consents to what it sees, and a class that is
    added later is opened by another grant only.
    """
    now = transaction.now
    checks.future(grant.expire_time, now, "expire_time")
    checks.purpose(grant.purpose, "purpose")
    connection = transaction.connections.get(partner, customer)
    if connection is None or not connection.connected:
        message = "the partner is not connected to your organisation; ask the platform's operator to connect the two"
        raise FailedPrecondition(
            message,
            violations=[Violation(names.PARTNER.format(partner), message)],
            reason=Reason.NOT_CONNECTED.value,
        )
    before = transaction.consents.get(customer, partner)
    data_start_time = grant.data_start_time
    active = before is not None and consent_state(before, now) is State.ACTIVE
    if data_start_time is None:
        data_start_time = before.data_start_time if before is not None and active else now
    consent = ConsentRecord(
        customer=customer,
        partner=partner,
        grant_time=now,
        data_start_time=data_start_time,
        expire_time=grant.expire_time,
        data_classes=grant.data_classes or ALL_DATA_CLASSES,
        purpose=grant.purpose,
    )
    if before is not None and active and consent == replace(before, grant_time=now):
        consent = before
    transaction.consents.save(consent)
    return consent


def granted_before(transaction: Transaction, customer: CustomerId, partner: PartnerId) -> ConsentRecord:
    """The consent as it is now, for a grant that is sent again: whatever has become of it stays as it is."""
    consent = get_consent(transaction, customer, partner)
    transaction.consents.save(consent)
    return consent
