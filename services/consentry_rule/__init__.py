"""The rule: which customers a key covers, and which of their data it may read.

    covered(key, standing, now) =
        key usable(now)                     not deleted, not disabled, not past its end
        and, by kind,
          DEMO                  customer is the demo customer, and the partner is not rehearsing a withdrawal
          ALL_CUSTOMERS         customer is a valid customer of the key's partner, now
          SPECIFIC_CUSTOMERS    the same, and customer is on the key's list

    reachable(key, address) =
        the address is in one of the networks that the key names, if it names any

    allowed(key, standing, data class, data time, now) =
        covered, and the consent includes the data class, and the data is not older than the consent opens

Everything that lets somebody in or keeps somebody out decides here: verification, coverage lists and watches, the guard, live
streams, history. There is no second copy. Pure functions over frozen dataclasses, standard library only.
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
    "usable",
    "valid",
]
