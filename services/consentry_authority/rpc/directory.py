# ruff: noqa: N802 - methods have the proto's names
"""DirectoryService: organisations, subscriptions, connections."""

from consentry.authority.v1 import directory_pb2 as pb
from consentry.authority.v1 import directory_pb2_grpc
from consentry_authority.admission.gate import calling, origin
from consentry_authority.commands.actor import not_yours
from consentry_authority.commands.directory.cancel_subscription import cancel_subscription
from consentry_authority.commands.directory.connect_customer import connect_customer
from consentry_authority.commands.directory.create_customer import create_customer
from consentry_authority.commands.directory.create_partner import create_partner
from consentry_authority.commands.directory.disconnect_customer import disconnect_customer
from consentry_authority.commands.directory.get_customer import get_customer
from consentry_authority.commands.directory.get_partner import get_partner
from consentry_authority.commands.directory.list_connections import list_connections
from consentry_authority.commands.directory.list_customers import list_customers
from consentry_authority.commands.directory.list_partners import list_partners
from consentry_authority.commands.directory.set_subscription import set_subscription
from consentry_authority.commands.once import once
from consentry_authority.commands.ports import Transaction
from consentry_authority.commands.records import CustomerRecord, PartnerRecord
from consentry_authority.rpc.once import asked_once
from consentry_authority.rpc.own import customer_id, own_customer, own_partner, partner_id
from consentry_authority.rpc.paging import asked_page
from consentry_authority.rpc.receipts import Receipts, check_timeout
from consentry_authority.rpc.wire import (
    connection_to_wire,
    customer_to_wire,
    partner_to_wire,
    subscription_from_wire,
)
from consentry_authority.storage.history import wanted
from consentry_authority.storage.store import Store
from consentry_core.rpc.server.open_call import Context
from consentry_core.values import names
from consentry_core.values.clock import Clock
from consentry_core.values.errors import InvalidArgument
from consentry_core.values.paging import PageTokens
from consentry_rule import CustomerId, PartnerId


class DirectoryServicer(directory_pb2_grpc.DirectoryServiceServicer):
    """See the proto."""

    def __init__(self, store: Store, page_tokens: PageTokens, clock: Clock, receipts: Receipts) -> None:
        self._store = store
        self._page_tokens = page_tokens
        self._clock = clock
        self._receipts = receipts

    async def CreatePartner(self, request: pb.CreatePartnerRequest, context: Context) -> pb.CreatePartnerResponse:
        """See the proto."""
        partner = PartnerId(names.organization_id(request.partner_id, "partner_id"))
        display_name, asked = request.partner.display_name, asked_once(request)

        def create(transaction: Transaction) -> tuple[PartnerRecord, bool]:
            return once(
                transaction,
                asked,
                lambda: create_partner(transaction, partner, display_name),
                lambda _: get_partner(transaction, partner),
            )

        created, _ = (await self._store.write(create, origin=origin())).value
        return pb.CreatePartnerResponse(partner=partner_to_wire(created))

    async def GetPartner(self, request: pb.GetPartnerRequest, context: Context) -> pb.GetPartnerResponse:
        """See the proto."""
        partner = partner_id(request.name, "name")
        found = await self._store.read(lambda view: get_partner(view, partner))
        return pb.GetPartnerResponse(partner=partner_to_wire(found))

    async def ListPartners(self, request: pb.ListPartnersRequest, context: Context) -> pb.ListPartnersResponse:
        """See the proto."""
        asked = asked_page(self._page_tokens, request)
        page = await self._store.read(lambda view: list_partners(view, after=asked.after, limit=asked.limit))
        partners, token = asked.fill(page, partner_to_wire)
        return pb.ListPartnersResponse(partners=partners, next_page_token=token)

    async def CreateCustomer(self, request: pb.CreateCustomerRequest, context: Context) -> pb.CreateCustomerResponse:
        """See the proto."""
        customer = CustomerId(names.organization_id(request.customer_id, "customer_id"))
        subscription = None
        if request.customer.HasField("subscription"):
            subscription = subscription_from_wire(request.customer.subscription, "customer.subscription")
        display_name, asked = request.customer.display_name, asked_once(request)

        def create(transaction: Transaction) -> tuple[CustomerRecord, bool]:
            return once(
                transaction,
                asked,
                lambda: create_customer(transaction, customer, display_name, subscription),
                lambda _: get_customer(transaction, customer),
            )

        created, _ = (await self._store.write(create, origin=origin())).value
        return pb.CreateCustomerResponse(customer=customer_to_wire(created, self._clock.now()))

    async def GetCustomer(self, request: pb.GetCustomerRequest, context: Context) -> pb.GetCustomerResponse:
        """See the proto."""
        customer = customer_id(request.name, "name")
        found = await self._store.read(lambda view: get_customer(view, customer))
        return pb.GetCustomerResponse(customer=customer_to_wire(found, self._clock.now()))

    async def ListCustomers(self, request: pb.ListCustomersRequest, context: Context) -> pb.ListCustomersResponse:
        """See the proto."""
        asked = asked_page(self._page_tokens, request)
        page = await self._store.read(lambda view: list_customers(view, after=asked.after, limit=asked.limit))
        now = self._clock.now()
        customers, token = asked.fill(page, lambda customer: customer_to_wire(customer, now))
        return pb.ListCustomersResponse(customers=customers, next_page_token=token)

    async def SetSubscription(self, request: pb.SetSubscriptionRequest, context: Context) -> pb.SetSubscriptionResponse:
        """See the proto."""
        customer = customer_id(request.customer, "customer")
        subscription = subscription_from_wire(request.subscription, "subscription")
        check_timeout(request)
        committed = await self._store.write(
            lambda transaction: set_subscription(transaction, customer, subscription),
            origin=origin(),
            wanted=wanted.subscription(customer),
        )
        return pb.SetSubscriptionResponse(
            customer=customer_to_wire(committed.value, self._clock.now()),
            enforcement=await self._receipts.of(committed, request, context),
        )

    async def CancelSubscription(
        self, request: pb.CancelSubscriptionRequest, context: Context
    ) -> pb.CancelSubscriptionResponse:
        """See the proto."""
        customer = customer_id(request.customer, "customer")
        check_timeout(request)
        committed = await self._store.write(
            lambda transaction: cancel_subscription(transaction, customer),
            origin=origin(),
            wanted=wanted.subscription(customer),
        )
        return pb.CancelSubscriptionResponse(
            customer=customer_to_wire(committed.value, self._clock.now()),
            enforcement=await self._receipts.of(committed, request, context),
        )

    async def ConnectCustomer(self, request: pb.ConnectCustomerRequest, context: Context) -> pb.ConnectCustomerResponse:
        """See the proto."""
        partner = partner_id(request.partner, "partner")
        customer = customer_id(request.customer, "customer")
        committed = await self._store.write(
            lambda transaction: connect_customer(transaction, partner, customer), origin=origin()
        )
        return pb.ConnectCustomerResponse(connection=connection_to_wire(committed.value))

    async def DisconnectCustomer(
        self, request: pb.DisconnectCustomerRequest, context: Context
    ) -> pb.DisconnectCustomerResponse:
        """See the proto."""
        partner = partner_id(request.partner, "partner")
        customer = customer_id(request.customer, "customer")
        check_timeout(request)
        committed = await self._store.write(
            lambda transaction: disconnect_customer(transaction, partner, customer),
            origin=origin(),
            wanted=wanted.disconnected(customer, partner),
        )
        return pb.DisconnectCustomerResponse(enforcement=await self._receipts.of(committed, request, context))

    async def ListConnections(self, request: pb.ListConnectionsRequest, context: Context) -> pb.ListConnectionsResponse:
        """See the proto."""
        partner, customer = _side(request.parent)
        asked = asked_page(self._page_tokens, request, request.parent)
        page = await self._store.read(
            lambda view: list_connections(view, partner=partner, customer=customer, after=asked.after, limit=asked.limit)
        )
        connections, token = asked.fill(page, connection_to_wire)
        return pb.ListConnectionsResponse(connections=connections, next_page_token=token)


def _side(parent: str) -> tuple[PartnerId | None, CustomerId | None]:
    """Whose connections are asked for: a partner's, a customer's, or (for operators) everybody's."""
    if not parent:
        if not calling().operates:
            raise not_yours()
        return None, None
    if names.PARTNER.matches(parent):
        return own_partner(parent, "parent"), None
    if names.CUSTOMER.matches(parent):
        return None, own_customer(parent, "parent")
    raise InvalidArgument(
        "parent", f"must be of the form {names.PARTNER.pattern} or {names.CUSTOMER.pattern}", reason="NAME_INVALID"
    )
