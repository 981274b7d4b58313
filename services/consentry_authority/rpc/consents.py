# ruff: noqa: N802 - methods have the proto's names
"""ConsentService: the customer's switch."""

from consentry.authority.v1 import consent_pb2 as pb
from consentry.authority.v1 import consent_pb2_grpc
from consentry_authority.access_log.log import AccessLog
from consentry_authority.admission.gate import origin
from consentry_authority.commands.consents.get_consent import get_consent
from consentry_authority.commands.consents.grant_consent import Grant, grant_consent
from consentry_authority.commands.consents.list_consent_events import list_consent_events
from consentry_authority.commands.consents.list_consents import list_consents
from consentry_authority.commands.consents.revoke_consent import revoke_consent
from consentry_authority.commands.once import once
from consentry_authority.commands.ports import Transaction
from consentry_authority.commands.records import ConsentRecord
from consentry_authority.rpc.accesses import access_to_wire, period_from_wire, reader_from_wire, unreported_to_wire
from consentry_authority.rpc.events import event_to_wire
from consentry_authority.rpc.once import asked_once
from consentry_authority.rpc.own import own_consent, own_customer, partner_id
from consentry_authority.rpc.paging import asked_page
from consentry_authority.rpc.receipts import Receipts, check_timeout
from consentry_authority.rpc.wire import consent_to_wire, optional_instant
from consentry_authority.storage.history import wanted
from consentry_authority.storage.store import Store
from consentry_core.protocol.follow_wire import data_classes_from_wire
from consentry_core.rpc.server.open_call import Context
from consentry_core.values import names
from consentry_core.values.clock import Clock
from consentry_core.values.paging import PageTokens


class ConsentServicer(consent_pb2_grpc.ConsentServiceServicer):
    """See the proto."""

    def __init__(self, store: Store, page_tokens: PageTokens, clock: Clock, receipts: Receipts, access_log: AccessLog) -> None:
        self._store = store
        self._page_tokens = page_tokens
        self._clock = clock
        self._receipts = receipts
        self._access_log = access_log

    async def GrantConsent(self, request: pb.GrantConsentRequest, context: Context) -> pb.GrantConsentResponse:
        """See the proto."""
        partner = partner_id(request.partner, "partner")
        customer = own_customer(request.customer, "customer")
        grant = Grant(
            data_classes=data_classes_from_wire(list(request.data_classes), "data_classes"),
            expire_time=optional_instant(request, "expire_time", "expire_time"),
            data_start_time=optional_instant(request, "data_start_time", "data_start_time"),
            purpose=request.purpose,
        )
        check_timeout(request)
        asked = asked_once(request)

        def give(transaction: Transaction) -> tuple[ConsentRecord, bool]:
            return once(
                transaction,
                asked,
                lambda: grant_consent(transaction, customer, partner, grant),
                lambda _: get_consent(transaction, customer, partner),
            )

        committed = await self._store.write(give, origin=origin(), wanted=wanted.consent(customer, partner))
        granted, _ = committed.value
        return pb.GrantConsentResponse(
            consent=consent_to_wire(granted, self._clock.now()),
            enforcement=await self._receipts.of(committed, request, context),
        )

    async def RevokeConsent(self, request: pb.RevokeConsentRequest, context: Context) -> pb.RevokeConsentResponse:
        """See the proto."""
        partner = partner_id(request.partner, "partner")
        customer = own_customer(request.customer, "customer")
        check_timeout(request)
        committed = await self._store.write(
            lambda transaction: revoke_consent(transaction, customer, partner),
            origin=origin(),
            wanted=wanted.consent(customer, partner),
        )
        return pb.RevokeConsentResponse(
            consent=consent_to_wire(committed.value, self._clock.now()),
            enforcement=await self._receipts.of(committed, request, context),
        )

    async def GetConsent(self, request: pb.GetConsentRequest, context: Context) -> pb.GetConsentResponse:
        """See the proto."""
        customer, partner = own_consent(request.name, "name")
        found, head = await self._store.read(lambda view: (get_consent(view, customer, partner), view.facts.head()))
        return pb.GetConsentResponse(
            consent=consent_to_wire(found, self._clock.now()),
            enforcement=await self._receipts.last(head.epoch, names.CONSENT.format(customer, partner)),
        )

    async def ListConsents(self, request: pb.ListConsentsRequest, context: Context) -> pb.ListConsentsResponse:
        """See the proto."""
        customer = own_customer(request.parent, "parent")
        asked = asked_page(self._page_tokens, request, request.parent)
        page = await self._store.read(lambda view: list_consents(view, customer, after=asked.after, limit=asked.limit))
        now = self._clock.now()
        consents, token = asked.fill(page, lambda consent: consent_to_wire(consent, now))
        return pb.ListConsentsResponse(consents=consents, next_page_token=token)

    async def ListConsentEvents(self, request: pb.ListConsentEventsRequest, context: Context) -> pb.ListConsentEventsResponse:
        """See the proto."""
        customer = own_customer(request.parent, "parent")
        partner = partner_id(request.partner, "partner") if request.partner else None
        asked = asked_page(self._page_tokens, request, request.parent, request.partner)
        page, head = await self._store.read(
            lambda view: (
                list_consent_events(view, customer, partner, after=asked.after, limit=asked.limit),
                view.facts.head(),
            )
        )
        numbers = [event.entry.revision for event in page.items if event.entry is not None]
        receipts = await self._receipts.kept(head.epoch, numbers)
        events, token = asked.fill(page, lambda event: event_to_wire(event, receipts))
        return pb.ListConsentEventsResponse(consent_events=events, next_page_token=token)

    async def ListAccesses(self, request: pb.ListAccessesRequest, context: Context) -> pb.ListAccessesResponse:
        """See the proto."""
        customer = own_customer(request.parent, "parent")
        keys, period = reader_from_wire(request.reader), period_from_wire(request)
        asked = asked_page(self._page_tokens, request, request.parent, keys, str(period))
        page, unreported = await self._access_log.page(customer, keys, period, after=asked.after, limit=asked.limit)
        response = pb.ListAccessesResponse(unreported_intervals=map(unreported_to_wire, unreported))
        accesses, response.next_page_token = asked.fill(page, access_to_wire, beside=response.ByteSize())
        response.accesses.extend(accesses)
        return response
