"""Three looks before each message of a `Watch`, each with a situation in which it alone stands.

One is the promise's: the guard's check, in the step that hands a message over. The other two let a stream narrow where it would
have to end or would say nothing; with either of them gone, nothing is told that is denied.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pytest

from consentry_core.callers.identity import Identity
from consentry_core.protocol.follow import Credential, Facts, Lease, Revision
from consentry_core.protocol.marks import MarkedKey, MarkedStanding
from consentry_core.rpc.server.open_call import OpenCall
from consentry_core.values.clock import SECOND
from consentry_core.values.errors import Unavailable
from consentry_devices.feed.reader import Reader
from consentry_guard.calls.call import Call
from consentry_guard.calls.changes import Changes
from consentry_rule import ALL_DATA_CLASSES, Consent, CustomerId, Instant, KeyKind, Secret, Subscription
from support.device_frames import NORTH, NOW
from support.devices import ACME
from support.followers import Follower
from support.watched_feed import LIVE, WatchedFeed, Watching, watched_feed

KEY, PARTNER = "partners/acme/keys/k1", "partners/acme"


class Guarded:
    """A stream behind a real guard's call, and what the authority says to that guard."""

    def __init__(self, feed: WatchedFeed) -> None:
        self.feed = feed
        self._number = 1
        now, wall = feed.clock.boot(), feed.clock.wall()
        key = MarkedKey(KeyKind.ALL_CUSTOMERS, ACME, secrets=(Secret("s"),))
        follower = self._follower = Follower("incarnation", "devices")
        follower.want([KEY, PARTNER])
        follower.connected(now, wall)
        for said in (
            Facts(self._revision),
            Facts(self._revision, 1, credentials=(Credential(KEY, key),), standings=(self._standing(),)),
            Lease(now, self._revision, 5 * SECOND, feed.clock.now()),
        ):
            follower.received(said, now, wall)
        open_call = OpenCall("/watch", cast("Any", None))
        self.call = Call(open_call, Identity(KEY, "s"), follower, _known, feed.clock)
        self.watching = feed.watch(guarded=self.call, live=LIVE)

    @property
    def _revision(self) -> Revision:
        return Revision("e", self._number)

    def _standing(self, **fields: Any) -> MarkedStanding:
        consent = Consent(Instant(0), expire_time=Instant(self.feed.clock.now() + 2 * SECOND), data_classes=ALL_DATA_CLASSES)
        standing = MarkedStanding(
            ACME, NORTH, connected=True, subscription=Subscription(), consent=consent, opened_number=self._number
        )
        return replace(standing, **fields)

    def tell(self, **fields: Any) -> None:
        """The authority says how north stands now."""
        self._number += 1
        self._follower.received(Facts(self._revision, standings=(self._standing(**fields),)))
        for changes in self.call.changes:
            changes.add(NORTH)


def _known(_call: Call, _names: object) -> None:
    """All of it is followed."""


async def _started(feed: WatchedFeed) -> Guarded:
    guarded = Guarded(feed)
    await guarded.watching.until("synced")
    return guarded


async def the_lease_runs_out(feed: WatchedFeed) -> None:
    """And no timer has run."""
    guarded = await _started(feed)
    guarded.tell(consent=Consent(Instant(0), data_classes=ALL_DATA_CLASSES), opened_number=1)
    feed.clock.advance(6)
    await feed.publish(NORTH, 1.0)
    with pytest.raises(Unavailable) as refused:
        await guarded.watching.until("telemetry")
    assert refused.value.reason == "LEASE_LOST"


async def an_end_comes(feed: WatchedFeed) -> None:
    """And no timer has run: the stream narrows, and does not end."""
    guarded = await _started(feed)
    feed.clock.advance(3)
    await feed.publish(NORTH, 1.0)
    assert (await guarded.watching.next()).customer_removed.reason == "CONSENT_EXPIRED"


async def withdrawn_and_granted_again(feed: WatchedFeed) -> None:
    """Between two messages: all that is handed over is allowed, and what came before is not."""
    guarded = await _started(feed)
    await feed.publish(NORTH, 1.0)
    await guarded.watching.until("telemetry")
    guarded.tell(consent=None, closed_number=2)
    guarded.tell(closed_number=2)
    await feed.publish(NORTH, 2.0, start=NOW + SECOND)
    await guarded.watching.until("gap")
    assert guarded.watching.events()[-3:] == ["customer_removed", "customer_added", "gap"]


@dataclass(frozen=True)
class Look:
    """`what` of `where` looks; without it, it is as if it had found nothing. It alone stands in the situation."""

    where: Any
    what: str
    nothing: Callable[..., object]
    situation: Callable[[WatchedFeed], Awaitable[None]]


def _takes_nothing(changes: Changes) -> frozenset[CustomerId]:
    changes._changed.clear()
    return frozenset()


LOOKS = {
    "the promise's: the check of each write": Look(Call, "check", lambda _: None, the_lease_runs_out),
    "what is denied by now": Look(Reader, "denied", lambda *_: set(), an_end_comes),
    "what has changed": Look(Changes, "take", _takes_nothing, withdrawn_and_granted_again),
}


@pytest.fixture
async def feed(tmp_path: Path) -> AsyncIterator[WatchedFeed]:
    async with watched_feed(tmp_path) as opened:
        yield opened


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
async def test_each_look_stands_alone_somewhere(feed: WatchedFeed, look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    await look.situation(feed)
    monkeypatch.setattr(look.where, look.what, look.nothing)
    with pytest.raises((AssertionError, Unavailable, TimeoutError, pytest.fail.Exception)):
        await asyncio.wait_for(look.situation(feed), 1)


@pytest.mark.parametrize("gone", [name for name, look in LOOKS.items() if look.where is not Call])
async def test_without_the_others_the_check_lets_nothing_pass_that_is_denied(
    feed: WatchedFeed, gone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And without it, and them, everything."""
    guarded = await _started(feed)
    monkeypatch.setattr(LOOKS[gone].where, LOOKS[gone].what, LOOKS[gone].nothing)
    guarded.tell(consent=None)
    await feed.publish(NORTH, 1.0)
    told = await _told(guarded.watching)
    assert "telemetry" not in told
    for look in LOOKS.values():
        monkeypatch.setattr(look.where, look.what, look.nothing)
    guarded = await _started(feed)
    guarded.tell(consent=None)
    await feed.publish(NORTH, 2.0, start=NOW + SECOND)
    assert "telemetry" in await _told(guarded.watching)


async def _told(watching: Watching) -> list[str | None]:
    """What comes of a stream before it ends or waits."""
    before = len(watching.received)
    try:
        for _ in range(10):
            await asyncio.wait_for(watching.next(), 0.2)
    except (Unavailable, TimeoutError):
        pass
    return watching.events()[before:]
