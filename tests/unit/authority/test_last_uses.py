"""When secrets were last in use: collected without writing, written in batches, by one writer."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from consentry_authority.admission.last_uses import LastUses
from consentry_authority.commands.keys.get_key import get_key
from consentry_authority.storage.repositories.secrets_in_use import SqlSecretsInUse
from consentry_core.protocol.follow import Uses
from consentry_core.values.clock import SECOND, BootTime
from consentry_core.values.errors import Unavailable
from consentry_guard.reports.uses import TELL_EVERY, SecretUses
from consentry_rule import Instant, KeyId
from support.stores import ACME, StoreUnderTest, open_store

SECRET = "acme-k1"  # the public id of the key's secret


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[StoreUnderTest]:
    with open_store(tmp_path) as kept:
        kept.partner(ACME)
        kept.key(ACME, "k1")
        kept.key(ACME, "k2")
        yield kept


def last_use(kept: StoreUnderTest, key: str = "k1") -> Instant | None:
    return kept.ask(lambda tx: get_key(tx, ACME, KeyId(key))).last_use_time


async def test_a_use_is_seen_once_it_is_written(kept: StoreUnderTest) -> None:
    uses, at = LastUses(SqlSecretsInUse(kept.store)), kept.later(-5)
    assert last_use(kept) is None
    uses.used(SECRET, at)
    assert last_use(kept) is None, "nobody writes on the way of a call"
    await uses.write()
    assert last_use(kept) == at
    assert last_use(kept, "k2") is None
    (secret,) = kept.ask(lambda tx: get_key(tx, ACME, KeyId("k1"))).secrets
    assert secret.last_use_time == at


async def test_it_is_no_change_of_the_key(kept: StoreUnderTest) -> None:
    before = kept.ask(lambda tx: (tx.facts.head(), get_key(tx, ACME, KeyId("k1")).version))
    uses = LastUses(SqlSecretsInUse(kept.store))
    uses.used(SECRET, kept.clock.now())
    await uses.write()
    assert kept.ask(lambda tx: (tx.facts.head(), get_key(tx, ACME, KeyId("k1")).version)) == before


async def test_the_latest_of_all_that_tell_counts(kept: StoreUnderTest) -> None:
    """Enforcement points tell in any order, of secrets that there are and that there are not, and by clocks of their own."""
    uses, now = LastUses(SqlSecretsInUse(kept.store)), kept.clock.now()
    uses.told([(SECRET, kept.later(-10)), ("nobodys", now)], now)
    uses.told([(SECRET, kept.later(-20))], now)
    await uses.write()
    assert last_use(kept) == kept.later(-10)
    uses.told([(SECRET, kept.later(-15))], now)
    await uses.write()
    assert last_use(kept) == kept.later(-10)
    uses.told([(SECRET, kept.later(3600))], now)
    await uses.write()
    assert last_use(kept) == now, "none lies in the future"


async def test_many_are_written_in_batches_however_often_they_were_used(
    kept: StoreUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    uses, now = LastUses(SqlSecretsInUse(kept.store)), kept.clock.now()
    writes = 0
    write_aside = kept.store.write_aside

    async def counted(change):  # type: ignore[no-untyped-def]
        nonlocal writes
        writes += 1
        return await write_aside(change)

    monkeypatch.setattr(kept.store, "write_aside", counted)
    for _ in range(10):
        for number in range(1_200):
            uses.used(f"secret-{number}", now)
    await uses.write()
    await uses.write()
    assert writes == 3


async def test_what_cannot_be_written_is_written_later(kept: StoreUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    uses, now = LastUses(SqlSecretsInUse(kept.store)), kept.clock.now()
    uses.used(SECRET, now)

    async def full(_change: object) -> None:
        raise Unavailable("the disk is full") from sqlite3.OperationalError("full")

    with monkeypatch.context() as patched:
        patched.setattr(kept.store, "write_aside", full)
        await uses.write()
    assert last_use(kept) is None
    await uses.stop()
    assert last_use(kept) == now


def test_a_guard_tells_of_what_was_used_and_of_what_is_open() -> None:
    uses, second = SecretUses(), BootTime(TELL_EVERY)
    uses.used("called", Instant(1))
    uses.used("called", Instant(2))
    assert uses.due(second)
    assert uses.tell(["open"], Instant(9), second) == [Uses((("called", Instant(2)), ("open", Instant(9))))]
    assert not uses.due(BootTime(second + SECOND))
    assert uses.tell([], Instant(10), BootTime(2 * TELL_EVERY)) == [], "nothing more since"
