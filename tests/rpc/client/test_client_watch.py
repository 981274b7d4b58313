"""Both clients come back after the last event, and end with what ended them; against services that do as they are told."""

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import pytest

from consentry.authority.v1 import coverage_pb2
from consentry.devices.v1 import feed_pb2, gap_pb2
from consentry_client import (
    AsyncClient,
    CallFailed,
    Cancelled,
    Client,
    CoverageSynced,
    Covered,
    CustomerRemoved,
    Gap,
    Heartbeat,
    OutOfRange,
    PermissionDenied,
    Synced,
    Unauthenticated,
    Unavailable,
    Uncovered,
    UnexpectedFailure,
    resuming,
)
from consentry_core.rpc.client.channels import open_channel, open_sync_channel
from consentry_core.values import errors
from support.scripted import HANG, ScriptedCoverage, ScriptedFeed, serving

W = feed_pb2.WatchResponse
SECRET = "ck_all_secret"


class Taken:
    """What a watch gave, and what ended it."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.failure: Exception | None = None

    @property
    def cursors(self) -> list[str]:
        """Of the events."""
        return [event.cursor for event in self.events]


class OverSync:
    """A watch through the synchronous client."""

    async def watch(self, address: str, most: int = 100, **question: Any) -> Taken:
        return await self._take(lambda client: client.watch(**question), address, most)

    async def coverage(self, address: str, most: int = 100) -> Taken:
        return await self._take(lambda client: client.watch_coverage(), address, most)

    async def _take(self, open_watch: Any, address: str, most: int) -> Taken:
        def take() -> Taken:
            taken = Taken()
            with Client(authority=address, devices=address, secret=SECRET, random=lambda: 0.0) as client:
                try:
                    for event in open_watch(client):
                        taken.events.append(event)
                        if len(taken.events) == most:
                            break
                except Exception as failure:  # noqa: BLE001 - the test looks at it
                    taken.failure = failure
            return taken

        return await asyncio.wait_for(asyncio.to_thread(take), 10)


class OverAsync:
    """A watch through the asyncio client."""

    async def watch(self, address: str, most: int = 100, **question: Any) -> Taken:
        return await self._take(lambda client: client.watch(**question), address, most)

    async def coverage(self, address: str, most: int = 100) -> Taken:
        return await self._take(lambda client: client.watch_coverage(), address, most)

    async def _take(self, open_watch: Any, address: str, most: int) -> Taken:
        taken = Taken()
        async with (
            asyncio.timeout(10),
            AsyncClient(authority=address, devices=address, secret=SECRET, random=lambda: 0.0) as client,
        ):
            try:
                async for event in open_watch(client):
                    taken.events.append(event)
                    if len(taken.events) == most:
                        break
            except Exception as failure:  # noqa: BLE001 - the test looks at it
                taken.failure = failure
        return taken


@pytest.fixture(params=[OverSync, OverAsync], ids=["sync", "aio"])
def over(request: pytest.FixtureRequest) -> Any:
    return request.param()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes back does so at once."""
    monkeypatch.setattr(resuming, "_LONGEST_WAIT", 0.01)


def heartbeat(cursor: str) -> feed_pb2.WatchResponse:
    return W(cursor=cursor, heartbeat=W.Heartbeat())


def synced(cursor: str) -> feed_pb2.WatchResponse:
    return W(cursor=cursor, synced=W.Synced())


async def test_events_come_as_they_are_sent_with_the_secret_in_the_metadata(over: Any) -> None:
    removed = W.CustomerRemoved(customer="customers/south", reason="CONSENT_REVOKED")
    gap = gap_pb2.Gap(customer="customers/south", cause=gap_pb2.Gap.CAUSE_NOT_COVERED)
    feed = ScriptedFeed([synced("c1"), W(cursor="c2", customer_removed=removed), W(cursor="c3", gap=gap), HANG])
    with serving(feed=feed) as address:
        taken = await over.watch(address, most=3)
    assert taken.events == [
        Synced("c1"),
        CustomerRemoved("c2", "customers/south", "CONSENT_REVOKED"),
        Gap("c3", "customers/south", "NOT_COVERED"),
    ]
    assert feed.secrets == [f"Bearer {SECRET}"]


async def test_a_stream_that_was_cut_is_opened_again_after_the_last_cursor(over: Any) -> None:
    feed = ScriptedFeed(
        [synced("c1"), heartbeat("c2"), errors.Unavailable("lease lost", retry_after=0.01)],
        [heartbeat("c3"), errors.Unavailable("draining", retry_after=0.01)],
        [heartbeat("c4"), HANG],
    )
    with serving(feed=feed) as address:
        taken = await over.watch(address, most=4, customers=["customers/north"])
    assert taken.cursors == ["c1", "c2", "c3", "c4"]
    assert [request.after_cursor for request in feed.requests] == ["", "c2", "c3"]
    assert all(request.customers == ["customers/north"] for request in feed.requests)


async def test_a_stream_that_ends_well_without_being_asked_to_is_opened_again(over: Any) -> None:
    feed = ScriptedFeed([heartbeat("c1")], [heartbeat("c2"), HANG])
    with serving(feed=feed) as address:
        taken = await over.watch(address, most=2)
    assert taken.cursors == ["c1", "c2"]


async def test_retry_info_is_honoured(over: Any) -> None:
    feed = ScriptedFeed([errors.ResourceExhausted("too many streams", retry_after=0.4)], [heartbeat("c1"), HANG])
    begun = asyncio.get_running_loop().time()
    with serving(feed=feed) as address:
        taken = await over.watch(address, most=1)
    assert taken.cursors == ["c1"]
    assert asyncio.get_running_loop().time() - begun >= 0.4


async def test_a_service_that_comes_back_on_its_port_is_found_again(over: Any) -> None:
    feed = ScriptedFeed([synced("c1"), HANG])
    with serving(feed=feed) as address:
        watching = asyncio.create_task(over.watch(address, most=2))
        await asyncio.to_thread(feed.hanging.wait, 10)
    with _serving_again(address) as again:
        taken = await watching
    assert taken.cursors == ["c1", "c2"]
    assert again.requests[0].after_cursor == "c1"


@contextlib.contextmanager
def _serving_again(address: str) -> Iterator[ScriptedFeed]:
    feed = ScriptedFeed([heartbeat("c2"), HANG])
    with serving(feed=feed, port=int(address.rpartition(":")[2])):
        yield feed


async def test_a_pull_ends_when_it_is_synced(over: Any) -> None:
    feed = ScriptedFeed([heartbeat("c1"), errors.Unavailable("gone", retry_after=0.01)], [heartbeat("c2"), synced("c3")])
    with serving(feed=feed) as address:
        taken = await over.watch(address, stop_when_synced=True)
    assert taken.cursors == ["c1", "c2", "c3"]
    assert taken.failure is None
    assert all(request.stop_when_synced for request in feed.requests)


@pytest.mark.parametrize(
    ("refusal", "kind"),
    [
        (errors.PermissionDenied("revoked", reason="CONSENT_REVOKED", metadata={"customer": "customers/n"}), PermissionDenied),
        (errors.Unauthenticated("the credential is not valid"), Unauthenticated),
        (errors.OutOfRange("another store"), OutOfRange),
    ],
    ids=["denied", "unauthenticated", "out-of-range"],
)
async def test_a_refusal_ends_the_watch_with_its_reason(
    over: Any, refusal: errors.ConsentryError, kind: type[CallFailed]
) -> None:
    feed = ScriptedFeed([heartbeat("c1"), refusal])
    with serving(feed=feed) as address:
        taken = await over.watch(address)
    assert taken.cursors == ["c1"]
    failure = taken.failure
    assert isinstance(failure, kind)
    assert (failure.reason, failure.message, dict(failure.metadata)) == (
        refusal.reason,
        refusal.message,
        dict(refusal.metadata),
    )


async def test_a_defect_ends_the_watch_after_some_attempts(over: Any, quick: None) -> None:
    with serving() as address:  # its script is empty, so it fails
        taken = await over.watch(address)
    assert isinstance(taken.failure, UnexpectedFailure)
    assert "given up after 10 such ends without progress" in taken.failure.message


async def test_patience_has_an_end(over: Any) -> None:
    with serving() as address:
        pass
    taken = await over.watch(address, patience=0.15)
    assert isinstance(taken.failure, Unavailable)


async def test_coverage_is_watched_on_after_the_last_revision(over: Any) -> None:
    r = coverage_pb2.WatchCoverageResponse
    coverage = ScriptedCoverage(
        [
            r(revision="", covered=r.Covered(customer="customers/north")),
            r(revision="e.1", synced=r.Synced()),
            errors.Unavailable("gone", retry_after=0.01),
        ],
        [r(revision="e.2", uncovered=r.Uncovered(customer="customers/north", reason="CONSENT_REVOKED")), HANG],
    )
    with serving(coverage=coverage) as address:
        taken = await over.coverage(address, most=3)
    assert taken.events == [
        Covered("", "customers/north", frozenset()),
        CoverageSynced("e.1"),
        Uncovered("e.2", "customers/north", "CONSENT_REVOKED"),
    ]
    assert [request.after_revision for request in coverage.requests] == ["", "e.1"]


# What is left open


async def test_leaving_a_watch_hangs_up(over: Any) -> None:
    feed = ScriptedFeed([heartbeat("c1"), HANG])
    with serving(feed=feed) as address:
        await over.watch(address, most=1)
        assert await asyncio.to_thread(feed.left.wait, 10)


async def test_an_abandoned_aio_watch_hangs_up_while_the_client_goes_on() -> None:
    feed = ScriptedFeed([heartbeat("c1"), HANG])
    with serving(feed=feed) as address:
        async with AsyncClient(devices=address, secret=SECRET) as client:
            watch: AsyncIterator[Any] | None = client.watch()
            assert watch is not None
            assert await anext(watch) == Heartbeat("c1", 0)
            watch = None
            gc.collect()
            assert await asyncio.to_thread(feed.left.wait, 10)


async def test_an_abandoned_sync_watch_hangs_up_while_the_client_goes_on() -> None:
    feed = ScriptedFeed([heartbeat("c1"), HANG])
    with serving(feed=feed) as address, Client(devices=address, secret=SECRET) as client:
        watch: Iterator[Any] | None = client.watch()
        assert watch is not None
        next(watch)
        watch = None
        gc.collect()
        assert await asyncio.to_thread(feed.left.wait, 10)


async def test_cancelling_the_task_hangs_up() -> None:
    feed = ScriptedFeed([HANG])
    with serving(feed=feed) as address:
        async with AsyncClient(devices=address, secret=SECRET) as client:
            task = asyncio.ensure_future(anext(client.watch()))
            await asyncio.to_thread(feed.hanging.wait, 10)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await asyncio.to_thread(feed.left.wait, 10)


async def test_closing_the_aio_client_ends_its_watches() -> None:
    feed = ScriptedFeed([HANG])
    with serving(feed=feed) as address:
        client = AsyncClient(devices=address, secret=SECRET)
        task = asyncio.ensure_future(anext(client.watch()))
        await asyncio.to_thread(feed.hanging.wait, 10)
        await client.close()
        with pytest.raises(Cancelled, match="closed"):
            await task


async def test_closing_the_aio_client_ends_a_watch_that_waits_to_come_back() -> None:
    feed = ScriptedFeed([errors.Unavailable("gone", retry_after=300)])
    with serving(feed=feed) as address:
        client = AsyncClient(devices=address, secret=SECRET)
        task = asyncio.ensure_future(anext(client.watch()))
        await asyncio.to_thread(feed.asked.wait, 10)
        await client.close()
        with pytest.raises(Cancelled):
            await asyncio.wait_for(task, 10)


async def test_closing_the_sync_client_ends_a_watch_in_another_thread() -> None:
    feed = ScriptedFeed([HANG])
    with serving(feed=feed) as address:
        client = Client(devices=address, secret=SECRET)
        task = asyncio.ensure_future(asyncio.to_thread(lambda: next(client.watch())))
        await asyncio.to_thread(feed.hanging.wait, 10)
        client.close()
        with pytest.raises(Cancelled):
            await asyncio.wait_for(task, 10)


async def test_a_closed_client_says_so() -> None:
    client = Client(devices="127.0.0.1:1", secret=SECRET)
    client.close()
    with pytest.raises(Cancelled, match="closed"):
        client.latest("customers/north")
    async_client = AsyncClient(devices="127.0.0.1:1", secret=SECRET)
    await async_client.close()
    with pytest.raises(Cancelled, match="closed"):
        await async_client.latest("customers/north")


async def test_a_channel_that_was_handed_in_stays_open() -> None:
    feed = ScriptedFeed([heartbeat("c1"), HANG], [heartbeat("c1"), HANG], [heartbeat("c1"), HANG], [heartbeat("c1"), HANG])
    with serving(feed=feed) as address:
        with open_sync_channel(address) as channel:
            for _ in range(2):
                with Client(devices=channel, secret=SECRET) as client:
                    assert next(client.watch()) == Heartbeat("c1", 0)
        async with open_channel(address) as aio_channel:
            for _ in range(2):
                async with AsyncClient(devices=aio_channel, secret=SECRET) as async_client:
                    assert await anext(async_client.watch()) == Heartbeat("c1", 0)


def test_what_was_not_configured_is_named() -> None:
    with Client(secret=SECRET) as client, pytest.raises(ValueError, match="devices="):
        client.watch()
    with Client(secret=SECRET) as client, pytest.raises(ValueError, match="authority="):
        client.watch_coverage()


def test_the_secret_is_in_no_repr() -> None:
    client = Client(secret=SECRET, devices="127.0.0.1:1")
    try:
        assert SECRET not in repr(client)
        with pytest.raises(Unavailable) as caught:
            client.latest("customers/north")
        assert SECRET not in repr(caught.value)
        assert isinstance(caught.value.__cause__, grpc.RpcError)
        assert SECRET not in repr(caught.value.__cause__)
    finally:
        client.close()


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize("secret", ["", " \n", "ck_ü", "ck_\0", "ck_a\nck_b", "\ufeffck_a"])
async def test_what_cannot_be_a_secret_is_refused_and_not_shown(kind: type[Client] | type[AsyncClient], secret: str) -> None:
    with pytest.raises(ValueError, match="no secret of a key or token") as caught:
        kind(devices="127.0.0.1:1", secret=secret)
    assert "ck_" not in str(caught.value)


def test_an_aio_client_is_opened_within_its_loop() -> None:
    with pytest.raises(RuntimeError, match="within the event loop that uses it"):
        AsyncClient(devices="127.0.0.1:1", secret=SECRET)
