"""Metrics, and the HTTP that shows them, asked as Prometheus and probes ask."""

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from http.client import BadStatusLine, HTTPConnection

import pytest
from prometheus_client.parser import text_string_to_metric_families

from consentry_core.observing.admin import Admin, Readiness
from consentry_core.observing.metrics import Metrics
from consentry_core.process.settings import SettingError

READY = Readiness()


@asynccontextmanager
async def served(metrics: Metrics, readiness: Readiness = READY) -> AsyncIterator[str]:
    admin = Admin("127.0.0.1:0", lambda: readiness, metrics.exposition)
    try:
        yield admin.address
    finally:
        await admin.stop()


def get(address: str, path: str, method: str = "GET") -> tuple[int, str]:
    connection = HTTPConnection(address, timeout=10)
    connection.request(method, path)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_what_happened_is_shown_to_prometheus() -> None:
    metrics = Metrics()
    metrics.call_ended("/consentry.v1.Some/Method", "OK", 0.003)
    metrics.call_ended("/consentry.v1.Some/Method", "OK", 0.3)
    metrics.call_ended("/consentry.v1.Some/Method", "UNAVAILABLE", 0.3)
    metrics.refused("LEASE_LOST")
    owed: dict[tuple[str, ...], float] = {("devices",): 2.0}
    metrics.looked_at("consentry_owed", "Owed.", lambda: owed, ["service"])
    async with served(metrics) as address:
        status, text = await asyncio.to_thread(get, address, "/metrics")
    assert status == 200
    found = samples(text)
    ok = (("rpc_method", "consentry.v1.Some/Method"), ("rpc_response_status_code", "OK"), ("rpc_system_name", "grpc"))
    assert found["rpc_server_call_duration_seconds_count", ok] == 2
    assert found["rpc_server_call_duration_seconds_sum", ok] == pytest.approx(0.303)
    assert found["rpc_server_call_duration_seconds_bucket", (("le", "0.005"), *ok)] == 1
    assert found["consentry_refusals_total", (("reason", "LEASE_LOST"),)] == 1
    assert found["consentry_owed", (("service", "devices"),)] == 2


async def test_a_service_says_in_words_what_keeps_it_from_its_work() -> None:
    metrics = Metrics()
    async with served(metrics) as address:
        assert await asyncio.to_thread(get, address, "/livez") == (200, "alive\n")
        assert await asyncio.to_thread(get, address, "/readyz") == (200, "ready\n")
        assert await asyncio.to_thread(get, address, "/readyz", "HEAD") == (200, "")
        assert await asyncio.to_thread(get, address, "/elsewhere") == (404, "there are /livez, /readyz, /metrics\n")
    async with served(metrics, Readiness(("no lease", "the disk is full"))) as address:
        assert await asyncio.to_thread(get, address, "/livez") == (200, "alive\n")
        words = "not ready: no lease\nnot ready: the disk is full\n"
        assert await asyncio.to_thread(get, address, "/readyz") == (503, words)


def test_a_loop_that_stands_still_is_not_alive() -> None:
    begun, go_on = threading.Event(), threading.Event()
    addresses: list[str] = []

    async def serve() -> None:
        async with served(Metrics()) as address:
            addresses.append(address)
            begun.set()
            go_on.wait()  # the loop stands still

    serving = threading.Thread(target=asyncio.run, args=(serve(),))
    serving.start()
    try:
        assert begun.wait(10)
        assert get(addresses[0], "/livez") == (503, "the event loop does not answer\n")
    finally:
        go_on.set()
        serving.join()


@contextmanager
def silent(address: str, number: int) -> Iterator[None]:
    host, _, port = address.rpartition(":")
    connections = [socket.create_connection((host, int(port))) for _ in range(number)]
    try:
        yield
    finally:
        for each in connections:
            each.close()


async def test_silent_clients_take_a_bounded_number_of_threads() -> None:
    async with served(Metrics()) as address:
        with silent(address, 40):  # they come in this order, and whoever asks after them
            with pytest.raises((ConnectionError, BadStatusLine)):
                await asyncio.to_thread(get, address, "/livez")
            assert sum("process_request" in thread.name for thread in threading.enumerate()) <= 16
        for _ in range(1000):  # their places are free again once they have gone
            try:
                assert await asyncio.to_thread(get, address, "/livez") == (200, "alive\n")
                break
            except OSError:
                continue
        else:
            pytest.fail("nobody is answered any more")


async def test_an_address_that_cannot_be_had_is_told() -> None:
    async with served(Metrics()) as address:
        with pytest.raises(SettingError, match="choose another"):
            Admin(address, Readiness, Metrics().exposition)
    with pytest.raises(SettingError):
        Admin("nonsense", Readiness, Metrics().exposition)


async def test_the_event_loops_delay_is_seen() -> None:
    metrics = Metrics()
    watching = asyncio.create_task(metrics.watch_loop())
    await asyncio.sleep(0)
    time.sleep(0.4)  # noqa: ASYNC251 - what is to be seen
    for _ in range(1_000_000):
        await asyncio.sleep(0)
        if samples(metrics.exposition().decode())["consentry_event_loop_delay_seconds_count", ()]:
            break
    watching.cancel()
    assert samples(metrics.exposition().decode())["consentry_event_loop_delay_seconds_sum", ()] > 0.2
