"""Both clients behind proxies whose upstream breaks, on connections that pass nothing more, and in processes that fork."""

import asyncio
import os
import re
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import grpc
import pytest

from consentry.authority.v1 import coverage_pb2
from consentry.devices.v1 import feed_pb2, telemetry_pb2
from consentry_client import (
    AsyncClient,
    CallFailed,
    Client,
    CoverageSynced,
    DeadlineExceeded,
    Heartbeat,
    PermissionDenied,
    Unauthenticated,
    Unavailable,
    UnexpectedFailure,
    resuming,
)
from consentry_client.errors import forked
from consentry_client.forking import _ANEW
from consentry_core.pacing.silence import LOOKS, Silence
from support.broken_upstream import CANCEL, HANG, INTERNAL_ERROR, REFUSED_STREAM, Page, Reset, broken_upstream
from support.cli import consentry
from support.scripted import HANG as STAY
from support.scripted import ScriptedCoverage, ScriptedFeed, ScriptedTelemetry, serving
from support.tcp_proxy import TcpProxy

W = feed_pb2.WatchResponse
C = coverage_pb2.WatchCoverageResponse
BLOCK = telemetry_pb2.TelemetryBlock(sensors=["load"], sensor_indexes=[0], times_unix_nano=[5], values=[1.5])
TABLE = telemetry_pb2.DeviceTelemetry(device="customers/north/devices/ups", reading_count=1, block=BLOCK)
HISTORY = telemetry_pb2.QueryHistoryResponse(telemetry=[TABLE])
Ask = Callable[[Any], Any]


def heartbeat(cursor: str) -> feed_pb2.WatchResponse:
    return W(cursor=cursor, heartbeat=W.Heartbeat())


class OverSync:
    """Through the client without an event loop."""

    async def take(
        self, address: str, ask: Ask, most: int = 100, took: Callable[[], object] = int, **options: Any
    ) -> tuple[list[Any], Exception | None]:
        return await asyncio.wait_for(asyncio.to_thread(self._take, address, ask, most, took, options), 20)

    @staticmethod
    def _take(
        address: str, ask: Ask, most: int, took: Callable[[], object], options: Any
    ) -> tuple[list[Any], Exception | None]:
        taken: list[Any] = []
        with Client(authority=address, devices=address, secret="s", random=lambda: 0.0, **options) as client:
            try:
                answer = ask(client)
                if not isinstance(answer, Iterator):
                    return [answer], None
                for event in answer:
                    taken.append(event)
                    took()
                    if len(taken) == most:
                        break
            except CallFailed as failure:
                return taken, failure
        return taken, None


class OverAsync:
    """Through the client for asyncio."""

    async def take(
        self, address: str, ask: Ask, most: int = 100, took: Callable[[], object] = int, **options: Any
    ) -> tuple[list[Any], Exception | None]:
        taken: list[Any] = []
        async with (
            asyncio.timeout(20),
            AsyncClient(authority=address, devices=address, secret="s", random=lambda: 0.0, **options) as client,
        ):
            try:
                answer = ask(client)
                if not hasattr(answer, "__aiter__"):
                    return [await answer], None
                async for event in answer:
                    taken.append(event)
                    took()
                    if len(taken) == most:
                        break
            except CallFailed as failure:
                return taken, failure
        return taken, None


@pytest.fixture(params=[OverSync, OverAsync], ids=["sync", "aio"])
def over(request: pytest.FixtureRequest) -> Any:
    return request.param()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes back does so at once."""
    monkeypatch.setattr(resuming, "_LONGEST_WAIT", 0.01)


@pytest.fixture
def impatient(quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Heartbeats are missed after a tenth of the time."""
    monkeypatch.setattr(resuming, "_MISSED", 3 / 10)


ENDS = [
    [Reset(INTERNAL_ERROR)],
    [Reset(CANCEL)],
    [Reset(REFUSED_STREAM)],
    *([Page(status)] for status in (400, 429, 500, 502, 503, 504)),
]


@pytest.mark.parametrize("end", ENDS, ids=str)
async def test_a_watch_goes_on_after_its_last_cursor(over: Any, quick: None, end: Sequence[Any]) -> None:
    begun = end if isinstance(end[0], Page) else [heartbeat("c2"), *end]
    async with broken_upstream([heartbeat("c1"), Reset(INTERNAL_ERROR)], begun, end, [heartbeat("c9"), HANG]) as upstream:
        taken, failure = await over.take(
            upstream.address, lambda client: client.watch(), 2 if begun is end else 3, upstream.took
        )
    assert failure is None
    assert taken[0] == Heartbeat("c1", 0)
    assert taken[-1] == Heartbeat("c9", 0)
    assert upstream.asked == 4


@pytest.mark.parametrize("end", ENDS, ids=str)
async def test_a_watch_of_coverage_goes_on_too(over: Any, quick: None, end: Sequence[Any]) -> None:
    async with broken_upstream(end, [C(revision="e.1", synced=C.Synced()), HANG]) as upstream:
        assert await over.take(upstream.address, lambda client: client.watch_coverage(), 1) == ([CoverageSynced("e.1")], None)


@pytest.mark.parametrize("end", ENDS, ids=str)
async def test_a_question_is_asked_again(over: Any, quick: None, end: Sequence[Any]) -> None:
    async with broken_upstream(end, end) as upstream:
        _, failure = await over.take(upstream.address, lambda client: client.alarm("customers/north/alarms/a"))
    assert upstream.asked == 3
    assert "given up after 3 attempts" in str(failure)


@pytest.mark.parametrize("end", ENDS, ids=str)
async def test_a_question_about_the_past_is_asked_again_while_nothing_came(over: Any, quick: None, end: Sequence[Any]) -> None:
    def ask(client: Any) -> Any:
        return client.history("customers/north", 1)

    async with broken_upstream(end, [HISTORY, HISTORY, Reset(INTERNAL_ERROR)]) as upstream:
        taken, failure = await over.take(upstream.address, ask, took=upstream.took)
    assert (len(taken), upstream.asked) == (2, 2)
    assert isinstance(failure, Unavailable)
    assert failure.reason == "ANSWER_CUT_OFF"
    assert "leave what came of it aside, and ask again" in failure.message


async def test_a_way_that_stays_broken_is_given_up_with_words(over: Any, quick: None) -> None:
    async with broken_upstream([heartbeat("c1"), Reset(INTERNAL_ERROR)]) as upstream:
        taken, failure = await over.take(upstream.address, lambda client: client.watch(), took=upstream.took)
    assert len(taken) == 1
    assert isinstance(failure, UnexpectedFailure)
    assert "given up after 10 such ends without progress" in failure.message
    assert isinstance(failure.__cause__, grpc.RpcError)


@pytest.mark.parametrize(("page", "kind"), [(401, Unauthenticated), (403, PermissionDenied), (404, UnexpectedFailure)])
async def test_a_proxy_s_refusal_is_no_broken_way(over: Any, quick: None, page: int, kind: type[CallFailed]) -> None:
    async with broken_upstream([Page(page)], [Page(page)]) as upstream:
        for ask in (lambda client: client.watch(), lambda client: client.latest("customers/north")):
            _, failure = await over.take(upstream.address, ask)
            assert isinstance(failure, kind)
    assert upstream.asked == 2


async def test_a_command_says_that_a_proxy_may_have_lost_the_service() -> None:
    async with broken_upstream() as upstream:
        command = ("whoami", "--authority", upstream.address)
        result = await asyncio.to_thread(consentry, *command, env={"CONSENTRY_TOKEN": "ct_secret"})
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"the authority itself did not say so: a proxy on the way, at {upstream.address}, may have lost it" in result.stderr


# Connections that pass nothing more


@asynccontextmanager
async def proxied(address: str) -> AsyncIterator[TcpProxy]:
    proxy = TcpProxy(address)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.close()


@pytest.mark.alone
@pytest.mark.parametrize("of", ["feed", "coverage"])
async def test_a_silent_stream_is_left_for_another_connection(over: Any, impatient: None, of: str) -> None:
    feed = ScriptedFeed([heartbeat("c1"), STAY], [heartbeat("c2"), STAY])
    coverage = ScriptedCoverage([C(revision="c1", synced=C.Synced()), STAY], [C(revision="c2", synced=C.Synced()), STAY])
    script = feed if of == "feed" else coverage

    def ask(client: Any) -> Any:
        watch = client.watch if of == "feed" else client.watch_coverage
        return watch(heartbeat_interval=timedelta(seconds=3))

    with serving(feed=feed, coverage=coverage) as address:
        async with proxied(address) as proxy:
            watching = asyncio.create_task(over.take(proxy.address, ask, 2))
            await asyncio.to_thread(script.hanging.wait, 10)
            proxy.swallow()
            taken, failure = await watching
            assert failure is None
            assert len(taken) == 2
            assert proxy.accepted == 2
    positions = [request.after_cursor if of == "feed" else request.after_revision for request in script.requests]
    assert positions == ["", "c1"]


async def test_a_silent_answer_is_given_up(over: Any) -> None:
    telemetry = ScriptedTelemetry([HISTORY, STAY])
    with serving(telemetry=telemetry) as address:
        taken, failure = await over.take(address, lambda client: client.history("customers/north", 1), timeout=0.3)
    assert len(taken) == 1
    assert isinstance(failure, DeadlineExceeded)
    assert (failure.reason, "ask again" in failure.message) == ("STREAM_SILENT", True)


async def test_who_does_not_read_is_not_taken_for_a_silence(impatient: None, looked: "Looked") -> None:
    """The loop goes on, and so do the looks, while the caller deals with an event."""
    feed = ScriptedFeed([heartbeat("c1"), heartbeat("c2"), STAY])
    with serving(feed=feed) as address:
        async with AsyncClient(devices=address, secret="s") as client:
            cursors = []
            async for event in client.watch(heartbeat_interval=timedelta(seconds=1)):
                cursors.append(event.cursor)
                if len(cursors) == 2:
                    break
                await asyncio.to_thread(looked.often)
    assert (cursors, len(feed.requests)) == (["c1", "c2"], 1)


async def test_nor_is_who_reads_in_a_thread_of_its_own(impatient: None, looked: "Looked") -> None:
    feed = ScriptedFeed([heartbeat("c1"), heartbeat("c2"), STAY])
    with serving(feed=feed) as address, Client(devices=address, secret="s") as client:
        watch = client.watch(heartbeat_interval=timedelta(seconds=1))
        cursors = [next(watch).cursor]
        await asyncio.to_thread(looked.often)
        cursors.append(next(watch).cursor)
    assert (cursors, len(feed.requests)) == (["c1", "c2"], 1)


class Looked:
    """Counts looks."""

    def __init__(self) -> None:
        self._looks = threading.Semaphore(0)

    def look(self) -> None:
        """One more."""
        self._looks.release()

    def often(self) -> None:
        """Wait for more looks than a silence takes."""
        for _ in range(3 * LOOKS):
            assert self._looks.acquire(timeout=10)


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> Looked:
    looked, look = Looked(), Silence.look

    def counted(silence: Silence) -> bool:
        looked.look()
        return look(silence)

    monkeypatch.setattr(Silence, "look", counted)
    return looked


async def test_closing_a_client_leaves_no_thread_behind(impatient: None) -> None:
    feed = ScriptedFeed([heartbeat("c1"), STAY])
    with serving(feed=feed) as address, Client(devices=address, secret="s") as client:
        watch: Any = client.watch()
        next(watch)
        (thread,) = (thread for thread in threading.enumerate() if thread.name == "consentry-silence")
        watch.close()
        thread.join(10)
        assert not thread.is_alive()


# A process that forks


PROGRAM = """
import asyncio, os, signal, sys
from consentry_client import AsyncClient, Client

def told(failure):
    print(type(failure).__name__, failure.reason, failure.message, flush=True)

def over_sync(address):
    client = Client(authority=address, devices=address, secret="s")
    watch = client.watch()
    next(watch)
    if os.fork():
        return os.wait()
    signal.alarm(20)
    for ask in (lambda: next(watch), lambda: client.latest("customers/north"), lambda: next(client.watch())):
        try:
            ask()
        except Exception as failure:
            told(failure)
    watch.close()
    client.close()
    try:
        with Client(authority=address, devices=address, secret="s") as another:
            print(next(another.watch()).cursor, flush=True)
    except Exception as failure:
        told(failure)
    os._exit(0)

async def over_aio(address):
    client = AsyncClient(authority=address, devices=address, secret="s")
    watch = client.watch()
    await anext(watch)
    if os.fork():
        return os.wait()
    signal.alarm(20)
    for ask in (lambda: anext(watch), lambda: client.latest("customers/north"), lambda: anext(client.watch())):
        try:
            await ask()
        except Exception as failure:
            told(failure)
    await watch.aclose()
    await client.close()
    try:
        AsyncClient(authority=address, devices=address, secret="s")
    except Exception as failure:
        told(failure)
    os._exit(0)

_, status = over_sync(sys.argv[2]) if sys.argv[1] == "sync" else asyncio.run(over_aio(sys.argv[2]))
print("child", os.waitstatus_to_exitcode(status), flush=True)
os._exit(0)
"""


CRASH = re.compile(rf"child ({-signal.SIGSEGV}|{-signal.SIGABRT})\n$")


@pytest.mark.parametrize("fork_support", ["0", "1"])
@pytest.mark.parametrize("way", ["sync", "aio"])
async def test_a_forked_process_is_told_and_does_not_hang(way: str, fork_support: str) -> None:
    feed = ScriptedFeed([heartbeat("c1"), STAY], [heartbeat("c2"), STAY])
    with serving(feed=feed) as address:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PROGRAM, way, address,
            env=os.environ | {"GRPC_ENABLE_FORK_SUPPORT": fork_support},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        output, errors = await asyncio.wait_for(process.communicate(), 30)
    if way == "aio" and fork_support == "1" and (crash := CRASH.search(output.decode())):
        # The README warns of it: gRPC's own threads do that, also to a child that does nothing. Until then it was told.
        refusal = f"Cancelled PROCESS_FORKED {forked(_ANEW).message}\n"
        assert (4 * refusal).startswith(output.decode()[: crash.start()])
        return
    lines = output.decode().splitlines()
    assert lines[-1] == "child 0", errors.decode()
    refusals = [line for line in lines if line.startswith("Cancelled PROCESS_FORKED this process was forked")]
    assert all("fork before the first client is opened" in line for line in refusals)
    assert all(("GRPC_ENABLE_FORK_SUPPORT=1" in line) == (way == "sync") for line in refusals)
    can_open_another = way == "sync" and fork_support == "1"
    assert (len(refusals), lines[len(refusals) : -1]) == ((3, ["c2"]) if can_open_another else (4, []))
