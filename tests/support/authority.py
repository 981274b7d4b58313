"""A real authority for tests, on a free port, with cheap Argon2 and a clock that the test moves.

    async with running_authority(tmp_path) as authority:
        await authority.partner("acme")
        await authority.customer("north")                      # with a paid subscription
        await authority.connect("acme", "north")
        await authority.consent("north", "acme")               # or all of these at once: valid_customer("north", "acme")
        key = await authority.key("acme")                      # .name, .secret
        await authority.coverage.ListCoveredCustomers(pb.ListCoveredCustomersRequest(), metadata=bearer(key.secret))

`authority.operator`, `.service` and `.gateway` are the secrets that the first start made;
`await authority.admin("partners/acme")` issues an administrator's secret (once an organisation, then remembered). Ids are given
as ids; everything else is as in the protos.
"""

import contextlib
import functools
import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from consentry.authority.v1 import (
    consent_pb2,
    consent_pb2_grpc,
    coverage_pb2_grpc,
    data_class_pb2,
    directory_pb2,
    directory_pb2_grpc,
    enforcement_pb2_grpc,
    keys_pb2,
    keys_pb2_grpc,
    tokens_pb2,
    tokens_pb2_grpc,
)
from consentry_authority.app import Authority, AuthoritySettings, initialize, start
from consentry_core.process.tls import ClientTls
from consentry_core.protocol.times import optional_timestamp
from consentry_core.rpc.client.channels import bearer, open_channel
from consentry_core.values.clock import Clock
from consentry_rule import Instant
from support.clocks import FakeClock

PLAN_PAID = directory_pb2.Subscription.PLAN_PAID


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A key that a test holds."""

    name: str
    secret: str
    key: keys_pb2.Key


class AuthorityCalls:
    """The stubs of an authority, wherever it runs, and the short ways to what tests need. `folder` is its data folder."""

    def __init__(self, folder: Path, channel: grpc.aio.Channel) -> None:
        self.folder = folder
        self.operator = read_token(folder, "operator")
        self.service = read_token(folder, "devices")
        self.gateway = read_token(folder, "demo-gateway")
        self.directory = directory_pb2_grpc.DirectoryServiceStub(channel)
        self.tokens = tokens_pb2_grpc.TokenServiceStub(channel)
        self.consents = consent_pb2_grpc.ConsentServiceStub(channel)
        self.keys = keys_pb2_grpc.KeyServiceStub(channel)
        self.coverage = coverage_pb2_grpc.CoverageServiceStub(channel)
        self.enforcement = enforcement_pb2_grpc.EnforcementServiceStub(channel)
        self.channel = channel
        self._admins: dict[str, str] = {}

    async def partner(self, partner: str, display_name: str = "") -> None:
        """Register a partner."""
        await self.directory.CreatePartner(
            directory_pb2.CreatePartnerRequest(
                partner_id=partner, partner=directory_pb2.Partner(display_name=display_name or partner.title())
            ),
            metadata=bearer(self.operator),
        )

    async def customer(
        self,
        customer: str,
        plan: directory_pb2.Subscription.Plan.ValueType | None = PLAN_PAID,
        expire_time: Instant | None = None,
    ) -> None:
        """Register a customer with a subscription; `plan` None leaves the subscription out."""
        subscription = None
        if plan is not None:
            subscription = directory_pb2.Subscription(plan=plan, expire_time=optional_timestamp(expire_time))
        await self.directory.CreateCustomer(
            directory_pb2.CreateCustomerRequest(
                customer_id=customer,
                customer=directory_pb2.Customer(display_name=customer.title(), subscription=subscription),
            ),
            metadata=bearer(self.operator),
        )

    async def subscribe(
        self,
        customer: str,
        plan: directory_pb2.Subscription.Plan.ValueType = PLAN_PAID,
        expire_time: Instant | None = None,
    ) -> directory_pb2.SetSubscriptionResponse:
        """Set a customer's subscription."""
        return await self.directory.SetSubscription(
            directory_pb2.SetSubscriptionRequest(
                customer=f"customers/{customer}",
                subscription=directory_pb2.Subscription(plan=plan, expire_time=optional_timestamp(expire_time)),
            ),
            metadata=bearer(self.operator),
        )

    async def unsubscribe(self, customer: str) -> directory_pb2.CancelSubscriptionResponse:
        """Cancel a customer's subscription."""
        return await self.directory.CancelSubscription(
            directory_pb2.CancelSubscriptionRequest(customer=f"customers/{customer}"), metadata=bearer(self.operator)
        )

    async def connect(self, partner: str, customer: str) -> directory_pb2.Connection:
        """Connect the two."""
        response = await self.directory.ConnectCustomer(
            directory_pb2.ConnectCustomerRequest(partner=f"partners/{partner}", customer=f"customers/{customer}"),
            metadata=bearer(self.operator),
        )
        return response.connection

    async def disconnect(self, partner: str, customer: str) -> directory_pb2.DisconnectCustomerResponse:
        """Disconnect the two."""
        return await self.directory.DisconnectCustomer(
            directory_pb2.DisconnectCustomerRequest(partner=f"partners/{partner}", customer=f"customers/{customer}"),
            metadata=bearer(self.operator),
        )

    async def token(
        self,
        role: tokens_pb2.Token.Role.ValueType,
        organization: str = "",
        *,
        expire_time: Instant | None = None,
        by: str | None = None,
    ) -> tokens_pb2.CreateTokenResponse:
        """Issue a token, by the operator unless another secret is given."""
        return await self.tokens.CreateToken(
            tokens_pb2.CreateTokenRequest(role=role, organization=organization, expire_time=optional_timestamp(expire_time)),
            metadata=bearer(by or self.operator),
        )

    async def admin(self, organization: str) -> str:
        """The secret of an administrator of `partners/...` or `customers/...`."""
        if organization not in self._admins:
            token = tokens_pb2.Token
            role = token.ROLE_PARTNER_ADMIN if organization.startswith("partners/") else token.ROLE_CUSTOMER_ADMIN
            self._admins[organization] = (await self.token(role, organization)).secret
        return self._admins[organization]

    async def consent(
        self,
        customer: str,
        partner: str,
        *,
        data_classes: Sequence[data_class_pb2.DataClass.ValueType] = (),
        expire_time: Instant | None = None,
        data_start_time: Instant | None = None,
    ) -> consent_pb2.GrantConsentResponse:
        """Grant consent, by the customer's administrator."""
        return await self.consents.GrantConsent(
            consent_pb2.GrantConsentRequest(
                customer=f"customers/{customer}",
                partner=f"partners/{partner}",
                data_classes=data_classes,
                expire_time=optional_timestamp(expire_time),
                data_start_time=optional_timestamp(data_start_time),
            ),
            metadata=bearer(await self.admin(f"customers/{customer}")),
        )

    async def revoke(self, customer: str, partner: str) -> consent_pb2.RevokeConsentResponse:
        """Revoke consent, by the customer's administrator."""
        return await self.consents.RevokeConsent(
            consent_pb2.RevokeConsentRequest(customer=f"customers/{customer}", partner=f"partners/{partner}"),
            metadata=bearer(await self.admin(f"customers/{customer}")),
        )

    async def valid_customer(
        self,
        customer: str,
        partner: str,
        *,
        data_classes: Sequence[data_class_pb2.DataClass.ValueType] = (),
        expire_time: Instant | None = None,
        data_start_time: Instant | None = None,
    ) -> None:
        """Register a customer that is valid for a partner that is there: subscribed, connected, consenting."""
        await self.customer(customer)
        await self.connect(partner, customer)
        await self.consent(
            customer, partner, data_classes=data_classes, expire_time=expire_time, data_start_time=data_start_time
        )

    async def key(
        self,
        partner: str,
        kind: keys_pb2.Key.Kind.ValueType = keys_pb2.Key.KIND_ALL_CUSTOMERS,
        customers: Sequence[str] = (),
        *,
        expire_time: Instant | None = None,
        display_name: str = "",
    ) -> IssuedKey:
        """Issue a key, by the partner's administrator. `customers` are ids."""
        response = await self.keys.CreateKey(
            keys_pb2.CreateKeyRequest(
                parent=f"partners/{partner}",
                key=keys_pb2.Key(
                    kind=kind,
                    display_name=display_name,
                    customers=[f"customers/{customer}" for customer in customers],
                    expire_time=optional_timestamp(expire_time),
                ),
            ),
            metadata=bearer(await self.admin(f"partners/{partner}")),
        )
        return IssuedKey(response.key.name, response.secret, response.key)


class RunningAuthority(AuthorityCalls):
    """An authority that runs in the test's own process."""

    def __init__(self, authority: Authority, folder: Path, clock: Clock, channel: grpc.aio.Channel) -> None:
        super().__init__(folder, channel)
        self.authority = authority
        self.address = authority.address
        self.store = authority.store
        self.clock = clock


@contextlib.asynccontextmanager
async def running_authority(
    folder: Path, *, clock: Clock | None = None, tls: ClientTls | None = None, **settings: Any
) -> AsyncIterator[RunningAuthority]:
    """An authority on a data folder, initialised if it is not. The clock is a FakeClock unless another is given.

    `tls` is for who calls it; its own certificates are among the settings.
    """
    clock = clock or FakeClock()
    prepare(folder)
    authority = await start(settings_of(folder, **settings), clock=clock)
    try:
        async with open_channel(authority.address, tls) as channel:
            yield RunningAuthority(authority, folder, clock, channel)
    finally:
        await authority.stop()


def prepare(folder: Path) -> None:
    """Initialise a data folder, if it is not."""
    if not (folder / "authority.db").exists():
        shutil.copytree(_initialized(), folder, dirs_exist_ok=True)


def settings_of(folder: Path, **settings: Any) -> AuthoritySettings:
    """Settings for a test: a free port, Argon2 at its cheapest, stopped soon."""
    return AuthoritySettings(**(_defaults(folder) | settings))


def _defaults(folder: Path) -> dict[str, Any]:
    return {"listen": "127.0.0.1:0", "data_dir": folder, "argon2_memory_kib": 8, "argon2_time": 1, "drain_quiet": 0.02}


def read_token(folder: Path, name: str) -> str:
    """A token that the first start wrote: `operator`, `devices` or `demo-gateway`."""
    return (folder / f"{name}.token").read_text().strip()


@functools.cache
def _initialized() -> Path:
    """A folder that is initialised, once a process: copying it is ten times faster than making it."""
    folder = Path(tempfile.mkdtemp(prefix="consentry-test-"))
    initialize(settings_of(folder), clock=FakeClock())
    return folder
