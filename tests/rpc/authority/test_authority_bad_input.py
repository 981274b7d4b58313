"""Bad input to the authority: each gets its status with details, and nothing is half written."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from consentry.authority.v1 import consent_pb2, directory_pb2, enforcement_pb2, keys_pb2, tokens_pb2
from consentry_core.protocol.times import to_timestamp
from consentry_core.rpc.client.channels import bearer
from consentry_rule import Instant
from support.authority import RunningAuthority, running_authority
from support.refusals import refusal_of

INVALID, PRECONDITION = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION
SPECIFIC = keys_pb2.Key.KIND_SPECIFIC_CUSTOMERS


@pytest.fixture
async def authority(tmp_path: Path) -> AsyncIterator[RunningAuthority]:
    async with running_authority(tmp_path) as running:
        await running.partner("acme")
        yield running


WRONG_NAMES = ["", "acme", "partners/", "partners/A", "partners/a/b", "partners/ab", "customers/acme", "partners/acme "]
WRONG_TIMES = [
    Timestamp(seconds=-1),
    Timestamp(seconds=253_402_300_800),
    Timestamp(nanos=-1),
    Timestamp(nanos=10**9),
]


@pytest.mark.parametrize("name", WRONG_NAMES)
async def test_names_with_wrong_syntax(authority: RunningAuthority, name: str) -> None:
    refusal = await refusal_of(
        authority.directory.GetPartner(directory_pb2.GetPartnerRequest(name=name), metadata=bearer(authority.operator))
    )
    assert (refusal.code, refusal.reason, refusal.fields) == (INVALID, "NAME_INVALID", ("name",))


@pytest.mark.parametrize("new_id", ["", "ab", "Acme", "1acme", "acme-", "a" * 41, "a/b", "ünder"])
async def test_ids_with_wrong_syntax(authority: RunningAuthority, new_id: str) -> None:
    operator = bearer(authority.operator)
    refusal = await refusal_of(
        authority.directory.CreatePartner(directory_pb2.CreatePartnerRequest(partner_id=new_id), metadata=operator)
    )
    assert (refusal.code, refusal.fields) == (INVALID, ("partner_id",))
    refusal = await refusal_of(
        authority.directory.CreateCustomer(directory_pb2.CreateCustomerRequest(customer_id=new_id), metadata=operator)
    )
    assert (refusal.code, refusal.fields) == (INVALID, ("customer_id",))


async def test_what_is_there_and_what_is_not(authority: RunningAuthority) -> None:
    operator = bearer(authority.operator)
    refusal = await refusal_of(
        authority.directory.CreatePartner(directory_pb2.CreatePartnerRequest(partner_id="acme"), metadata=operator)
    )
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.ALREADY_EXISTS, "ALREADY_EXISTS")
    refusal = await refusal_of(
        authority.directory.GetCustomer(directory_pb2.GetCustomerRequest(name="customers/nobody"), metadata=operator)
    )
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")


class TestPages:
    """Sizes and tokens."""

    async def test_sizes_above_the_maximum_are_coerced_and_below_0_refused(self, authority: RunningAuthority) -> None:
        operator = bearer(authority.operator)
        listed = await authority.directory.ListPartners(
            directory_pb2.ListPartnersRequest(page_size=2**31 - 1), metadata=operator
        )
        assert [partner.name for partner in listed.partners] == ["partners/acme"]
        refusal = await refusal_of(
            authority.directory.ListPartners(directory_pb2.ListPartnersRequest(page_size=-1), metadata=operator)
        )
        assert (refusal.code, refusal.fields) == (INVALID, ("page_size",))

    async def test_pages_follow_each_other(self, authority: RunningAuthority) -> None:
        operator = bearer(authority.operator)
        await authority.partner("other")
        names, token = [], ""
        while True:
            page = await authority.directory.ListPartners(
                directory_pb2.ListPartnersRequest(page_size=1, page_token=token), metadata=operator
            )
            names += [partner.name for partner in page.partners]
            token = page.next_page_token
            if not token:
                break
        assert names == ["partners/acme", "partners/other"]

    async def test_foreign_and_damaged_tokens_are_refused(self, authority: RunningAuthority) -> None:
        await authority.partner("rival")
        admin, rival = await authority.admin("partners/acme"), await authority.admin("partners/rival")
        for _ in range(2):
            await authority.key("acme")
        first = await authority.keys.ListKeys(
            keys_pb2.ListKeysRequest(parent="partners/acme", page_size=1), metadata=bearer(admin)
        )
        good = first.next_page_token
        for request, secret in (
            (keys_pb2.ListKeysRequest(parent="partners/rival", page_token=good), rival),
            (keys_pb2.ListKeysRequest(parent="partners/acme", page_token=good, show_invalid=True), admin),
            (keys_pb2.ListKeysRequest(parent="partners/acme", page_token=good + "A"), admin),
            (keys_pb2.ListKeysRequest(parent="partners/acme", page_token="!"), admin),
        ):
            refusal = await refusal_of(authority.keys.ListKeys(request, metadata=bearer(secret)))
            assert (refusal.code, refusal.reason, refusal.fields) == (INVALID, "PAGE_TOKEN_INVALID", ("page_token",))
        refusal = await refusal_of(
            authority.tokens.ListTokens(
                tokens_pb2.ListTokensRequest(organization="partners/acme", page_token=good), metadata=bearer(admin)
            )
        )
        assert refusal.reason == "PAGE_TOKEN_INVALID"
        rest = await authority.keys.ListKeys(
            keys_pb2.ListKeysRequest(parent="partners/acme", page_token=good), metadata=bearer(admin)
        )
        assert len(rest.keys) == 1


class TestSpecificCustomers:
    """The list of a KIND_SPECIFIC_CUSTOMERS key."""

    async def test_empty(self, authority: RunningAuthority) -> None:
        refusal = await refusal_of(authority.key("acme", SPECIFIC))
        assert (refusal.code, refusal.fields) == (INVALID, ("key.customers",))

    async def test_with_customers_that_are_not_valid(self, authority: RunningAuthority) -> None:
        await authority.partner("rival")
        await authority.valid_customer("north", "acme")
        await authority.valid_customer("foreign", "rival")
        await authority.customer("silent")
        await authority.connect("acme", "silent")
        refusal = await refusal_of(authority.key("acme", SPECIFIC, ["north", "nobody", "foreign", "silent"]))
        assert (refusal.code, refusal.reason) == (PRECONDITION, "CUSTOMERS_NOT_VALID")
        assert refusal.subjects == {
            "customers/foreign": "NOT_CONNECTED",
            "customers/nobody": "NOT_CONNECTED",
            "customers/silent": "CONSENT_MISSING",
        }
        assert await keys_of(authority) == []

    async def test_with_more_bad_ones_than_a_status_has_room_for(self, authority: RunningAuthority) -> None:
        refusal = await refusal_of(authority.key("acme", SPECIFIC, [f"nobody-{number:03}" for number in range(500)]))
        assert refusal.code == PRECONDITION
        assert len(refusal.subjects) > 20
        assert "500 of the customers" in refusal.message

    @pytest.mark.parametrize("count", [5_001, 100_001])
    async def test_with_more_than_others_can_wait_for(self, authority: RunningAuthority, count: int) -> None:
        refusal = await refusal_of(authority.key("acme", SPECIFIC, [f"nobody-{number:06}" for number in range(count)]))
        assert (refusal.code, refusal.reason, refusal.fields) == (INVALID, "TOO_MANY", ("key.customers",))

    async def test_with_names_of_wrong_syntax(self, authority: RunningAuthority) -> None:
        refusal = await refusal_of(authority.key("acme", SPECIFIC, ["north", "South"]))
        assert (refusal.code, refusal.fields) == (INVALID, ("key.customers[1]",))

    async def test_with_the_demo_customer(self, authority: RunningAuthority) -> None:
        refusal = await refusal_of(authority.key("acme", SPECIFIC, ["demo"]))
        assert (refusal.code, refusal.reason) == (INVALID, "DEMO_CUSTOMER")

    async def test_on_another_kind(self, authority: RunningAuthority) -> None:
        await authority.valid_customer("north", "acme")
        refusal = await refusal_of(authority.key("acme", keys_pb2.Key.KIND_ALL_CUSTOMERS, ["north"]))
        assert (refusal.code, refusal.fields) == (INVALID, ("key.customers",))

    async def test_with_doubles(self, authority: RunningAuthority) -> None:
        await authority.valid_customer("north", "acme")
        await authority.valid_customer("east", "acme")
        key = await authority.key("acme", SPECIFIC, ["north", "east", "north"])
        assert list(key.key.customers) == ["customers/east", "customers/north"]


async def keys_of(authority: RunningAuthority) -> list[str]:
    listed = await authority.keys.ListKeys(
        keys_pb2.ListKeysRequest(parent="partners/acme", show_invalid=True),
        metadata=bearer(await authority.admin("partners/acme")),
    )
    return [key.name for key in listed.keys]


async def test_enumerations_that_name_nothing(authority: RunningAuthority) -> None:
    await authority.valid_customer("north", "acme")
    operator = bearer(authority.operator)
    for unknown in (0, 99):
        refusal = await refusal_of(authority.key("acme", unknown))  # type: ignore[arg-type]
        assert (refusal.code, refusal.fields) == (INVALID, ("key.kind",))
        refusal = await refusal_of(authority.token(unknown))  # type: ignore[arg-type]
        assert (refusal.code, refusal.fields) == (INVALID, ("role",))
        refusal = await refusal_of(authority.subscribe("north", unknown))  # type: ignore[arg-type]
        assert (refusal.code, refusal.fields) == (INVALID, ("subscription.plan",))
        refusal = await refusal_of(authority.consent("north", "acme", data_classes=[unknown]))  # type: ignore[list-item]
        assert (refusal.code, refusal.fields) == (INVALID, ("data_classes",))
    refusal = await refusal_of(
        authority.directory.SetSubscription(directory_pb2.SetSubscriptionRequest(customer="customers/north"), metadata=operator)
    )
    assert refusal.fields == ("subscription.plan",)


async def test_ends_in_the_past(authority: RunningAuthority) -> None:
    await authority.valid_customer("north", "acme")
    ended = Instant(authority.clock.now())
    for call, field in (
        (authority.subscribe("north", expire_time=ended), "subscription.expire_time"),
        (authority.customer("south", expire_time=ended), "customer.subscription.expire_time"),
        (authority.consent("north", "acme", expire_time=ended), "expire_time"),
        (authority.key("acme", expire_time=ended), "key.expire_time"),
        (authority.token(tokens_pb2.Token.ROLE_OPERATOR, expire_time=ended), "expire_time"),
    ):
        refusal = await refusal_of(call)
        assert (refusal.code, refusal.reason, refusal.fields) == (INVALID, "TIME_NOT_IN_FUTURE", (field,))


@pytest.mark.parametrize("wrong", WRONG_TIMES, ids=str)
async def test_times_that_are_none(authority: RunningAuthority, wrong: Timestamp) -> None:
    refusal = await refusal_of(
        authority.tokens.CreateToken(
            tokens_pb2.CreateTokenRequest(role=tokens_pb2.Token.ROLE_OPERATOR, expire_time=wrong),
            metadata=bearer(authority.operator),
        )
    )
    assert (refusal.code, refusal.fields) == (INVALID, ("expire_time",))


async def test_texts_that_are_too_long(authority: RunningAuthority) -> None:
    await authority.valid_customer("north", "acme")
    refusal = await refusal_of(authority.partner("long", "x" * 201))
    assert (refusal.code, refusal.fields) == (INVALID, ("partner.display_name",))
    refusal = await refusal_of(
        authority.consents.GrantConsent(
            consent_pb2.GrantConsentRequest(customer="customers/north", partner="partners/acme", purpose="x" * 501),
            metadata=bearer(await authority.admin("customers/north")),
        )
    )
    assert (refusal.code, refusal.fields) == (INVALID, ("purpose",))


@pytest.mark.parametrize("partner", ["rival", "nobody"])
async def test_a_consent_without_a_connection(authority: RunningAuthority, partner: str) -> None:
    await authority.partner("rival")
    await authority.customer("north")
    refusal = await refusal_of(authority.consent("north", partner))
    assert (refusal.code, refusal.reason) == (PRECONDITION, "NOT_CONNECTED")
    assert refusal.subjects == {f"partners/{partner}": "NOT_CONNECTED"}


async def test_the_demo_customer_is_not_connected(authority: RunningAuthority) -> None:
    refusal = await refusal_of(authority.connect("acme", "demo"))
    assert (refusal.code, refusal.subjects) == (PRECONDITION, {"customers/demo": "DEMO_CUSTOMER"})


class TestUpdateKey:
    """Masks and etags."""

    @pytest.mark.parametrize("paths", [[], ["kind"], ["display_name", "nothing"], ["*"]])
    async def test_masks(self, authority: RunningAuthority, paths: list[str]) -> None:
        key = await authority.key("acme")
        refusal = await refusal_of(self.update(authority, keys_pb2.Key(name=key.name), paths))
        assert (refusal.code, refusal.fields) == (INVALID, ("update_mask",))

    async def test_an_etag_that_does_not_match(self, authority: RunningAuthority) -> None:
        key = (await authority.key("acme")).key
        changed = keys_pb2.Key(name=key.name, display_name="New", etag=key.etag)
        response = await self.update(authority, changed, ["display_name"])
        assert response.key.etag != key.etag
        assert response.enforcement.state == enforcement_pb2.Enforcement.STATE_ENFORCED
        refusal = await refusal_of(self.update(authority, changed, ["display_name"]))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH")

    async def update(self, authority: RunningAuthority, key: keys_pb2.Key, paths: list[str]) -> keys_pb2.UpdateKeyResponse:
        return await authority.keys.UpdateKey(
            keys_pb2.UpdateKeyRequest(key=key, update_mask=FieldMask(paths=paths)),
            metadata=bearer(await authority.admin("partners/acme")),
        )


async def test_a_key_that_is_deleted(authority: RunningAuthority) -> None:
    key = await authority.key("acme")
    admin = bearer(await authority.admin("partners/acme"))
    request = keys_pb2.DeleteKeyRequest(name=key.name)
    await authority.keys.DeleteKey(request, metadata=admin)
    refusal = await refusal_of(authority.keys.DeleteKey(request, metadata=admin))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")
    assert await keys_of(authority) == []


async def test_a_message_that_is_none(authority: RunningAuthority) -> None:
    channel: Any = authority.channel
    list_keys = channel.unary_unary("/consentry.authority.v1.KeyService/ListKeys")
    refusal = await refusal_of(list_keys(b"\xff\xff", metadata=bearer(await authority.admin("partners/acme"))))
    assert (refusal.code, refusal.reason) == (INVALID, "MESSAGE_MALFORMED")


async def test_a_message_that_is_too_large(authority: RunningAuthority) -> None:
    refusal = await refusal_of(authority.partner("large", "x" * 5_000_000))
    assert refusal.code == grpc.StatusCode.RESOURCE_EXHAUSTED
    await authority.partner("small")


async def test_every_change_says_where_in_the_history_it_stands(authority: RunningAuthority) -> None:
    await authority.valid_customer("north", "acme")
    numbers = []
    for change in (
        lambda: authority.subscribe("north", directory_pb2.Subscription.PLAN_TRIAL),
        lambda: authority.revoke("north", "acme"),
        lambda: authority.consent("north", "acme"),
        lambda: authority.unsubscribe("north"),
        lambda: authority.disconnect("acme", "north"),
    ):
        enforcement = (await change()).enforcement
        assert enforcement.state == enforcement_pb2.Enforcement.STATE_ENFORCED
        assert enforcement.commit_time == to_timestamp(authority.clock.now())
        numbers.append(int(enforcement.revision.rpartition(".")[2]))
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
