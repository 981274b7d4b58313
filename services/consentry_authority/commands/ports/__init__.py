"""What use cases need from the outside, as protocols. `storage` implements them.

Looking and changing are apart: a `View` has no way to change anything. Nothing here draws a revision or writes history: a
`Transaction` does that by itself for whatever was saved through it, so no use case can forget it.
"""

from consentry_authority.commands.ports.commits import Commit, Commits, Listener
from consentry_authority.commands.ports.facts import Change, Current, ReadFacts, StoredSecret
from consentry_authority.commands.ports.repositories import (
    CarriedOut,
    Connections,
    Consents,
    Customers,
    KeyChanges,
    Keys,
    ListChange,
    Partners,
    Place,
    ReadAudit,
    ReadConnections,
    ReadConsents,
    ReadCustomers,
    ReadKeys,
    ReadPartners,
    ReadTokens,
    Requests,
    SecretsInUse,
    Tokens,
)
from consentry_authority.commands.ports.unit_of_work import NOBODY, Committed, Origin, Store, Transaction, View

__all__ = [
    "NOBODY",
    "CarriedOut",
    "Change",
    "Commit",
    "Commits",
    "Committed",
    "Connections",
    "Consents",
    "Current",
    "Customers",
    "KeyChanges",
    "Keys",
    "ListChange",
    "Listener",
    "Origin",
    "Partners",
    "Place",
    "ReadAudit",
    "ReadConnections",
    "ReadConsents",
    "ReadCustomers",
    "ReadFacts",
    "ReadKeys",
    "ReadPartners",
    "ReadTokens",
    "Requests",
    "SecretsInUse",
    "Store",
    "StoredSecret",
    "Tokens",
    "Transaction",
    "View",
]
