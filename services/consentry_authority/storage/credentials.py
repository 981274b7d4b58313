"""Keys, tokens and their secrets."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from consentry_authority.commands.records import KeyRecord, SecretRecord, TokenRecord
from consentry_authority.storage import tables as t
from consentry_authority.storage.history import Touched
from consentry_authority.storage.rows import instant
from consentry_core.errors import Aborted
from consentry_rule import CustomerId, Instant, KeyId, KeyKind, PartnerId, TokenRole


class SqlKeys:
    """See `ports.Keys`."""

    def __init__(self, connection: sa.Connection, touched: Touched, now: Instant) -> None:
        self._connection = connection
        self._touched = touched
        self._now = now

    def get(self, partner: PartnerId, key: KeyId) -> KeyRecord | None:
        """See `ports.ReadKeys.get`."""
        found = self._read(sa.select(t.keys).where(_is(partner, key), t.keys.c.delete_time.is_(None)))
        return found[0] if found else None

    def page(self, partner: PartnerId, *, after: str, limit: int) -> Sequence[KeyRecord]:
        """See `ports.ReadKeys.page`."""
        return self._read(
            sa.select(t.keys)
            .where(t.keys.c.partner == partner, t.keys.c.id > after, t.keys.c.delete_time.is_(None))
            .order_by(t.keys.c.id)
            .limit(limit)
        )

    def add(self, key: KeyRecord, secret: SecretRecord) -> None:
        """See `ports.Keys.add`."""
        self._touched.credential(key.name)
        self._connection.execute(
            sa.insert(t.keys).values(
                partner=key.partner,
                id=key.id,
                kind=key.kind.value,
                create_time=key.create_time,
                creator=key.creator,
                version=key.version,
                **_key_values(key),
            )
        )
        self._list_customers(key, key.customers)
        _add_secret(self._connection, key.name, secret, self._now)

    def save(self, key: KeyRecord) -> None:
        """See `ports.Keys.save`. Counts the version up; Aborted when it is not the one that was read."""
        self._touched.credential(key.name)
        saved = self._connection.execute(
            sa.update(t.keys)
            .where(_is(key.partner, key.id), t.keys.c.version == key.version)
            .values(version=key.version + 1, **_key_values(key))
        )
        if saved.rowcount != 1:
            raise Aborted("the key was changed meanwhile; read it again")
        listed = self._customers([key.id], key.partner)[key.id]
        gone = listed - key.customers
        if gone:
            self._connection.execute(
                sa.delete(t.key_customers).where(_listed(key), t.key_customers.c.customer == sa.bindparam("gone")),
                [{"gone": customer} for customer in sorted(gone)],
            )
        self._list_customers(key, key.customers - listed)

    def delete(self, key: KeyRecord) -> None:
        """See `ports.Keys.delete`."""
        self._touched.credential(key.name)
        self._connection.execute(sa.update(t.keys).where(_is(key.partner, key.id)).values(delete_time=self._now))
        _kill_secrets(self._connection, key.name)

    def _list_customers(self, key: KeyRecord, customers: Iterable[CustomerId]) -> None:
        rows = [{"partner": key.partner, "key": key.id, "customer": customer} for customer in sorted(customers)]
        if rows:
            self._connection.execute(sa.insert(t.key_customers), rows)

    def _read(self, query: sa.Select[Any]) -> list[KeyRecord]:
        keys = [_key(row) for row in self._connection.execute(query)]
        if not keys:
            return []
        customers = self._customers([key.id for key in keys], keys[0].partner)
        hints = _hints(self._connection, [key.name for key in keys])
        return [replace(key, customers=frozenset(customers[key.id]), hint=hints.get(key.name, "")) for key in keys]

    def _customers(self, keys: Sequence[KeyId], partner: PartnerId) -> defaultdict[KeyId, set[CustomerId]]:
        found: defaultdict[KeyId, set[CustomerId]] = defaultdict(set)
        query = sa.select(t.key_customers.c.key, t.key_customers.c.customer).where(
            t.key_customers.c.partner == partner, t.key_customers.c.key.in_(keys)
        )
        for row in self._connection.execute(query):
            found[row.key].add(row.customer)
        return found


class SqlTokens:
    """See `ports.Tokens`."""

    def __init__(self, connection: sa.Connection, touched: Touched, now: Instant) -> None:
        self._connection = connection
        self._touched = touched
        self._now = now

    def get(self, token: str) -> TokenRecord | None:
        """See `ports.ReadTokens.get`."""
        found = self._read(sa.select(t.tokens).where(t.tokens.c.id == token))
        return found[0] if found else None

    def page(self, organization: str | None, *, after: str, limit: int) -> Sequence[TokenRecord]:
        """See `ports.ReadTokens.page`."""
        query = sa.select(t.tokens).where(t.tokens.c.id > after, t.tokens.c.delete_time.is_(None))
        if organization is not None:
            query = query.where(t.tokens.c.organization == organization)
        return self._read(query.order_by(t.tokens.c.id).limit(limit))

    def add(self, token: TokenRecord, secret: SecretRecord) -> None:
        """See `ports.Tokens.add`."""
        self._touched.credential(token.name)
        self._connection.execute(
            sa.insert(t.tokens).values(
                id=token.id,
                role=token.role.value,
                organization=token.organization,
                display_name=token.display_name,
                create_time=token.create_time,
                creator=token.creator,
                expire_time=token.expire_time,
            )
        )
        _add_secret(self._connection, token.name, secret, self._now)

    def delete(self, token: TokenRecord) -> None:
        """See `ports.Tokens.delete`."""
        self._touched.credential(token.name)
        self._connection.execute(sa.update(t.tokens).where(t.tokens.c.id == token.id).values(delete_time=self._now))
        _kill_secrets(self._connection, token.name)

    def _read(self, query: sa.Select[Any]) -> list[TokenRecord]:
        tokens = [_token(row) for row in self._connection.execute(query)]
        hints = _hints(self._connection, [token.name for token in tokens])
        return [replace(token, hint=hints.get(token.name, "")) for token in tokens]


def rehash(connection: sa.Connection, secret_id: str, old_hash: str, new_hash: str) -> None:
    """See `ports.Transaction.rehash`."""
    connection.execute(
        sa.update(t.secrets)
        .where(t.secrets.c.id == secret_id, t.secrets.c.argon2_hash == old_hash)
        .values(argon2_hash=new_hash)
    )


def _add_secret(connection: sa.Connection, credential: str, secret: SecretRecord, now: Instant) -> None:
    connection.execute(
        sa.insert(t.secrets).values(
            id=secret.id,
            credential=credential,
            argon2_hash=secret.argon2_hash,
            hint=secret.hint,
            create_time=now,
            expire_time=secret.expire_time,
        )
    )


def _kill_secrets(connection: sa.Connection, credential: str) -> None:
    connection.execute(sa.update(t.secrets).where(t.secrets.c.credential == credential).values(argon2_hash=None))


def _hints(connection: sa.Connection, credentials: Sequence[str]) -> dict[str, str]:
    """The hint of each credential's newest live secret."""
    query = (
        sa.select(t.secrets.c.credential, t.secrets.c.hint)
        .where(t.secrets.c.credential.in_(credentials), t.secrets.c.argon2_hash.is_not(None))
        .order_by(t.secrets.c.create_time)
    )
    return {row.credential: row.hint for row in connection.execute(query)} if credentials else {}


def _is(partner: PartnerId, key: KeyId) -> sa.ColumnElement[bool]:
    return (t.keys.c.partner == partner) & (t.keys.c.id == key)


def _listed(key: KeyRecord) -> sa.ColumnElement[bool]:
    return (t.key_customers.c.partner == key.partner) & (t.key_customers.c.key == key.id)


def _key_values(key: KeyRecord) -> dict[str, Any]:
    return {"display_name": key.display_name, "expire_time": key.expire_time, "disabled": key.disabled}


def _key(row: sa.Row[Any]) -> KeyRecord:
    return KeyRecord(
        partner=PartnerId(row.partner),
        id=KeyId(row.id),
        display_name=row.display_name,
        kind=KeyKind(row.kind),
        create_time=Instant(row.create_time),
        creator=row.creator,
        hint="",
        expire_time=instant(row.expire_time),
        disabled=row.disabled,
        version=row.version,
    )


def _token(row: sa.Row[Any]) -> TokenRecord:
    return TokenRecord(
        id=row.id,
        role=TokenRole(row.role),
        organization=row.organization,
        display_name=row.display_name,
        create_time=Instant(row.create_time),
        creator=row.creator,
        hint="",
        expire_time=instant(row.expire_time),
        delete_time=instant(row.delete_time),
    )
