"""Keys and tokens."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Unpack

import sqlalchemy as sa

from consentry_authority.commands.keys.key_customers import MOST_TOLD, MOST_TOLD_IN_PAGES
from consentry_authority.commands.ports import KeyChanges, ListChange
from consentry_authority.commands.records import KeyRecord, SecretRecord, TokenRecord
from consentry_authority.storage.history.place import Touched
from consentry_authority.storage.repositories.key_lists import KeyLists
from consentry_authority.storage.repositories.secrets import KnownSecrets, add_secret, kill_secrets, secrets_of
from consentry_authority.storage.schema import tables as t
from consentry_authority.storage.schema.rows import (
    instant,
    labels,
    labels_text,
    networks,
    networks_text,
    quota,
    words,
    words_text,
)
from consentry_core.values.errors import Aborted
from consentry_rule import CustomerId, Instant, KeyId, KeyKind, PartnerId, TokenRole


class SqlKeys:
    """The port `Keys`, on SQL."""

    def __init__(self, connection: sa.Connection, touched: Touched, lists: KeyLists, now: Instant) -> None:
        self._lists = lists
        self._connection = connection
        self._touched = touched
        self._now = now

    def get(self, partner: PartnerId, key: KeyId) -> KeyRecord | None:
        query = sa.select(t.keys).where(_is(partner, key), t.keys.c.delete_time.is_(None))
        found = [_key(row) for row in self._connection.execute(query)]
        if not found:
            return None
        secrets = secrets_of(self._connection, [found[0].name], self._now)
        return self._with_list(_with_secrets(found[0], secrets[found[0].name]))

    def page(self, partner: PartnerId, *, after: str, limit: int) -> Sequence[KeyRecord]:
        return self._read(
            sa.select(t.keys)
            .where(t.keys.c.partner == partner, t.keys.c.id > after, t.keys.c.delete_time.is_(None))
            .order_by(t.keys.c.id)
            .limit(limit)
        )

    def count(self, partner: PartnerId) -> int:
        query = sa.select(sa.func.count()).where(t.keys.c.partner == partner, t.keys.c.delete_time.is_(None))
        return int(self._connection.execute(query).scalar_one())

    def add(self, key: KeyRecord, secret: SecretRecord) -> None:
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
        self._lists.change(key.partner, key.id, added=key.customers)
        add_secret(self._connection, key.name, secret, self._now)

    def change(self, key: KeyRecord, **fields: Unpack[KeyChanges]) -> KeyRecord:
        """Counts the version up; Aborted when it is not the one that was read. Of a list, only who is named is looked at."""
        wanted = fields.get("customers", ListChange())
        added = wanted.added - self._lists.among(key.partner, key.id, wanted.added)
        removed = self._lists.among(key.partner, key.id, wanted.removed)
        values: dict[str, Any] = {name: value for name, value in fields.items() if name != "customers"}
        quota = {name: values.pop(name) for name in ("calls_per_minute", "open_streams") if name in values}
        changed = replace(key, quota=replace(key.quota, **quota), **values)
        if changed == key and not added and not removed:
            self._touched.found[key.name].update(fields)
            return key
        self._save_row(changed)
        self._lists.change(key.partner, key.id, added=added, removed=removed)
        length = len(key.customers) + key.customers_left_out + len(added) - len(removed)
        return self._with_list(replace(changed, version=key.version + 1, customers_left_out=length))

    def customers(self, partner: PartnerId, key: KeyId) -> frozenset[CustomerId]:
        return self._lists.of(partner, key)

    def customers_among(self, partner: PartnerId, key: KeyId, customers: Iterable[CustomerId]) -> frozenset[CustomerId]:
        return self._lists.among(partner, key, customers)

    def customers_page(self, partner: PartnerId, key: KeyId, *, after: str, limit: int) -> Sequence[CustomerId]:
        return self._lists.page(partner, key, after, limit)

    def _with_list(self, key: KeyRecord) -> KeyRecord:
        """A key of which `customers_left_out` counts all on its list, with them unless they are too many to be told."""
        if key.customers_left_out > MOST_TOLD:
            return replace(key, customers=frozenset())
        return replace(key, customers=self._lists.of(key.partner, key.id), customers_left_out=0)

    def rotated(self, key: KeyRecord) -> KeyRecord:
        self._touched.found[key.name].add("secrets")
        return key

    def delete(self, key: KeyRecord) -> None:
        self._touched.credential(key.name)
        self._connection.execute(sa.update(t.keys).where(_is(key.partner, key.id)).values(delete_time=self._now))
        kill_secrets(self._connection, key.name, self._now)

    def rotate(self, key: KeyRecord, secret: SecretRecord, until: Instant | None) -> None:
        """Counts the version up."""
        self._save_row(key)
        former = key.secrets[0] if key.secrets and until is not None else None
        kill_secrets(self._connection, key.name, self._now, spared=former.id if former else "")
        if former is not None and until is not None:
            end = until if former.expire_time is None else min(until, former.expire_time)
            self._connection.execute(sa.update(t.secrets).where(t.secrets.c.id == former.id).values(expire_time=end))
        add_secret(self._connection, key.name, secret, self._now)

    def _save_row(self, key: KeyRecord) -> None:
        self._touched.credential(key.name)
        saved = self._connection.execute(
            sa.update(t.keys)
            .where(_is(key.partner, key.id), t.keys.c.version == key.version)
            .values(version=key.version + 1, **_key_values(key))
        )
        if saved.rowcount != 1:
            raise Aborted("the key was changed meanwhile; read it again")

    def _read(self, query: sa.Select[Any]) -> list[KeyRecord]:
        keys = [_key(row) for row in self._connection.execute(query)]
        if not keys:
            return []
        told, room = set(), 10 * MOST_TOLD_IN_PAGES
        for key in keys:
            if key.customers_left_out <= min(room, MOST_TOLD_IN_PAGES):
                told.add(key.id)
                room -= key.customers_left_out
        customers = self._customers(sorted(told), keys[0].partner)
        secrets = secrets_of(self._connection, [key.name for key in keys], self._now)
        return [
            _with_secrets(
                replace(
                    key,
                    customers=frozenset(customers[key.id]),
                    customers_left_out=0 if key.id in told else key.customers_left_out,
                ),
                secrets[key.name],
            )
            for key in keys
        ]

    def _customers(self, keys: Sequence[KeyId], partner: PartnerId) -> defaultdict[KeyId, set[CustomerId]]:
        found: defaultdict[KeyId, set[CustomerId]] = defaultdict(set)
        query = sa.select(t.key_customers.c.key, t.key_customers.c.customer).where(
            t.key_customers.c.partner == partner, t.key_customers.c.key.in_(keys)
        )
        for row in self._connection.execute(query):
            found[row.key].add(row.customer)
        return found


class SqlTokens:
    """The port `Tokens`, on SQL."""

    def __init__(self, connection: sa.Connection, touched: Touched, now: Instant) -> None:
        self._connection = connection
        self._touched = touched
        self._now = now

    def get(self, token: str) -> TokenRecord | None:
        found = self._read(sa.select(t.tokens).where(t.tokens.c.id == token))
        return found[0] if found else None

    def page(self, organization: str | None, *, after: str, limit: int) -> Sequence[TokenRecord]:
        query = sa.select(t.tokens).where(t.tokens.c.id > after, t.tokens.c.delete_time.is_(None))
        if organization is not None:
            query = query.where(t.tokens.c.organization == organization)
        return self._read(query.order_by(t.tokens.c.id).limit(limit))

    def count(self, organization: str) -> int:
        columns = t.tokens.c
        query = sa.select(sa.func.count()).where(columns.organization == organization, columns.delete_time.is_(None))
        return int(self._connection.execute(query).scalar_one())

    def add(self, token: TokenRecord, secret: SecretRecord) -> None:
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
                audience=token.audience or None,
                partners=words_text(token.partners),
            )
        )
        add_secret(self._connection, token.name, secret, self._now)

    def delete(self, token: TokenRecord) -> None:
        self._touched.credential(token.name)
        self._connection.execute(sa.update(t.tokens).where(t.tokens.c.id == token.id).values(delete_time=self._now))
        kill_secrets(self._connection, token.name, self._now)

    def _read(self, query: sa.Select[Any]) -> list[TokenRecord]:
        tokens = [_token(row) for row in self._connection.execute(query)]
        secrets = secrets_of(self._connection, [token.name for token in tokens], self._now)
        return [
            replace(token, hint=secrets[token.name].hint, last_use_time=secrets[token.name].last_use_time) for token in tokens
        ]


def _with_secrets(key: KeyRecord, secrets: KnownSecrets) -> KeyRecord:
    return replace(key, hint=secrets.hint, secrets=secrets.live, last_use_time=secrets.last_use_time)


def _is(partner: PartnerId, key: KeyId) -> sa.ColumnElement[bool]:
    return (t.keys.c.partner == partner) & (t.keys.c.id == key)


def _key_values(key: KeyRecord) -> dict[str, Any]:
    return {
        "display_name": key.display_name,
        "expire_time": key.expire_time,
        "disabled": key.disabled,
        "labels": labels_text(key.labels),
        "networks": networks_text(key.networks),
        "calls_per_minute": key.quota.calls_per_minute or None,
        "open_streams": key.quota.open_streams or None,
        "audiences": words_text(key.audiences),
    }


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
        labels=labels(row.labels),
        networks=networks(row.networks),
        quota=quota(row.calls_per_minute, row.open_streams),
        audiences=words(row.audiences),
        customers_left_out=row.customer_count,
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
        audience=row.audience or "",
        partners=words(row.partners),
    )
