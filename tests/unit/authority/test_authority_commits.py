"""What follows from hearing of commits, and from hearing that some may have been missed."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from consentry_authority.admission.current import CurrentFacts
from consentry_authority.commands.consents.revoke_consent import revoke_consent
from consentry_authority.commands.coverage.open_watches import CoverageWatches
from consentry_authority.commands.coverage.work import CoverageWork
from consentry_authority.commands.keys.disable_key import disable_key
from consentry_authority.storage.ports import storage_on
from consentry_core.protocol.marks import MarkedKey
from consentry_core.values.errors import Unavailable
from consentry_rule import KeyId
from support.stores import ACME, AUDIT_KEYS, NORTH, StoreUnderTest, open_store

NAME = "partners/acme/keys/k1"


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[StoreUnderTest]:
    """A store with a key of acme, that covers north."""
    with open_store(tmp_path) as kept:
        kept.partner(ACME)
        kept.valid_customer(NORTH, ACME)
        kept.key(ACME, "k1")
        yield kept


async def test_what_another_process_commits_is_seen_once_it_is_heard_that_something_was_missed(kept: StoreUnderTest) -> None:
    current = CurrentFacts(kept.store, kept.storage.commits)
    another = storage_on(kept.store._database, kept.clock, AUDIT_KEYS).store
    before, head = await current.credential(NAME), await current.head()
    committed = await another.write(lambda tx: disable_key(tx, ACME, KeyId("k1")))
    assert await current.credential(NAME) is before, "nobody has told of it"
    kept.storage.commits.missed()
    now = await current.credential(NAME)
    assert isinstance(now, MarkedKey)
    assert now.disabled
    assert (head.number + 1, await current.head()) == (committed.revision.number, committed.revision)


async def test_a_watch_that_may_have_missed_something_ends_and_the_next_one_looks_anew(kept: StoreUnderTest) -> None:
    current, work = CurrentFacts(kept.store, kept.storage.commits), CoverageWork(kept.store)
    watches = CoverageWatches(kept.storage.commits, current, work, kept.clock)
    key = await current.credential(NAME)
    assert isinstance(key, MarkedKey)
    async with watches.watching(NAME, key) as (watched, bell):
        assert len(watched.view) == 1
        await storage_on(kept.store._database, kept.clock, AUDIT_KEYS).store.write(lambda tx: revoke_consent(tx, NORTH, ACME))
        kept.storage.commits.missed()
        await asyncio.wait_for(bell.wait(None), 10)
        assert isinstance(watched.failed, Unavailable)
    async with watches.watching(NAME, key) as (watched, _):
        assert len(watched.view) == 0
