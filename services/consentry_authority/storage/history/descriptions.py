"""What a subject is like, for the audit log: its rows as plain values, secrets by their public ids only."""

from collections.abc import Mapping
from typing import Any, Final

import sqlalchemy as sa

from consentry_authority.storage.repositories.key_lists import KeyLists
from consentry_authority.storage.schema import tables as t
from consentry_core.values import names
from consentry_rule import PartnerId

Description = Mapping[str, Any]
CUSTOMERS: Final = "customers"
"""A key's list, or, in a transaction, (who came onto it, who went)."""

# What only the history's own readers go by, and what the name says already.
_NOT_TOLD = frozenset(
    {
        "id", "partner", "customer", "version", "last_use_time",
        "opened_number", "closed_number", "class_numbers", "demo_opened_number", "demo_closed_number",
        "customer_count", "list_number",
    }
)  # fmt: skip


def describe(connection: sa.Connection, name: str, lists: KeyLists | None = None) -> Description | None:
    """A partner, customer, consent (with its connection), key or token; None when there is nothing of it.

    `lists` are those of the transaction that this is part of: of a key's list only who came and who went
    since its beginning is said then; without them, all who are on it.
    """
    if names.PARTNER.matches(name):
        return _row(connection, t.partners, t.partners.c.id == names.PARTNER.parse(name, "name")[0])
    if names.CUSTOMER.matches(name):
        return _row(connection, t.customers, t.customers.c.id == names.CUSTOMER.parse(name, "name")[0])
    if names.CONSENT.matches(name):
        return _standing(connection, *names.CONSENT.parse(name, "name"))
    if names.KEY.matches(name):
        return _key(connection, name, lists)
    token = _row(connection, t.tokens, t.tokens.c.id == names.TOKEN.parse(name, "name")[0])
    return None if token is None else {**token, "secrets": _secrets(connection, name)}


def _standing(connection: sa.Connection, customer: str, partner: str) -> Description | None:
    columns = t.connections.c
    found = _row(connection, t.connections, (columns.partner == partner) & (columns.customer == customer))
    consents = t.consents.c
    consent = _row(connection, t.consents, (consents.partner == partner) & (consents.customer == customer))
    return None if found is None else {**found, "consent": consent}


def _key(connection: sa.Connection, name: str, lists: KeyLists | None) -> Description | None:
    partner, key = names.KEY.parse(name, "name")
    found = _row(connection, t.keys, (t.keys.c.partner == partner) & (t.keys.c.id == key))
    if found is None:
        return None
    described = {**found, "secrets": _secrets(connection, name)}
    if lists is None:
        return {**described, CUSTOMERS: KeyLists(connection).of(PartnerId(partner), key)}
    return {**described, CUSTOMERS: lists.difference(PartnerId(partner), key)}


def _secrets(connection: sa.Connection, credential: str) -> list[Description]:
    """Those that live: there are two at most, and each entry of a key that is rotated all the time stays short."""
    columns = t.secrets.c
    query = sa.select(columns.id, columns.expire_time).where(columns.credential == credential, columns.argon2_hash.is_not(None))
    return [
        {"id": row.id, "expire_time": row.expire_time, "live": True} for row in connection.execute(query.order_by(columns.id))
    ]


def _row(connection: sa.Connection, table: sa.Table, which: sa.ColumnElement[bool]) -> Description | None:
    row = connection.execute(sa.select(table).where(which)).mappings().one_or_none()
    return None if row is None else {name: value for name, value in row.items() if name not in _NOT_TOLD}
