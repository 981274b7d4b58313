"""The rule: which customers a key covers, and which of their data it may read.

    covered(key, standing, now) =
        key usable(now)                     not deleted, not disabled, not past its end
        and, by kind,
          DEMO                  customer is the demo customer, and the partner is not rehearsing a withdrawal
          ALL_CUSTOMERS         customer is a valid customer of the key's partner, now
          SPECIFIC_CUSTOMERS    the same, and customer is on the key's list

    reachable(key, address) =
        the address is in one of the networks that the key names, if it names any

    reaches(service, organization) =
        the organization is among the partners that the service's token names, if it names any

    shown(key or token, service) =
        the service reaches the organization that the credential acts for
        and the service's audience is among those that the key names, if it names any

    allowed(key, standing, data class, data time, now) =
        covered, and the consent names the data class, and the data is not older than the consent opens

A call is let in where `covered`, `reachable` and `shown` all say so. Of a credential that a service is not shown it is told
what it would be told of none.

A consent names data classes one by one, those that the customer saw. A class that is added later is in no consent that was
given before, so it opens nothing by itself. The demo customer's data has no consent: all of it is open.

Everything that lets somebody in or keeps somebody out decides here: verification, which credentials a service is shown,
coverage lists and watches, the guard, live streams, history. There is no second copy. The facts hold what decides and nothing
else; what returning readers go by stands in `consentry_core.protocol.marks`. Pure functions over frozen dataclasses, standard
library only.
"""

from consentry_rule.facts import (
    ALL_DATA_CLASSES,
    NO_QUOTA,
    Address,
    Consent,
    CustomerId,
    DataClass,
    Instant,
    Key,
    KeyId,
    KeyKind,
    Network,
    PartnerId,
    Quota,
    Secret,
    Standing,
    Subscription,
    Token,
    TokenRole,
)
from consentry_rule.rule import (
    Allow,
    Decision,
    Deny,
    Reason,
    allowed,
    covered,
    next_end,
    opened_classes,
    reachable,
    reaches,
    shown,
    usable,
    valid,
)

__all__ = [
    "ALL_DATA_CLASSES",
    "NO_QUOTA",
    "Address",
    "Allow",
    "Consent",
    "CustomerId",
    "DataClass",
    "Decision",
    "Deny",
    "Instant",
    "Key",
    "KeyId",
    "KeyKind",
    "Network",
    "PartnerId",
    "Quota",
    "Reason",
    "Secret",
    "Standing",
    "Subscription",
    "Token",
    "TokenRole",
    "allowed",
    "covered",
    "next_end",
    "opened_classes",
    "reachable",
    "reaches",
    "shown",
    "usable",
    "valid",
]
