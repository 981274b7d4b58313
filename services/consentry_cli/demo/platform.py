"""The platform as the story's people use it: the operator, the partner's administrator, the customers', over gRPC."""

import contextlib
from collections.abc import Sequence
from datetime import datetime

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from consentry.authority.v1 import (
    consent_pb2,
    consent_pb2_grpc,
    directory_pb2,
    directory_pb2_grpc,
    enforcement_pb2,
    keys_pb2,
    keys_pb2_grpc,
    tokens_pb2,
    tokens_pb2_grpc,
)
from consentry_core.process.tls import ClientTls
from consentry_core.rpc.client.channels import bearer, open_channel

PAID = directory_pb2.Subscription.PLAN_PAID
TRIAL = directory_pb2.Subscription.PLAN_TRIAL
Kind = keys_pb2.Key


class Platform:
    """Calls to one authority, each with the credential of whoever makes it."""

    def __init__(self, address: str, operator: str, tls: ClientTls | None = None) -> None:
        self._channel: grpc.aio.Channel = open_channel(address, tls)
        self._operator = operator
        self._admins: dict[str, str] = {}
        self._directory = directory_pb2_grpc.DirectoryServiceStub(self._channel)
        self._tokens = tokens_pb2_grpc.TokenServiceStub(self._channel)
        self._consents = consent_pb2_grpc.ConsentServiceStub(self._channel)
        self._keys = keys_pb2_grpc.KeyServiceStub(self._channel)

    async def ready(self) -> None:
        """Wait until the authority can be reached."""
        await self._channel.channel_ready()

    async def close(self) -> None:
        """Hang up."""
        await self._channel.close()

    # The operator

    async def create_partner(self, partner: str) -> None:
        """Register a partner, with an administrator; one that is there already only gets the administrator."""
        request = directory_pb2.CreatePartnerRequest(partner_id=partner, partner=directory_pb2.Partner(display_name=partner))
        try:
            await self._directory.CreatePartner(request, metadata=bearer(self._operator))
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.ALREADY_EXISTS:
                raise
        await self._administrator(f"partners/{partner}", tokens_pb2.Token.ROLE_PARTNER_ADMIN)

    async def people(self, partner: str, customer: str) -> dict[str, str]:
        """Tokens of the operator, a partner's administrator, and one of a customer that is connected to it, by who they are."""
        with contextlib.suppress(grpc.aio.AioRpcError):  # it is there from the last time
            await self.create_customer(customer, PAID)
            await self.connect(partner, customer)
        await self._administrator(f"customers/{customer}", tokens_pb2.Token.ROLE_CUSTOMER_ADMIN)
        admins = {name: self._admins[name] for name in (f"customers/{customer}", f"partners/{partner}")}
        return {**admins, "the operator": self._operator}

    async def create_customer(self, customer: str, plan: directory_pb2.Subscription.Plan.ValueType) -> str:
        """Register a customer, with an administrator; returns the secret of a gateway's token."""
        subscription = directory_pb2.Subscription(plan=plan)
        described = directory_pb2.Customer(display_name=customer, subscription=subscription)
        request = directory_pb2.CreateCustomerRequest(customer_id=customer, customer=described)
        await self._directory.CreateCustomer(request, metadata=bearer(self._operator))
        await self._administrator(f"customers/{customer}", tokens_pb2.Token.ROLE_CUSTOMER_ADMIN)
        return await self._token(f"customers/{customer}", tokens_pb2.Token.ROLE_GATEWAY)

    async def subscribe_until(self, customer: str, end: datetime) -> None:
        """Set a trial with an end."""
        expire_time = Timestamp()
        expire_time.FromDatetime(end)
        subscription = directory_pb2.Subscription(plan=TRIAL, expire_time=expire_time)
        request = directory_pb2.SetSubscriptionRequest(customer=f"customers/{customer}", subscription=subscription)
        await self._directory.SetSubscription(request, metadata=bearer(self._operator))

    async def connect(self, partner: str, customer: str) -> None:
        """Let the two work together."""
        request = directory_pb2.ConnectCustomerRequest(partner=f"partners/{partner}", customer=f"customers/{customer}")
        await self._directory.ConnectCustomer(request, metadata=bearer(self._operator))

    async def connections(self, partner: str) -> Sequence[directory_pb2.Connection]:
        """The partner's connections, as the partner sees them."""
        request = directory_pb2.ListConnectionsRequest(parent=f"partners/{partner}")
        response = await self._directory.ListConnections(request, metadata=self._as(f"partners/{partner}"))
        return response.connections

    # The customers

    async def consent(self, customer: str, partner: str) -> None:
        """The customer's switch, on."""
        request = consent_pb2.GrantConsentRequest(customer=f"customers/{customer}", partner=f"partners/{partner}")
        await self._consents.GrantConsent(request, metadata=self._as(f"customers/{customer}"))

    async def revoke(self, customer: str, partner: str) -> enforcement_pb2.Enforcement:
        """The customer's switch, off; returns how far that is enforced."""
        request = consent_pb2.RevokeConsentRequest(customer=f"customers/{customer}", partner=f"partners/{partner}")
        answer = await self._consents.RevokeConsent(request, metadata=self._as(f"customers/{customer}"))
        return answer.enforcement

    # The partner

    async def create_key(self, partner: str, kind: keys_pb2.Key.Kind.ValueType, *customers: str) -> keys_pb2.CreateKeyResponse:
        """Issue a key."""
        key = keys_pb2.Key(kind=kind, customers=[f"customers/{customer}" for customer in customers])
        request = keys_pb2.CreateKeyRequest(parent=f"partners/{partner}", key=key)
        return await self._keys.CreateKey(request, metadata=self._as(f"partners/{partner}"))

    async def list_keys(self, partner: str) -> Sequence[keys_pb2.Key]:
        """The keys that are valid."""
        request = keys_pb2.ListKeysRequest(parent=f"partners/{partner}")
        return (await self._keys.ListKeys(request, metadata=self._as(f"partners/{partner}"))).keys

    async def rehearse(self, partner: str, rehearsing: bool) -> enforcement_pb2.Enforcement:
        """Withdraw the demo customer from the partner's demo keys, or give it back; returns how far that is enforced."""
        request = keys_pb2.SetRehearsalRequest(partner=f"partners/{partner}", rehearsing=rehearsing)
        return (await self._keys.SetRehearsal(request, metadata=self._as(f"partners/{partner}"))).enforcement

    async def delete_key(self, name: str) -> None:
        """End a key for good."""
        partner = "/".join(name.split("/")[:2])
        await self._keys.DeleteKey(keys_pb2.DeleteKeyRequest(name=name), metadata=self._as(partner))

    # Credentials

    def _as(self, organization: str) -> tuple[tuple[str, str], ...]:
        return bearer(self._admins[organization])

    async def _administrator(self, organization: str, role: tokens_pb2.Token.Role.ValueType) -> None:
        self._admins[organization] = await self._token(organization, role)

    async def _token(self, organization: str, role: tokens_pb2.Token.Role.ValueType) -> str:
        request = tokens_pb2.CreateTokenRequest(role=role, organization=organization)
        return (await self._tokens.CreateToken(request, metadata=bearer(self._operator))).secret
