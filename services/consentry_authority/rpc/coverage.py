"""CoverageService: what a key covers, asked with the key itself."""

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from functools import partial
from typing import Final, assert_never

from consentry.authority.v1 import coverage_pb2, coverage_pb2_grpc
from consentry_authority.admission.current import UntilTouched
from consentry_authority.admission.gate import calling
from consentry_authority.commands.actor import Actor
from consentry_authority.commands.coverage.list_covered_customers import (
    STEP,
    check_shows,
    covered_among,
    listed_customers,
    step_of_changed,
    step_of_standings,
)
from consentry_authority.commands.coverage.open_watches import CoverageWatches
from consentry_authority.commands.coverage.watch_coverage import (
    CoverageEvent,
    CoverageReader,
    Covered,
    Marks,
    Synced,
    Uncovered,
)
from consentry_authority.commands.coverage.work import CoverageWork
from consentry_authority.commands.live import usable_credential
from consentry_authority.commands.ports import View
from consentry_authority.rpc.shared import Shared
from consentry_core.protocol.data_classes import data_classes_to_wire
from consentry_core.protocol.follow import Revision
from consentry_core.protocol.marks import MarkedKey, MarkedStanding
from consentry_core.protocol.times import to_timestamp
from consentry_core.rpc.server.heartbeats import heartbeat_interval
from consentry_core.rpc.server.open_call import Context
from consentry_core.rpc.server.turning_away import TurningAway
from consentry_core.values import names
from consentry_core.values.clock import SECOND, BootTime
from consentry_core.values.errors import ResourceExhausted, denied
from consentry_core.values.paging import page_size
from consentry_rule import CustomerId, Deny, Instant, KeyKind, Reason, Secret, next_end, opened_classes

_PIECE: Final = 32  # events that one watch tells in its turn


class CoverageServicer(coverage_pb2_grpc.CoverageServiceServicer):
    """Answers the calls of the service; the proto says what each does."""

    def __init__(self, shared: Shared, work: CoverageWork, watches: CoverageWatches) -> None:
        self._current = shared.current
        self._listed: UntilTouched[str, Sequence[CustomerId]] = shared.current.until_touched()
        self._work = work
        self._watches = watches
        self._page_tokens = shared.page_tokens
        self._clock = shared.clock
        self._quotas = shared.quotas
        self._turning_away = TurningAway(per_second=50.0, longest=20.0, places=4_000)

    async def ListCoveredCustomers(  # noqa: N802 - the proto's name
        self, request: coverage_pb2.ListCoveredCustomersRequest, context: Context
    ) -> coverage_pb2.ListCoveredCustomersResponse:
        name = calling().credential
        try:
            with await self._quotas.counting(context), self._work.listing(name):
                return await self._list(request, name)
        except ResourceExhausted:
            await self._turning_away.wait_turn()  # whoever asks as fast as it is refused is refused slowly
            raise

    async def _list(
        self, request: coverage_pb2.ListCoveredCustomersRequest, name: str
    ) -> coverage_pb2.ListCoveredCustomersResponse:
        question = f"ListCoveredCustomers {name}"
        limit = page_size(request.page_size, default=1_000, maximum=10_000)
        after = self._page_tokens.read(question, request.page_token)
        # First the head, then what is read: so the page shows at least that.
        head = await self._current.head()
        if request.at_least_revision:
            check_shows(head, Revision.parse(request.at_least_revision, "at_least_revision"))
        key = await self._current.credential(name)
        if not isinstance(key, MarkedKey):
            raise denied(Deny(Reason.KEY_DELETED))
        listed = await self._list_of(name, key)
        response = coverage_pb2.ListCoveredCustomersResponse(revision=str(head))
        while limit > 0:
            step = partial(_covered_step, key, listed, after, min(limit, STEP))
            customers, after = await self._work.read(calling().organization, step)
            response.customers.extend(customers)
            limit = limit - STEP if after else 0
        response.next_page_token = self._page_tokens.make(question, after) if after else ""
        return response

    async def _list_of(self, name: str, key: MarkedKey) -> Sequence[CustomerId]:
        if key.kind is not KeyKind.SPECIFIC_CUSTOMERS:
            return ()
        look = partial(self._work.read, calling().organization, lambda _: listed_customers(key))
        return await self._listed.find(name, look, subject=name)

    async def WatchCoverage(  # noqa: N802 - the proto's name
        self, request: coverage_pb2.WatchCoverageRequest, context: Context
    ) -> AsyncIterator[coverage_pb2.WatchCoverageResponse]:
        actor, after = calling(), None
        if request.after_revision:
            after = Revision.parse(request.after_revision, "after_revision")
        try:
            with await self._quotas.counting(context):
                async with contextlib.aclosing(self._watch(actor, after, heartbeat_interval(request))) as told:
                    async for response in told:
                        yield response
        except ResourceExhausted:
            await self._turning_away.wait_turn()
            raise

    async def _watch(
        self, actor: Actor, after: Revision | None, heartbeat: float
    ) -> AsyncGenerator[coverage_pb2.WatchCoverageResponse, None]:
        key, _ = await self._usable_key(actor)
        if after is not None:
            check_shows(await self._current.head(), after)
        async with self._watches.watching(actor.credential, key) as (watched, bell):
            reader, said_at = CoverageReader(watched.view, after), self._clock.boot()
            if after is not None:
                async for event in self._missed(actor, watched.view.marks, after):
                    yield _event(str(after), event)
                yield _event(*reader.caught_up())
                said_at = self._clock.boot()
            while True:
                bell.clear()
                key, secret = await self._usable_key(actor)
                if watched.failed is not None:
                    raise watched.failed.with_traceback(None)
                quiet = self._quiet_since(said_at)
                if not reader.owes and quiet < heartbeat:
                    await bell.wait(self._patience(heartbeat - quiet, key, secret))
                    continue
                async with self._work.turn(actor.organization):
                    await self._usable_key(actor)  # still, for others had their turns meanwhile
                    piece = reader.piece(_PIECE)
                    for revision, event in piece:
                        yield _event(revision, event)
                    if not piece and quiet >= heartbeat:
                        time = to_timestamp(self._clock.now())
                        yield coverage_pb2.WatchCoverageResponse(
                            revision=reader.at, heartbeat=coverage_pb2.WatchCoverageResponse.Heartbeat(time=time)
                        )
                    if piece or quiet >= heartbeat:
                        said_at = self._clock.boot()

    async def _missed(self, actor: Actor, marks: Marks, after: Revision) -> AsyncIterator[CoverageEvent]:
        """What one that comes back after a revision has missed: by its marks, each customer's state then and now."""
        organization, number = actor.organization, after.number
        since = await self._work.read(organization, lambda view: view.facts.commit_time_of(number)) or Instant(0)
        looked: set[CustomerId] = set()
        position, more = "", True
        while more:
            step = partial(_missed_step, marks, (number, since), position)
            events, customers, position = await self._work.read(organization, step)
            looked.update(customers)
            more = bool(position)
            async for event in self._in_turns(actor, events):
                yield event
        relisted = await self._work.read(organization, lambda _: sorted(marks.relisted_after(number) - looked))
        for start in range(0, len(relisted), STEP):
            piece = partial(_missed_of, marks, (number, since), relisted[start : start + STEP])
            async for event in self._in_turns(actor, await self._work.read(organization, piece)):
                yield event

    async def _in_turns(self, actor: Actor, events: Sequence[CoverageEvent]) -> AsyncIterator[CoverageEvent]:
        for start in range(0, len(events), _PIECE):
            async with self._work.turn(actor.organization):
                await self._usable_key(actor)
                for event in events[start : start + _PIECE]:
                    yield event

    async def _usable_key(self, actor: Actor) -> tuple[MarkedKey, Secret]:
        """As of the last commit that was heard of: Unauthenticated or PermissionDenied from then on."""
        facts = await self._current.credential(actor.credential)
        key, secret = usable_credential(facts, actor.secret_id, actor.address, self._clock.now())
        if not isinstance(key, MarkedKey):
            raise denied(Deny(Reason.KEY_DELETED))
        return key, secret

    def _patience(self, patience: float, key: MarkedKey, secret: Secret) -> float:
        """Seconds until a heartbeat is due, or the key or the secret ends."""
        now = self._clock.now()
        end = next_end(key, secret, None, now)
        return patience if end is None else min(patience, (end - now) / SECOND)

    def _quiet_since(self, said_at: BootTime) -> float:
        return (self._clock.boot() - said_at) / SECOND


_HEARTBEAT: Final = coverage_pb2.WatchCoverageResponse.Heartbeat()


def _covered_step(
    key: MarkedKey, listed: Sequence[CustomerId], after: str, limit: int, view: View
) -> tuple[list[coverage_pb2.CoveredCustomer], str]:
    """Made into messages here, and not on the event loop."""
    standings, last = step_of_standings(view.facts, key, listed, after=after, limit=limit)
    customers = [
        coverage_pb2.CoveredCustomer(
            name=names.CUSTOMER.format(standing.customer), data_classes=data_classes_to_wire(opened_classes(standing))
        )
        for standing in covered_among(key, standings, view.now)
    ]
    return customers, last


def _missed_step(
    marks: Marks, since: tuple[int, Instant], after: str, view: View
) -> tuple[list[CoverageEvent], list[CustomerId], str]:
    standings, last = step_of_changed(view.facts, marks.key, since, view.now, after=after)
    events = list(_events(marks, standings, since, view.now))
    return events, [standing.customer for standing in standings], last


def _missed_of(marks: Marks, since: tuple[int, Instant], customers: Sequence[CustomerId], view: View) -> list[CoverageEvent]:
    return list(_events(marks, view.facts.standings_to(marks.key.partner, customers), since, view.now))


def _events(
    marks: Marks, standings: Sequence[MarkedStanding], since: tuple[int, Instant], now: Instant
) -> Iterator[CoverageEvent]:
    for standing in standings:
        yield from marks.missed(standing, *since, now)


def _event(revision: str, event: CoverageEvent) -> coverage_pb2.WatchCoverageResponse:
    response = coverage_pb2.WatchCoverageResponse(revision=revision)
    match event:
        case Covered():
            response.covered.customer = names.CUSTOMER.format(event.customer)
            response.covered.data_classes.extend(data_classes_to_wire(event.data_classes))
        case Uncovered():
            response.uncovered.customer = names.CUSTOMER.format(event.customer)
            response.uncovered.reason = event.reason
        case Synced():
            response.synced.SetInParent()
        case _:
            assert_never(event)
    return response
