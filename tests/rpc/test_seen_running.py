"""The pair as those who run it see it: probes in words, and what Prometheus is told, of what really happened."""

import asyncio
from collections.abc import AsyncIterator
from http.client import HTTPConnection
from pathlib import Path

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families

from consentry.devices.v1 import telemetry_pb2
from consentry_authority.admission.policies import POLICIES as AUTHORITY
from consentry_core.callers.policy import PUBLIC_METHODS
from consentry_core.rpc.client.channels import bearer
from consentry_core.values.reasons import ErrorReason
from consentry_devices.rpc.policies import POLICIES as DEVICES
from consentry_rule.rule import Reason
from support.pair import Pair, running_pair

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


async def get(address: str, path: str) -> tuple[int, str]:
    def ask() -> tuple[int, str]:
        connection = HTTPConnection(address, timeout=20)
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()

    return await asyncio.to_thread(ask)


async def samples(address: str) -> Samples:
    status, text = await get(address, "/metrics")
    assert status == 200
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def calls(found: Samples, method: str, status: str) -> float:
    labels = (("rpc_method", method), ("rpc_response_status_code", status), ("rpc_system_name", "grpc"))
    return found.get(("rpc_server_call_duration_seconds_count", labels), 0.0)


class Seen:
    """A pair with both of its addresses for operators."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.authority, self.devices = pair.authority.authority.admin_address, pair.devices.admin_address


@pytest.fixture
async def seen(tmp_path: Path) -> AsyncIterator[Seen]:
    anywhere = {"admin_listen": "127.0.0.1:0"}
    async with running_pair(tmp_path, of_authority=anywhere, of_devices=anywhere) as pair:
        yield Seen(pair)


async def refused(pair: Pair, customer: str, secret: str) -> None:
    """Ask for what is not given."""
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await pair.telemetry.QueryLatest(
            telemetry_pb2.QueryLatestRequest(parent=f"customers/{customer}"), metadata=bearer(secret)
        )
    assert error.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_calls_and_refusals_are_counted_where_they_happen(seen: Seen) -> None:
    authority = seen.pair.authority
    await authority.partner("acme")
    await authority.valid_customer("north", "acme")
    key = await authority.key("acme")
    north = await seen.pair.gateway("north")
    await north.publish(load=[41.5])
    before = await samples(seen.authority)
    async with seen.pair.watch(key.secret) as reader:
        await reader.until("synced")
        await authority.revoke("north", "acme")
        await reader.until("customer_removed")
    await refused(seen.pair, "north", key.secret)
    after, devices = await samples(seen.authority), await samples(seen.devices)
    revoke = "consentry.authority.v1.ConsentService/RevokeConsent"
    assert calls(after, revoke, "OK") - calls(before, revoke, "OK") == 1
    assert calls(devices, "consentry.devices.v1.TelemetryService/QueryLatest", "PERMISSION_DENIED") == 1
    assert devices["consentry_refusals_total", (("reason", "CONSENT_REVOKED"),)] >= 1
    assert devices["process_open_fds", ()] > 0
    assert (after["consentry_points_connected", ()], after["consentry_barriers_open", ()]) == (1, 0)
    assert devices["consentry_log_entries", ()] > 0


async def test_no_label_names_anybody_and_the_number_of_series_is_bounded(seen: Seen) -> None:
    authority = seen.pair.authority
    for partner in ("acme", "rival", "third"):
        await authority.partner(partner)
        key = await authority.key(partner)
        await refused(seen.pair, "nobody", key.secret)
    methods = {path[1:] for path in {*AUTHORITY, *DEVICES, *PUBLIC_METHODS}}
    reasons = {reason.name for reason in ErrorReason} | {reason.value for reason in Reason}
    for address in (seen.authority, seen.devices):
        for name, labels in await samples(address):
            for label, value in labels:
                assert label in {"rpc_method", "rpc_response_status_code", "rpc_system_name", "reason", "le", "generation",
                                 "implementation", "major", "minor", "patchlevel", "version"}, (name, label)  # fmt: skip
                assert label != "rpc_method" or value in methods
                assert label != "reason" or value in reasons


async def test_readiness_says_in_words_what_is_missing(seen: Seen, tmp_path: Path) -> None:
    assert await get(seen.devices, "/livez") == (200, "alive\n")
    assert await get(seen.authority, "/readyz") == (200, "ready\n")
    while (await get(seen.devices, "/readyz"))[0] != 200:
        pass
    await seen.pair.authority.authority.stop()
    while (told := await get(seen.devices, "/readyz"))[0] == 200:
        pass
    assert told == (503, "not ready: it has no lease from the authority\n")
    assert await get(seen.devices, "/livez") == (200, "alive\n")
