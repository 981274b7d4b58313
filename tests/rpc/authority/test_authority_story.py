"""The authority end to end: from registering the organisations to a revocation."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from consentry.authority.v1 import consent_pb2, coverage_pb2, enforcement_pb2, keys_pb2, tokens_pb2
from consentry_core.rpc.client.channels import bearer
from support.authority import RunningAuthority, running_authority


@pytest.fixture
async def authority(tmp_path: Path) -> AsyncIterator[RunningAuthority]:
    async with running_authority(tmp_path) as running:
        yield running


async def covered(authority: RunningAuthority, secret: str) -> list[str]:
    response = await authority.coverage.ListCoveredCustomers(
        coverage_pb2.ListCoveredCustomersRequest(), metadata=bearer(secret)
    )
    return [customer.name for customer in response.customers]


async def test_a_key_covers_the_valid_customers_and_drops_one_that_revokes(authority: RunningAuthority) -> None:
    await authority.partner("acme")
    await authority.valid_customer("north", "acme")
    await authority.valid_customer("south", "acme")
    await authority.customer("east")
    await authority.connect("acme", "east")
    everybody = await authority.key("acme")
    some = await authority.key("acme", keys_pb2.Key.KIND_SPECIFIC_CUSTOMERS, ["north"])
    demo = await authority.key("acme", keys_pb2.Key.KIND_DEMO)

    assert await covered(authority, everybody.secret) == ["customers/north", "customers/south"]
    assert await covered(authority, some.secret) == ["customers/north"]
    assert await covered(authority, demo.secret) == ["customers/demo"]

    revoked = await authority.revoke("north", "acme")
    assert revoked.consent.state == consent_pb2.Consent.STATE_REVOKED
    assert revoked.enforcement.state == enforcement_pb2.Enforcement.STATE_ENFORCED
    assert await covered(authority, everybody.secret) == ["customers/south"]
    assert await covered(authority, some.secret) == []

    again = await authority.revoke("north", "acme")
    assert again == revoked


async def test_everybody_can_ask_who_they_are(authority: RunningAuthority) -> None:
    await authority.partner("acme")
    key = await authority.key("acme")
    admin = await authority.admin("partners/acme")
    ask = tokens_pb2.WhoAmIRequest()

    assert (await authority.tokens.WhoAmI(ask, metadata=bearer(key.secret))).name == key.name
    assert (await authority.tokens.WhoAmI(ask, metadata=bearer(admin))).role == tokens_pb2.Token.ROLE_PARTNER_ADMIN
    gateway = await authority.tokens.WhoAmI(ask, metadata=bearer(authority.gateway))
    assert (gateway.role, gateway.organization) == (tokens_pb2.Token.ROLE_GATEWAY, "customers/demo")
