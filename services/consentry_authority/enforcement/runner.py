"""Carries out what the coordinator says, over ports and the event loop. It has no order of its own."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from consentry_authority.commands.ports import Commit, Store
from consentry_authority.enforcement.barriers import MOST_POINTS, PointStatus, Receipt
from consentry_authority.enforcement.coordinator import Coordinator
from consentry_authority.enforcement.flows import (
    Action,
    DropMembers,
    Flow,
    KeepReceipts,
    ReadHead,
    ReadMembers,
    ReadPending,
    ReadReceipt,
    ReadTurn,
    Stream,
    WaitFor,
    WriteMember,
)
from consentry_authority.enforcement.limits import Fleets, Newcomers
from consentry_authority.enforcement.membership import Membership
from consentry_authority.enforcement.news import News
from consentry_authority.enforcement.ports import EnforcementRecords
from consentry_core.protocol.follow import BOUND_SECONDS, FromAuthority, FromGuard, Revision
from consentry_core.values.clock import SECOND, Clock
from consentry_core.values.errors import Unavailable

_T = TypeVar("_T")
_log = logging.getLogger(__name__)
_POINTS_OF_A_PAGE = 500


class EnforcementRunner:
    """The enforcement of one authority process. `members`: how many a token may have at once."""

    def __init__(
        self, store: Store, records: EnforcementRecords, clock: Clock, news: News, newcomers: Newcomers, *, members: int
    ) -> None:
        self._store = store
        self._records = records
        self._clock = clock
        self.fleets = Fleets(members)
        self._membership = Membership(records, clock, self.fleets, newcomers)
        self.coordinator = Coordinator(clock, news, self.fleets, self._start)
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._looking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Take up what was pending, and look for silent members from now on."""
        await self.run(self.coordinator.resume())
        self._set_timer()
        self._looking = asyncio.create_task(self._look_for_silent_ones())

    async def stop(self) -> None:
        """Stop waiting; what is pending is taken up at the next start."""
        if self._looking is not None:
            self._looking.cancel()
        if self._timer is not None:
            self._timer.cancel()
        while self._tasks:  # one may have begun another
            await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._membership.stop()

    # What others ask

    async def taken(self, stream: Stream, message: FromGuard) -> None:
        """A guard said something; see `Coordinator.taken`."""
        await self.run(self.coordinator.taken(stream, message))

    async def turn(self, stream: Stream) -> Sequence[FromAuthority]:
        """What is to be said on a stream now."""
        return await self.run(self.coordinator.turn(stream))

    async def enforce(self, change: Commit, patience: float | None) -> Receipt:
        """The receipt of a change: waits for it to be enforced, at most `patience` seconds; see `Coordinator.enforce`."""
        return await self.run(self.coordinator.enforce(change, patience))

    async def receipt(self, revision: Revision) -> tuple[Receipt, str] | None:
        """A change's receipt as it is now, and whose change it was; None for one that is not on record."""
        receipt = await self.run(self.coordinator.enforced(revision, 0))
        found = await self._records.receipt(revision)
        if receipt is None or found is None or found[0].enforce_time is not None:
            return found
        return receipt, found[1]

    async def last(self, epoch: str, subjects: Sequence[str]) -> Receipt | None:
        """The receipt, as it is now, of the last change that took something away from these subjects; None when none did."""
        number = await self._records.last_number(subjects)
        return None if number is None else await self.run(self.coordinator.enforced(Revision(epoch, number), 0))

    async def receipts(self, epoch: str, numbers: Sequence[int]) -> Mapping[int, Receipt]:
        """The receipts of those of these changes that took something away, as they were last kept; few points of each."""
        most = min(_POINTS_OF_A_PAGE // max(len(numbers), 1), MOST_POINTS)
        return await self._records.receipts(epoch, numbers, most_points=most)

    async def points(self) -> Sequence[PointStatus]:
        """All members, by incarnation."""
        return await self.run(self.coordinator.points())

    # Flows

    async def run(self, flow: Flow[_T]) -> _T:
        """Carry out what a flow says, one action after the other; what it returns."""
        try:
            action = next(flow)
            while True:
                try:
                    result = await self._carry_out(action)
                except Exception as error:  # noqa: BLE001 - it is the flow's to decide what follows from it
                    action = flow.throw(error)
                else:
                    action = flow.send(result)
        except StopIteration as over:
            value: _T = over.value
            return value
        finally:
            flow.close()

    async def _carry_out(self, action: Action) -> Any:
        match action:
            case WriteMember(change):
                return await self._membership.write(change)
            case ReadHead():
                return await self._records.primary_head()
            case ReadTurn(stream, committed, grant):
                return await self._store.read(lambda view: stream.read(view, committed=committed, grant=grant))
            case ReadMembers():
                return await self._records.members()
            case ReadPending():
                return await self._records.pending()
            case ReadReceipt(revision):
                return await self._records.receipt(revision)
            case KeepReceipts(barriers):
                return await self._records.close_receipts(barriers)
            case DropMembers(silent):
                return await self._records.drop(silent)
            case WaitFor():
                return await _reached(action)

    def _start(self, flow: Flow[None]) -> None:
        task = asyncio.create_task(self._run_aside(flow))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run_aside(self, flow: Flow[None]) -> None:
        try:
            await self.run(flow)
        except Unavailable:
            pass  # whoever waits for it is told, and whoever asks next tries again
        except Exception:  # noqa: BLE001 - as above
            _log.exception("enforcing a change failed")
        self._set_timer()

    # Time

    async def _look_for_silent_ones(self) -> None:
        while True:
            await asyncio.sleep(BOUND_SECONDS)
            await self._run_aside(self.coordinator.look())

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        due = self.coordinator.next_tick()
        if due is not None:
            wait = max(due - self._clock.boot(), 0) / SECOND
            self._timer = asyncio.get_running_loop().call_later(wait, self._tick)

    def _tick(self) -> None:
        self.coordinator.tick()
        self._set_timer()


async def _reached(awaited: WaitFor) -> None:
    if awaited.milestone.reached:
        return
    event = asyncio.Event()
    awaited.milestone.then(event.set)
    try:
        async with asyncio.timeout(awaited.patience):
            await event.wait()
    except TimeoutError:
        return
