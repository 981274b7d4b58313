"""What a guard refuses stands in the authority's audit log: who, what, from where, under which request id, and who says so."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest

from consentry.authority.v1 import keys_pb2, tokens_pb2
from consentry.authority.v1.enforcement_pb2 import LeftOut, RefusedCall, ReportAccessesRequest
from consentry.devices.v1 import inventory_pb2
from consentry_authority.audit.chain import Entry, EntryKind
from consentry_authority.settings import AuthoritySettings
from consentry_authority.setup.audit_log import entries, problems
from consentry_core.protocol.times import to_timestamp
from consentry_core.rpc.client.channels import bearer
from consentry_core.values.clock import SECOND
from consentry_rule import Instant
from support.authority import IssuedKey, RunningAuthority, running_authority
from support.clocks import START, FakeClock
from support.pair import Pair, running_pair
from support.refusals import refusal_of

LIST_DEVICES = "/consentry.devices.v1.InventoryService/ListDevices"
KEY, WATCH = "partners/acme/keys/k1", "/consentry.devices.v1.FeedService/Watch"


def log(folder: Path, *kinds: EntryKind) -> list[Entry]:
    """The entries of these kinds; the whole log fits together."""
    settings = AuthoritySettings(data_dir=folder)
    assert problems(settings, [])[1] == []
    return [sealed.entry for sealed in entries(settings, after=0) if sealed.entry.kind in kinds]


async def key_of(pair: Pair, **terms: Any) -> IssuedKey:
    await pair.authority.partner("acme")
    request = keys_pb2.CreateKeyRequest(parent="partners/acme", key=keys_pb2.Key(kind=keys_pb2.Key.KIND_DEMO, **terms))
    created = await pair.authority.keys.CreateKey(request, metadata=bearer(await pair.authority.admin("partners/acme")))
    return IssuedKey(created.key.name, created.secret, created.key)


async def list_devices(pair: Pair, secret: str, *metadata: tuple[str, str]) -> None:
    request = inventory_pb2.ListDevicesRequest(parent="customers/demo")
    await pair.inventory.ListDevices(request, metadata=(*bearer(secret), *metadata))


async def test_a_key_that_is_used_from_where_it_may_not_be_shows(tmp_path: Path) -> None:
    """The guard has let it in before, so nobody asks the authority."""
    async with running_pair(tmp_path, of_devices={"trusted_proxies": "127.0.0.1"}) as pair:
        key = await key_of(pair, allowed_networks=["192.0.2.0/24"])
        await list_devices(pair, key.secret, ("x-forwarded-for", "192.0.2.7"))
        elsewhere = (("x-forwarded-for", "203.0.113.66"), ("x-request-id", "request-17"))
        answer = await refusal_of(list_devices(pair, key.secret, *elsewhere))
        assert answer.reason == "NETWORK_NOT_ALLOWED"
        tokens = await pair.authority.tokens.ListTokens(
            tokens_pb2.ListTokensRequest(), metadata=bearer(pair.authority.operator)
        )
        (service,) = (token.name for token in tokens.tokens if token.role == tokens_pb2.Token.ROLE_SERVICE)
    (entry,) = log(tmp_path / "authority", EntryKind.REFUSAL)
    assert (entry.actor, entry.organization, entry.outcome) == (key.name, "partners/acme", "NETWORK_NOT_ALLOWED")
    assert (entry.method, entry.request_id) == (LIST_DEVICES, "request-17")
    assert entry.peer.startswith("ipv4:203.0.113.66 via ipv4:127.0.0.1:")
    assert json.loads(entry.document) == {"told_by": service}


async def test_every_kind_of_refusal_of_a_caller_that_is_known_shows(tmp_path: Path) -> None:
    async with running_pair(tmp_path) as pair:
        key = await key_of(pair, quota=keys_pb2.Key.Quota(calls_per_minute=1))
        await list_devices(pair, key.secret)
        assert (await refusal_of(list_devices(pair, key.secret))).code is grpc.StatusCode.RESOURCE_EXHAUSTED
        await refusal_of(list_devices(pair, pair.authority.gateway))
        disable = keys_pb2.DisableKeyRequest(name=key.name)
        await pair.authority.keys.DisableKey(disable, metadata=bearer(await pair.authority.admin("partners/acme")))
        await refusal_of(list_devices(pair, key.secret))
        await refusal_of(list_devices(pair, "ck_all_forged"))
    outcomes = [(entry.outcome, entry.organization) for entry in log(tmp_path / "authority", EntryKind.REFUSAL)]
    assert outcomes == [
        ("CALLS_PER_MINUTE_EXCEEDED", "partners/acme"),
        ("CALLER_NOT_ALLOWED", "customers/demo"),
        ("KEY_DISABLED", "partners/acme"),
    ]


async def test_a_flood_of_refusals_leaves_a_few_entries_and_a_count(tmp_path: Path) -> None:
    async with running_pair(tmp_path) as pair:
        key = await key_of(pair, allowed_networks=["192.0.2.0/24"])
        await refusal_of(list_devices(pair, key.secret))
        await asyncio.gather(*(refusal_of(list_devices(pair, key.secret)) for _ in range(299)))
    told = log(tmp_path / "authority", EntryKind.REFUSAL, EntryKind.LEFT_OUT)
    written = [entry for entry in told if entry.kind == EntryKind.REFUSAL]
    left_out = [json.loads(entry.document)["left_out"] for entry in told if entry.kind == EntryKind.LEFT_OUT]
    counted = sum(each["refusal: NETWORK_NOT_ALLOWED"] for each in left_out)
    assert len(written) <= 20, "twice ten, when a minute passes meanwhile"
    assert len(written) + counted == 300


# A service that says what it likes


def call(number: int, **fields: Any) -> RefusedCall:
    said = {"caller": KEY, "method": WATCH, "reason": "KEY_DISABLED", "request_id": str(number), **fields}
    return RefusedCall(**{"refuse_time": to_timestamp(START), **said})


async def tell(
    authority: RunningAuthority, number: int, calls: Sequence[RefusedCall], secret: str = "", left_out: Sequence[LeftOut] = ()
) -> None:
    request = ReportAccessesRequest(
        incarnation="incarnation-0123456789", service="test", number=number, start_time=to_timestamp(START),
        end_time=to_timestamp(START), refused_calls=calls, left_out=left_out,
    )  # fmt: skip
    await authority.enforcement.ReportAccesses(request, metadata=bearer(secret or authority.service))


async def test_what_a_service_makes_up_is_bounded_and_said_once(tmp_path: Path) -> None:
    clock = FakeClock()
    async with running_authority(tmp_path, clock=clock) as authority:
        many = [call(number, caller=f"partners/acme/keys/k{number}") for number in range(1_000)]
        for report in (1, 2, 2, 2):
            await tell(authority, report, many, left_out=[LeftOut(reason="KEY_EXPIRED", count=7)])
        clock.advance(61)
        await tell(authority, 3, [])
    written = log(tmp_path, EntryKind.REFUSAL)
    assert len(written) == 200
    counted = [json.loads(entry.document)["left_out"] for entry in log(tmp_path, EntryKind.LEFT_OUT)]
    assert counted == [
        {"refusal: KEY_DISABLED": 800, "refusal: KEY_EXPIRED": 7},
        {"refusal: KEY_DISABLED": 1_000, "refusal: KEY_EXPIRED": 7},
    ]


async def test_a_limited_service_tells_of_its_partners_callers_only(tmp_path: Path) -> None:
    async with running_authority(tmp_path) as authority:
        await authority.partner("acme")
        await authority.customer("north")
        new = tokens_pb2.CreateTokenRequest(role=tokens_pb2.Token.ROLE_SERVICE, audience="other", partners=["partners/acme"])
        secret = (await authority.tokens.CreateToken(new, metadata=bearer(authority.operator))).secret
        of_acme = await authority.token(tokens_pb2.Token.ROLE_PARTNER_ADMIN, "partners/acme")
        of_north = await authority.token(tokens_pb2.Token.ROLE_CUSTOMER_ADMIN, "customers/north")
        answer = await refusal_of(tell(authority, 1, [call(1, caller="partners/rival/keys/k1")], secret))
        assert answer.reason == "KEY_OUT_OF_REACH"
        await tell(authority, 1, [call(1), call(2, caller=of_north.token.name), call(3, caller=of_acme.token.name)], secret)
    written = [entry.actor for entry in log(tmp_path, EntryKind.REFUSAL) if entry.method == WATCH]
    assert written == [KEY, of_acme.token.name]


async def test_nothing_was_refused_in_times_to_come(tmp_path: Path) -> None:
    async with running_authority(tmp_path, clock=FakeClock()) as authority:
        await tell(authority, 1, [call(1, refuse_time=to_timestamp(Instant(START + 3_600 * SECOND)))])
    (entry,) = log(tmp_path, EntryKind.REFUSAL)
    assert entry.time == START


@pytest.mark.parametrize(
    "fields",
    [
        {"caller": "customers/north"}, {"method": "Watch"}, {"method": "/a.B/C\n"}, {"reason": "no reason"}, {"reason": ""},
        {"peer": "x" * 201}, {"request_id": "x" * 201}, {"refuse_time": None},
    ],
    ids=str,
)  # fmt: skip
async def test_what_no_guard_tells_is_refused(tmp_path: Path, fields: dict[str, Any]) -> None:
    async with running_authority(tmp_path) as authority:
        answer = await refusal_of(tell(authority, 1, [call(1, **fields)]))
    (field,) = fields
    assert (answer.code, answer.fields) == (grpc.StatusCode.INVALID_ARGUMENT, (f"refused_calls[0].{field}",))


async def test_too_many_at_once_and_counts_of_nothing_are_refused(tmp_path: Path) -> None:
    async with running_authority(tmp_path) as authority:
        assert (await refusal_of(tell(authority, 1, [call(1)] * 1_001))).fields == ("refused_calls",)
        for left_out, field in (
            ([LeftOut(reason="OTHERS", count=0)], "left_out[0].count"),
            ([LeftOut(reason="", count=1)], "left_out[0].reason"),
            ([LeftOut(reason="OTHERS", count=1)] * 101, "left_out"),
        ):
            assert (await refusal_of(tell(authority, 1, [], left_out=left_out))).fields == (field,)
