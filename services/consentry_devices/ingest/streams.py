"""Taking frames in: each gateway's stream into the one appender, acknowledged once committed.

What bounds memory: of one stream at most `WINDOW_FRAMES` frames and `WINDOW_BYTES` bytes are on their way between its socket
and the disk, of all streams of one customer `CUSTOMER_BYTES`. When they are, the next frame is not read, and the gateway feels
it through gRPC's flow control. So it is when a customer's gateways publish more than its quota (see `quota`): the ids under
which they do so are theirs to choose, so no quota counts them.

Only one stream of a gateway counts, the newest. When it is told where to go on, nothing of the former is still to come: what
the former was handing to the appender at that moment is taken in first, and counts.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Protocol

from consentry_core.values.clock import BootTime, Clock
from consentry_core.values.errors import Aborted, ConsentryError, ResourceExhausted
from consentry_devices.domain.frames import Frame, StreamKey
from consentry_devices.domain.limits import GATEWAYS_OF_CUSTOMER
from consentry_devices.ingest.quotas import UNLIMITED, Allowance, Quotas
from consentry_rule import CustomerId

WINDOW_FRAMES = 32
WINDOW_BYTES = 8 * 1024 * 1024
CUSTOMER_BYTES = 16 * 1024 * 1024

_REMEMBERED_CUSTOMERS = 1_000
_FULL_RETRY = 30.0

End = Callable[[ConsentryError], None]
"""Ends a call with an error."""

Sleep = Callable[[float], Awaitable[None]]
"""Waits so many seconds."""


class Appender(Protocol):
    """The log, for the one side that writes it."""

    async def submit(self, stream: StreamKey, frame: Frame) -> asyncio.Future[int]:
        """Queue a frame. The future is done once it is committed, with its number, or refused, with the error."""
        ...

    async def last_number(self, stream: StreamKey) -> int:
        """The number of the stream's last committed frame, once everything that was submitted before is committed."""
        ...


def name_frame(error: ConsentryError, number: int) -> None:
    """Let the error say which frame it is about."""
    error.metadata = {**error.metadata, "frame_number": str(number)}


class Ingest:
    """All gateways' streams. Of one gateway only the newest counts: it ends the one before."""

    def __init__(self, appender: Appender, clock: Clock, quotas: Quotas = UNLIMITED, *, sleep: Sleep = asyncio.sleep) -> None:
        self._appender = appender
        self._clock = clock
        self._quotas = quotas
        self._sleep = sleep
        self._customers: dict[CustomerId, _Customer] = {}

    @contextlib.asynccontextmanager
    async def open(self, key: StreamKey, end: End) -> AsyncIterator["GatewayStream"]:
        """A gateway's new stream; `end` ends its call when a newer one comes."""
        customer = self._customer(key.customer)
        gateway = customer.gateway(key.gateway)
        former = gateway.stream
        stream = gateway.stream = GatewayStream(self._appender, key, customer, gateway, end)
        if former is not None:
            former.replace()
        try:
            async with gateway.turn:
                stream.last_number = await self._appender.last_number(key)
            yield stream
        finally:
            stream.close()
            if gateway.stream is stream:
                gateway.stream = None
            customer.forget_idle()

    def _customer(self, name: CustomerId) -> "_Customer":
        now = self._clock.boot()
        if len(self._customers) > _REMEMBERED_CUSTOMERS:
            self._customers = {who: one for who, one in self._customers.items() if not one.forgettable(now)}
        known = self._customers.get(name)
        if known is None:
            known = self._customers[name] = _Customer(Allowance(self._quotas, now), self._clock, self._sleep)
        return known


class _Gateway:
    """What all streams of one gateway share."""

    def __init__(self) -> None:
        self.stream: GatewayStream | None = None
        self.turn = asyncio.Lock()
        """Held while something is handed to the appender: it takes in what comes in that order."""

    @property
    def idle(self) -> bool:
        """Whether a new one would be the same."""
        return self.stream is None and not self.turn.locked()


class _Customer:
    """What all gateways of one customer share: its quota, and what of theirs is on its way to the disk."""

    def __init__(self, allowance: Allowance, clock: Clock, sleep: Sleep) -> None:
        self._allowance = allowance
        self._clock = clock
        self._sleep = sleep
        self._gateways: dict[str, _Gateway] = {}
        self._bytes = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    def gateway(self, name: str) -> _Gateway:
        """The gateway with this id. ResourceExhausted when there are too many that publish at this moment."""
        known = self._gateways.get(name)
        if known is None:
            if len(self._gateways) >= GATEWAYS_OF_CUSTOMER:
                raise ResourceExhausted(
                    f"{GATEWAYS_OF_CUSTOMER} gateways of this customer publish already, as many as may; several streams of one "
                    "gateway are opened under one id",
                    retry_after=_FULL_RETRY,
                    reason="TOO_MANY_GATEWAYS",
                )
            known = self._gateways[name] = _Gateway()
        return known

    def forget_idle(self) -> None:
        """Remember no gateway that need not be remembered."""
        self._gateways = {name: gateway for name, gateway in self._gateways.items() if not gateway.idle}

    async def allowed(self, frame: Frame) -> None:
        """Wait until the customer's quota lets the frame in; count it."""
        while (wait := self._allowance.wait(frame, self._clock.boot())) > 0:
            await self._sleep(wait)
        self._allowance.take(frame, self._clock.boot())

    async def room(self, size: int) -> None:
        """Wait until there is room for so many bytes; count them."""
        while self._bytes and self._bytes + size > CUSTOMER_BYTES:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            await waiter
        self._bytes += size

    def done(self, size: int) -> None:
        """So much has arrived, or is not going to."""
        self._bytes -= size
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)

    def forgettable(self, now: BootTime) -> bool:
        """Whether a new one would be the same."""
        return not self._gateways and self._allowance.untouched(now)


class GatewayStream:
    """One gateway's open stream."""

    def __init__(self, appender: Appender, key: StreamKey, customer: _Customer, gateway: _Gateway, end: End) -> None:
        self.last_number = 0
        self._customer = customer
        self._appender = appender
        self._key = key
        self._gateway = gateway
        self._end = end
        self._replaced = False
        self._pending: deque[_Pending] = deque()
        self._bytes = 0
        self._reserved: deque[int] = deque()
        self._read_all = False
        self._changed = asyncio.Event()

    def replace(self) -> None:
        """Take nothing more: a newer stream of the same gateway is there."""
        self._replaced = True
        self._end(
            Aborted("another stream of the same gateway was opened; only one gateway may use an id", reason="STREAM_REPLACED")
        )

    def close(self) -> None:
        """Nothing of it is on its way any more, as far as anybody waits for it."""
        self._customer.done(self._bytes)
        self._bytes = 0

    async def room(self, size: int) -> None:
        """Wait for room for the next frame, before it is taken apart: what it becomes in memory is several times as large.

        One for which nobody has asked waits for it when it comes.
        """
        await self._customer.room(size)
        self._bytes += size
        self._reserved.append(size)

    async def acknowledgements(self, frames: AsyncIterator[Frame]) -> AsyncGenerator[int, None]:
        """Take the frames in, and yield the number up to which all are committed, as it grows.

        Raises the error of the first frame that is refused, by `frames` itself or by the appender, once everything before it is
        committed and its number was yielded.
        """
        reader = asyncio.create_task(self._take_in(frames), name="gateway-frames")
        try:
            while await self._one_is_pending():
                first = self._pending[0]
                try:
                    await first.answer
                except ConsentryError as error:
                    if first.number is not None:
                        name_frame(error, first.number)
                    # An error keeps the steps that led to it, and they keep this one's answer, which keeps the error: refused
                    # frames would stay, megabytes each, until somebody collects garbage.
                    self._pending.clear()
                    del first
                    raise error.with_traceback(None)  # noqa: B904 - it is the same one
                yield self._take_committed()
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)

    async def _take_in(self, frames: AsyncIterator[Frame]) -> None:
        try:
            async for frame in frames:
                if not self._reserved:
                    await self.room(frame.size)
                size = self._reserved.popleft()
                while self._pending and (len(self._pending) >= WINDOW_FRAMES or self._bytes > WINDOW_BYTES):
                    await self._change()
                await self._customer.allowed(frame)
                async with self._gateway.turn:
                    if self._replaced:
                        return
                    answer = await self._appender.submit(self._key, frame)
                self._pending.append(_Pending(answer, frame.number, size))
                self._changed.set()
        except Exception as error:  # noqa: BLE001 - it is raised where the acknowledgements are awaited
            failed: asyncio.Future[int] = asyncio.get_running_loop().create_future()
            failed.set_exception(error)
            failed.exception()  # nobody may be left to ask
            self._pending.append(_Pending(failed, None, 0))
        finally:
            self._read_all = True
            self._changed.set()

    async def _one_is_pending(self) -> bool:
        while not self._pending:
            if self._read_all:
                return False
            await self._change()
        return True

    def _take_committed(self) -> int:
        number = 0
        while self._pending and self._pending[0].committed:
            done = self._pending.popleft()
            self._bytes -= done.size
            self._customer.done(done.size)
            number = done.answer.result()
        self._changed.set()
        # A frame that came again, long after it was committed, is acknowledged with all that followed it.
        self.last_number = max(self.last_number, number)
        return self.last_number

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()


class _Pending:
    """A frame on its way to the disk; `number` is None for what could not be read."""

    __slots__ = ("answer", "number", "size")

    def __init__(self, answer: asyncio.Future[int], number: int | None, size: int) -> None:
        self.answer = answer
        self.number = number
        self.size = size

    @property
    def committed(self) -> bool:
        return self.answer.done() and not self.answer.cancelled() and self.answer.exception() is None
