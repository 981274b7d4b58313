"""The secrets of keys and tokens. A dead one keeps its row, without a hash."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from consentry_authority.commands.records import LiveSecret, SecretRecord
from consentry_authority.storage.history.place import Touched
from consentry_authority.storage.schema import tables as t
from consentry_authority.storage.schema.rows import instant
from consentry_core.values import names
from consentry_rule import Instant


def kill_secret(connection: sa.Connection, touched: Touched, credential: str, secret_id: str, now: Instant) -> str | None:
    """No secret matches it any more. Its hint; None when it was dead before. A key's version is counted up."""
    live = (t.secrets.c.id == secret_id, t.secrets.c.credential == credential, t.secrets.c.argon2_hash.is_not(None))
    hint: str | None = connection.scalar(sa.select(t.secrets.c.hint).where(*live))
    if hint is None:
        return None
    touched.credential(credential)
    connection.execute(sa.update(t.secrets).where(*live).values(argon2_hash=None, kill_time=now))
    if names.KEY.matches(credential):
        columns, (partner, key) = t.keys.c, names.KEY.parse(credential, "credential")
        row = (columns.partner == partner, columns.id == key)
        connection.execute(sa.update(t.keys).where(*row).values(version=columns.version + 1))
    return hint


def rehash(connection: sa.Connection, secret_id: str, old_hash: str, new_hash: str) -> None:
    """Keep a secret under a hash of another cost, if it still has the old one."""
    connection.execute(
        sa.update(t.secrets)
        .where(t.secrets.c.id == secret_id, t.secrets.c.argon2_hash == old_hash)
        .values(argon2_hash=new_hash)
    )


def add_secret(connection: sa.Connection, credential: str, secret: SecretRecord, now: Instant) -> None:
    """Keep a new one."""
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


def kill_secrets(connection: sa.Connection, credential: str, now: Instant, *, spared: str = "") -> None:
    """All of a credential's secrets but one."""
    columns = t.secrets.c
    killed = (columns.credential == credential, columns.id != spared, columns.argon2_hash.is_not(None))
    connection.execute(sa.update(t.secrets).where(*killed).values(argon2_hash=None, kill_time=now))


@dataclass(slots=True)
class KnownSecrets:
    """What is told of one credential's secrets: the live ones, newest first, and the last use of any."""

    live: tuple[LiveSecret, ...] = ()
    last_use_time: Instant | None = None

    @property
    def hint(self) -> str:
        """Of the newest."""
        return self.live[0].hint if self.live else ""


def secrets_of(connection: sa.Connection, credentials: Sequence[str], now: Instant) -> Mapping[str, KnownSecrets]:
    """Of each of these credentials."""
    columns = t.secrets.c
    # A secret that has an end was rotated out: the other one is newer, whatever a clock that was set back says of the two.
    query = (
        sa.select(t.secrets)
        .where(columns.credential.in_(credentials))
        .order_by(columns.expire_time.is_not(None), columns.create_time.desc(), columns.id)
    )
    found: defaultdict[str, KnownSecrets] = defaultdict(KnownSecrets)
    for row in connection.execute(query) if credentials else ():
        secrets, used = found[row.credential], instant(row.last_use_time)
        if used is not None:
            secrets.last_use_time = max(used, secrets.last_use_time or used)
        if row.argon2_hash is not None and (row.expire_time is None or row.expire_time > now):
            secrets.live += (LiveSecret(row.id, row.hint, Instant(row.create_time), instant(row.expire_time), used),)
    return found
