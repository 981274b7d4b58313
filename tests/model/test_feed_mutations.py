"""The model of the feed can fail: each way of getting it wrong is found within a bounded number of runs."""

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from consentry_devices.feed import cursor, reader, returning
from consentry_devices.feed.coverage import Added
from consentry_devices.feed.cursor import Cursor, Known, Place
from consentry_devices.feed.folding import Folding
from consentry_devices.log import group, memory, ring
from consentry_devices.log.entries import Entry
from consentry_rule import Instant
from model.feed_ledger import Wrong
from model.feed_world import FeedWorld
from model.test_feed_model import HIGHEST, Happening, happenings, lose, publish, run, take
from support.devices import RuleCall


def _one_ahead(place: Place, seq: int, take_time: Instant) -> Place:
    return replace(place, seq=seq + 1, telemetry=seq + 1, take_time=take_time)


def _one_behind(place: Place, seq: int, take_time: Instant) -> Place:
    return replace(place, seq=max(seq - 1, 0), telemetry=max(seq - 1, 0), take_time=take_time)


def _forgets_pending(folding: Folding, seq: int, take_time: Instant) -> None:
    folding._place = Place.at(seq, take_time)


def _skips_the_first(batch: ring.Batch, seq: int) -> Sequence[Entry]:
    rest = batch.entries[seq - batch.after :]
    return rest[1:] if len(rest) > 2 else rest


def _older_than_it_says(snapshot: Any) -> Callable[..., Any]:
    async def told(self: Any, *arguments: Any) -> int:
        return max(int(await snapshot(self, *arguments)) - 1, 0)

    return told


def _newer_than_it_says(snapshot: Any) -> Callable[..., Any]:
    async def told(self: Any, *arguments: Any) -> int:
        return int(await snapshot(self, *arguments)) + 1

    return told


def _trusts_any_history(begin: Any) -> Callable[..., None]:
    def trusting(self: Any, *arguments: Any) -> None:
        begin(self, *arguments)
        self._trusted = self._same_history = True

    return trusting


def _names_nobody(begin: Any) -> Callable[..., None]:
    def nameless(self: Any, *arguments: Any, **more: Any) -> None:
        begin(self, *arguments, **more)
        object.__setattr__(self, "named", None)
        object.__setattr__(self, "listless", True)

    return nameless


def _breaks_with_the_key(is_continuous: Any) -> Callable[..., bool]:
    return lambda self, standing: self._same_key and is_continuous(self, standing)


@dataclass(frozen=True)
class Mutation:
    """`what` of `where` is done in another way, made of how it is done.

    It shows in what happens by chance, or, where that takes long, in a script.
    """

    name: str
    where: Any
    what: str
    how: Callable[[Any], Any]
    script: Sequence[Happening] = ()
    within: int = 150


# A reader of the newest readings is told of an alarm while a reading from before it is pending, and ends.
_ENDS_WHILE_PENDING = ((take, 45), (publish, 3), (publish, 3), (publish, 84), (take, 15), (lose, 3))


MUTATIONS = (
    Mutation("a cursor one entry ahead", Place, "moved_to", lambda _: _one_ahead),
    Mutation("a cursor one entry behind", Place, "moved_to", lambda _: _one_behind),
    Mutation("a cursor beyond readings that are pending", Folding, "moved_to", lambda _: _forgets_pending, _ENDS_WHILE_PENDING),
    Mutation("an entry left out of a batch", ring.Batch, "rest", lambda _: _skips_the_first),
    Mutation("a snapshot said to be older than it is", memory.MemorySnapshots, "snapshot", _older_than_it_says),
    Mutation("a snapshot said to be newer than it is", memory.MemorySnapshots, "snapshot", _newer_than_it_says),
    Mutation("what retention removed is not said", reader.Reader, "missing", lambda _: lambda *_: iter(())),
    Mutation("the run that wrote an entry is not looked at", cursor.Cursors, "_run_of", lambda _: lambda *_: bytes(8)),
    Mutation("a frame that comes again is taken for new", group, "check_number", lambda _: lambda *_: True),
    Mutation("a former run may go on to write", memory, "_assert_run", lambda _: lambda *_: None),
    Mutation("who has left is not told", returning.Away, "_was_covered", lambda _: lambda *_: False),
    Mutation("changes half told count as told", Cursor, "telling", lambda _: lambda cursor, _key: cursor, within=1_500),
    Mutation(
        "of what was closed meanwhile no gap is told", returning.Away, "open_once", lambda _: lambda *_: frozenset(), within=400
    ),
    Mutation("of who enters again no gap is told", returning.Away, "was_open_once", lambda _: lambda *_: False),
    Mutation(
        "who has entered since is not in the cursor", Cursor, "entering", lambda _: lambda cursor, *_: cursor, within=1_000
    ),
    Mutation("a cursor names nobody, and the key is not asked for", Known, "__init__", _names_nobody),
    Mutation("with another key nobody stays", returning.Away, "_is_continuous", _breaks_with_the_key),
    Mutation("coverage is told as it was decided", reader.Reader, "denied", lambda _: lambda *_: set()),
    Mutation("that a customer enters is no data", Added, "accesses", lambda _: property(lambda _: frozenset())),
    Mutation(
        "an end that nobody was told of counts as told", RuleCall, "ends_told", lambda _: lambda call: call.now(), within=1_000
    ),
    Mutation("another history of the authority is trusted", returning.Away, "__init__", _trusts_any_history),
)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_the_model_finds(
    mutation: Mutation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    monkeypatch.setattr(mutation.where, mutation.what, mutation.how(getattr(mutation.where, mutation.what)))
    for seed in range(mutation.within):
        drawn = random.Random(seed)  # noqa: S311 - the same runs every time
        by_chance = happenings([drawn.randint(0, HIGHEST) for _ in range(40)])
        try:
            asyncio.run(run(FeedWorld(tmp_path), mutation.script or by_chance))
        except (Wrong, AssertionError):
            return
    pytest.fail(f"not found within {mutation.within} runs")


@pytest.mark.parametrize("script", [mutation.script for mutation in MUTATIONS if mutation.script])
def test_nothing_is_lost_in_the_script(script: Sequence[Happening], tmp_path: Path) -> None:
    asyncio.run(run(FeedWorld(tmp_path), script))
