"""CoverageService: what a key covers, asked with the key itself."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from consentry.authority.v1 import coverage_pb2, coverage_pb2_grpc
from consentry_authority.commands.list_covered_customers import list_covered_customers
from consentry_authority.commands.ports import View
from consentry_authority.commands.watch_coverage import CoverageEvent, CoverageWatch, Covered, Uncovered
from consentry_authority.enforcement.news import News
from consentry_authority.rpc.gate import calling
from consentry_authority.rpc.quotas import KeyQuotas
from consentry_authority.storage.store import Store
from consentry_core import names
from consentry_core.clock import SECOND, BootTime, Clock
from consentry_core.errors import denied
from consentry_core.follow import Revision
from consentry_core.paging import PageTokens, page_size
from consentry_core.rpc.follow_wire import data_classes_to_wire
from consentry_core.rpc.heartbeats import heartbeat_interval
from consentry_core.rpc.open_call import Context
from consentry_core.rpc.times import to_timestamp
from consentry_rule import Deny, Key, Reason, opened_classes


class CoverageServicer(coverage_pb2_grpc.CoverageServiceServicer):
    """See the proto."""

    def __init__(self, store: Store, news: News, page_tokens: PageTokens, clock: Clock, quotas: KeyQuotas) -> None:
        self._store = store
        self._quotas = quotas
        self._news = news
        self._page_tokens = page_tokens
        self._clock = clock

    async def ListCoveredCustomers(  # noqa: N802 - the proto's name
        self, request: coverage_pb2.ListCoveredCustomersRequest, context: Context
    ) -> coverage_pb2.ListCoveredCustomersResponse:
        """See the proto."""
        with await self._quotas.counting(context):
            return await self._list(request)

    async def _list(self, request: coverage_pb2.ListCoveredCustomersRequest) -> coverage_pb2.ListCoveredCustomersResponse:
        name = calling().credential
        question = f"ListCoveredCustomers {name}"
        limit = page_size(request.page_size, default=1_000, maximum=10_000)
        after = self._page_tokens.read(question, request.page_token)
        at_least = _revision(request.at_least_revision, "at_least_revision")

        def read(view: View) -> coverage_pb2.ListCoveredCustomersResponse:
            key = view.facts.credential(name)
            if not isinstance(key, Key):
                raise denied(Deny(Reason.KEY_DELETED))
            page = list_covered_customers(view.facts, key, view.now, after=after, limit=limit, at_least=at_least)
            # Here, and not on the event loop: ten thousand customers take as long as some hundred calls.
            return coverage_pb2.ListCoveredCustomersResponse(
                customers=[
                    coverage_pb2.CoveredCustomer(
                        name=names.CUSTOMER.format(standing.customer),
                        data_classes=data_classes_to_wire(opened_classes(standing)),
                    )
                    for standing in page.customers
                ],
                next_page_token=self._page_tokens.make(question, page.last) if page.last else "",
                revision=str(page.revision),
            )

        return await self._store.read(read)

    async def WatchCoverage(  # noqa: N802 - the proto's name
        self, request: coverage_pb2.WatchCoverageRequest, context: Context
    ) -> AsyncIterator[coverage_pb2.WatchCoverageResponse]:
        """See the proto."""
        watch = CoverageWatch(calling(), _revision(request.after_revision, "after_revision"))
        heartbeat = heartbeat_interval(request)
        before, said_at = request.after_revision, self._clock.boot()
        with await self._quotas.counting(context), self._news.listening() as news:
            while True:
                news.clear()
                events = await self._store.read(watch.turn)
                revision = str(watch.revision)
                for event in events[:-1]:
                    # Whoever is cut off between these comes back for all of them: told again, never left out.
                    yield _event(before, event)
                for event in events[-1:]:
                    yield _event(revision, event)
                    said_at = self._clock.boot()
                before = revision
                await self._anything_new(watch, news, heartbeat - self._quiet_since(said_at))
                if self._quiet_since(said_at) >= heartbeat:  # also when others' changes come all the time
                    time = to_timestamp(self._clock.now())
                    yield coverage_pb2.WatchCoverageResponse(
                        revision=revision, heartbeat=coverage_pb2.WatchCoverageResponse.Heartbeat(time=time)
                    )
                    said_at = self._clock.boot()

    async def _anything_new(self, watch: CoverageWatch, news: asyncio.Event, until_heartbeat: float) -> None:
        """Wait for a commit, for the next end, or for the time of a heartbeat."""
        patience = max(until_heartbeat, 0)
        if watch.next_end is not None:
            patience = min(patience, max(watch.next_end - self._clock.now(), 0) / SECOND)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await news.wait()

    def _quiet_since(self, said_at: BootTime) -> float:
        return (self._clock.boot() - said_at) / SECOND


def _revision(text: str, field: str) -> Revision | None:
    return Revision.parse(text, field) if text else None


def _event(revision: str, event: CoverageEvent) -> coverage_pb2.WatchCoverageResponse:
    response = coverage_pb2.WatchCoverageResponse(revision=revision)
    match event:
        case Covered():
            response.covered.customer = names.CUSTOMER.format(event.customer)
            response.covered.data_classes.extend(data_classes_to_wire(event.data_classes))
        case Uncovered():
            response.uncovered.customer = names.CUSTOMER.format(event.customer)
            response.uncovered.reason = event.reason.value
        case _:
            response.synced.SetInParent()
    return response
