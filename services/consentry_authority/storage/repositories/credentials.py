"""Keys, tokens and their secrets."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from consentry_authority.commands.keys.key_customers import MOST_TOLD, MOST_TOLD_IN_PAGES
from consentry_authority.commands.records import KeyRecord, LiveSecret, SecretRecord, TokenRecord
from consentry_authority.storage.history.place import Touched
from consentry_authority.storage.repositories.key_lists import KeyLists
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
from consentry_core.values import names
from consentry_core.values.errors import Aborted
from consentry_rule import CustomerId, Instant, KeyId, KeyKind, PartnerId, TokenRole


class SqlKeys:
    """See `ports.Keys`."""

    def __init__(self, connection: sa.Connection, touched: Touched, lists: KeyLists, now: Instant) -> None:
        self._lists = lists
        self._connection = connection
        self._touched = touched
        self._now = now

    def get(self, partner: PartnerId, key: KeyId) -> KeyRecord | None:
        """See `ports.ReadKeys.get`."""
        query = sa.select(t.keys).where(_is(partner, key), t.keys.c.delete_time.is_(None))
        found = [_key(row) for row in self._connection.execute(query)]
        if not found:
            return None
        secrets = _secrets(self._connection, [found[0].name], self._now)
        record = _with_secrets(found[0], secrets[found[0].name])
        if record.customers_left_out > MOST_TOLD:
            return record
        return replace(record, customers=self._lists.of(partner, key), customers_left_out=0)

    def page(self, partner: PartnerId, *, after: str, limit: int) -> Sequence[KeyRecord]:
        """See `ports.ReadKeys.page`."""
        return self._read(
            sa.select(t.keys)
            .where(t.keys.c.partner == partner, t.keys.c.id > after, t.keys.c.delete_time.is_(None))
            .order_by(t.keys.c.id)
            .limit(limit)
        )

    def count(self, partner: PartnerId) -> int:
        """See `ports.Keys.count`."""
        query = sa.select(sa.func.count()).where(t.keys.c.partner == partner, t.keys.c.delete_time.is_(None))
        return int(self._connection.execute(query).scalar_one())

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
        self._lists.change(key.partner, key.id, added=key.customers)
        _add_secret(self._connection, key.name, secret, self._now)

    def save(self, key: KeyRecord) -> None:
        """See `ports.Keys.save`. Counts the version up; Aborted when it is not the one that was read."""
        self._save_row(key)

    def relist(self, key: KeyRecord, *, added: Set[CustomerId] = frozenset(), removed: Set[CustomerId] = frozenset()) -> None:
        """See `ports.Keys.relist`."""
        self._touched.credential(key.name)
        self._lists.change(key.partner, key.id, added=added, removed=removed)

    def customers(self, partner: PartnerId, key: KeyId) -> frozenset[CustomerId]:
        """See `ports.ReadKeys.customers`."""
        return self._lists.of(partner, key)

    def customers_among(self, partner: PartnerId, key: KeyId, customers: Iterable[CustomerId]) -> frozenset[CustomerId]:
        """See `ports.ReadKeys.customers_among`."""
        return self._lists.among(partner, key, customers)

    def customers_page(self, partner: PartnerId, key: KeyId, *, after: str, limit: int) -> Sequence[CustomerId]:
        """See `ports.ReadKeys.customers_page`."""
        return self._lists.page(partner, key, after, limit)

    def delete(self, key: KeyRecord) -> None:
        """See `ports.Keys.delete`."""
        self._touched.credential(key.name)
        self._connection.execute(sa.update(t.keys).where(_is(key.partner, key.id)).values(delete_time=self._now))
        _kill_secrets(self._connection, key.name, self._now)

    def rotate(self, key: KeyRecord, secret: SecretRecord, until: Instant | None) -> None:
        """See `ports.Keys.rotate`. Counts the version up."""
        self._save_row(key)
        former = key.secrets[0] if key.secrets and until is not None else None
        _kill_secrets(self._connection, key.name, self._now, spared=former.id if former else "")
        if former is not None and until is not None:
            end = until if former.expire_time is None else min(until, former.expire_time)
            self._connection.execute(sa.update(t.secrets).where(t.secrets.c.id == former.id).values(expire_time=end))
        _add_secret(self._connection, key.name, secret, self._now)

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
        secrets = _secrets(self._connection, [key.name for key in keys], self._now)
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

    def count(self, organization: str) -> int:
        """See `ports.Tokens.count`."""
        columns = t.tokens.c
        query = sa.select(sa.func.count()).where(columns.organization == organization, columns.delete_time.is_(None))
        return int(self._connection.execute(query).scalar_one())

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
                audience=token.audience or None,
                partners=words_text(token.partners),
            )
        )
        _add_secret(self._connection, token.name, secret, self._now)

    def delete(self, token: TokenRecord) -> None:
        """See `ports.Tokens.delete`."""
        self._touched.credential(token.name)
        self._connection.execute(sa.update(t.tokens).where(t.tokens.c.id == token.id).values(delete_time=self._now))
        _kill_secrets(self._connection, token.name, self._now)

    def _read(self, query: sa.Select[Any]) -> list[TokenRecord]:
        tokens = [_token(row) for row in self._connection.execute(query)]
        secrets = _secrets(self._connection, [token.name for token in tokens], self._now)
        return [
            replace(token, hint=secrets[token.name].hint, last_use_time=secrets[token.name].last_use_time) for token in tokens
        ]


def kill_secret(connection: sa.Connection, touched: Touched, credential: str, secret_id: str, now: Instant) -> str | None:
    """See `ports.Transaction.kill_secret`. A key's version is counted up."""
    live = (t.secrets.c.id == secret_id, t.secrets.c.credential == credential, t.secrets.c.argon2_hash.is_not(None))
    hint: str | None = connection.scalar(sa.select(t.secrets.c.hint).where(*live))
    if hint is None:
        return None
    touched.credential(credential)
    connection.execute(sa.update(t.secrets).where(*live).values(argon2_hash=None, kill_time=now))
    if names.KEY.matches(credential):
        partner, key = names.KEY.parse(credential, "credential")
        connection.execute(sa.update(t.keys).where(_is(PartnerId(partner), KeyId(key))).values(version=t.keys.c.version + 1))
    return hint


def rehash(connection: sa.Connection, secret_id: str, old_hash: str, new_hash: str) -> None:
    """See `ports.Transaction.rehash`."""
    connection.execute(
        sa.update(t.secrets)
        .where(t.secrets.c.id == secret_id, t.secrets.c.argon2_hash == old_hash)
        .values(argon2_hash=new_hash)
    )


def mark_used(connection: sa.Connection, uses: Sequence[tuple[str, Instant]]) -> None:
    """These secrets, by id, were in use at these times; times before the one that is kept change nothing."""
    columns = t.secrets.c
    at: sa.BindParameter[int] = sa.bindparam("at")
    later = sa.or_(columns.last_use_time.is_(None), columns.last_use_time < at)
    connection.execute(
        sa.update(t.secrets).where(columns.id == sa.bindparam("secret_id"), later).values(last_use_time=at),
        [{"secret_id": secret_id, "at": used} for secret_id, used in uses],
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
            checksum_key=secret.checksum_key or None,
        )
    )


def _kill_secrets(connection: sa.Connection, credential: str, now: Instant, *, spared: str = "") -> None:
    """All of a credential's secrets but one."""
    columns = t.secrets.c
    killed = (columns.credential == credential, columns.id != spared, columns.argon2_hash.is_not(None))
    connection.execute(sa.update(t.secrets).where(*killed).values(argon2_hash=None, kill_time=now))


@dataclass(slots=True)
class _Secrets:
    """What is told of one credential's secrets: the live ones, newest first, and the last use of any."""

    live: tuple[LiveSecret, ...] = ()
    last_use_time: Instant | None = None

    @property
    def hint(self) -> str:
        return self.live[0].hint if self.live else ""


def _secrets(connection: sa.Connection, credentials: Sequence[str], now: Instant) -> Mapping[str, _Secrets]:
    columns = t.secrets.c
    # A secret that has an end was rotated out: the other one is newer, whatever a clock that was set back says of the two.
    query = (
        sa.select(t.secrets)
        .where(columns.credential.in_(credentials))
        .order_by(columns.expire_time.is_not(None), columns.create_time.desc(), columns.id)
    )
    found: defaultdict[str, _Secrets] = defaultdict(_Secrets)
    for row in connection.execute(query) if credentials else ():
        secrets, used = found[row.credential], instant(row.last_use_time)
        if used is not None:
            secrets.last_use_time = max(used, secrets.last_use_time or used)
        if row.argon2_hash is not None and (row.expire_time is None or row.expire_time > now):
            secrets.live += (LiveSecret(row.id, row.hint, Instant(row.create_time), instant(row.expire_time), used),)
    return found


def _with_secrets(key: KeyRecord, secrets: _Secrets) -> KeyRecord:
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
