"""One `Publish` stream, kept open: what is in the outbox goes out in order, what is acknowledged leaves it.

1. Say hello. The first acknowledgement says where to go on, which may be before or after what was sent last time.
2. Send what follows, as it comes. Acknowledgements come as the service commits.
3. When the stream ends, for whatever reason, open it again: after the time that the service asks for, or else after one that
   grows as long as nothing gets through, with jitter, so that a hundred gateways do not come back at once.
4. When nothing of what was sent is acknowledged for half a minute, the connection is as good as gone: open the stream again
   over another.

What the service refuses for good (INVALID_ARGUMENT) is logged and left out (`refusals`), and what is left of the frame goes out
under its number, the rest as a loss. After some of that the whole frame is given up. PERMISSION_DENIED is no such refusal: with
another token the frame is welcome. But a token of another customer than the settings name ends the publishing, if nothing has
got through yet; and frames of another customer, once the token is right, are given up.

When the disk fails, that is told, and the stream opened again until it does not.

What is sent more than a minute after it was measured is marked as historical, so that nobody takes it for news.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import grpc

from consentry.devices.v1 import gateway_pb2, gateway_pb2_grpc
from consentry_core.pacing.backoff import Backoff, Random
from consentry_core.pacing.silence import Silence
from consentry_core.process.settings import SettingError
from consentry_core.protocol.times import to_timestamp
from consentry_core.rpc.client.channels import bearer
from consentry_core.rpc.client.listening import FellSilent, listening
from consentry_core.rpc.client.renewed import connection_of, leave
from consentry_core.rpc.errors import error_info, refused_field, retry_after
from consentry_core.values.clock import SECOND, Clock
from consentry_core.values.reasons import ErrorReason
from consentry_gateway.outbox.outbox import Draft, Outbox, OutboxFailed, Pending, Span
from consentry_gateway.publishing.mending import Mending
from consentry_gateway.publishing.refusals import LeftOut

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
_Frame = gateway_pb2.PublishRequest.Frame
_Call = grpc.aio.StreamStreamCall[gateway_pb2.PublishRequest, gateway_pb2.PublishResponse]

_BATCH = 32
_LATE = 60 * SECOND
_SILENCE = 30.0
_LONGEST_SILENCE = 8 * _SILENCE  # a service that is only slow gets through some time
# The service and we do not mean the same by a number.
_NUMBERING_LOST = frozenset({ErrorReason.FRAME_OUT_OF_ORDER, ErrorReason.FRAME_CONFLICT})
_FOREIGN = ErrorReason.FOREIGN_CUSTOMER
CUSTOMER = "customer"
"""What the outbox remembers the customer under whose things it holds."""


class Publisher:
    """Publishes an outbox. `token` is asked for at every connection, so that a replaced token is picked up.

    `on_refused` is told whom a refused frame was about, `on_left_out` that and what was left out of it, `on_untold` when what
    was said to be lost was refused (it says what is to be remembered of that), `on_new_epoch` that the service may know nothing
    of us. `customer` is the name of the one that the settings name.
    """

    def __init__(
        self,
        channel: grpc.aio.Channel,
        token: Callable[[], str],
        gateway: str,
        outbox: Outbox,
        *,
        clock: Clock,
        random: Random,
        on_refused: Callable[[str], None],
        on_new_epoch: Callable[[], None],
        on_left_out: Callable[[str, LeftOut], None] = lambda _about, _what: None,
        on_untold: Callable[[str, Span], Mapping[str, str | None]] = lambda _about, _span: {},
        customer: str = "",
        longest_wait: float = 10.0,
        silence: float = _SILENCE,
    ) -> None:
        self._publish = gateway_pb2_grpc.GatewayServiceStub(channel).Publish
        self._token = token
        self._gateway = gateway
        self._outbox = outbox
        self._clock = clock
        # The outbox has one thread of its own: the event loop never waits for the disk.
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="outbox")
        self._on_new_epoch = on_new_epoch
        self._customer = customer
        self._mending = Mending(
            outbox, self._on_disk, clock, customer=customer,
            on_refused=on_refused, on_left_out=on_left_out, on_untold=on_untold,
        )  # fmt: skip
        self._got_through = False
        self._disk_told = ""
        self._backoff = Backoff(random, first=0.1, longest=longest_wait)
        self._silence = self._patience = silence
        self._sent = 0
        self._news = asyncio.Event()
        self._progress = asyncio.Event()

    async def put(self, drafts: Sequence[Draft], remember: Mapping[str, str | None]) -> None:
        """Take frames over: they are on disk when this returns. OutboxFull when there is no room."""
        await self._on_disk(self._outbox.append, drafts, remember)
        self._news.set()

    async def acknowledged(self) -> None:
        """Wait until everything that was put is acknowledged. OutboxFailed when the disk fails."""
        while True:
            self._progress.clear()
            if not await self._on_disk(self._outbox.__len__):
                return
            await self._progress.wait()

    async def run(self) -> None:
        """Publish until cancelled. SettingError when the token is another customer's than the settings say."""
        while True:
            wait: float | None = None
            try:
                wait = await self._stream_once()
            except OutboxFailed as error:
                if str(error) != self._disk_told:
                    _log.error("nothing is published while the outbox cannot be used: %s", error)
                self._disk_told = str(error)
            await asyncio.sleep(self._backoff.failed(wait))

    async def _stream_once(self) -> float | None:
        """Publish until the stream ends; the seconds to wait, if it says."""
        try:
            await self._stream()
            _log.info("the service ended the stream; opening it again")
        except grpc.aio.AioRpcError as error:
            return await self._failed(error)
        except FellSilent:
            _log.warning("nothing was acknowledged for %g s; connecting anew", self._patience)
            self._patience = min(2 * self._patience, max(self._silence, _LONGEST_SILENCE))
        return None

    def close(self) -> None:
        """Let what is under way on the disk finish, then close the outbox."""
        self._disk.shutdown()
        self._outbox.close()

    async def _stream(self) -> None:
        connection = connection_of(self._publish)
        try:
            token = self._token()
        except SettingError as error:
            _log.error("cannot publish: %s", error.message)
            return
        call, silence = self._publish(metadata=bearer(token)), Silence()
        try:
            async with listening(call, silence, self._patience):
                await self._converse(call, silence)
        except FellSilent:
            leave(self._publish, connection)
            raise
        finally:
            call.cancel()  # gRPC collects no call that is left to itself

    async def _converse(self, call: _Call, silence: Silence) -> None:
        """Send and hear what is acknowledged, until the stream ends."""
        epoch = await self._on_disk(lambda: self._outbox.epoch)
        hello = gateway_pb2.PublishRequest.Hello(gateway=self._gateway, epoch=epoch)
        silence.waiting = True
        with _stream_may_be_over():
            await call.write(gateway_pb2.PublishRequest(hello=hello))
        first = await call.read()
        if not isinstance(first, gateway_pb2.PublishResponse):
            return
        silence.heard()
        self._sent = number = first.acknowledgement.number
        if not await self._on_disk(self._outbox.fits, number):
            await self._renumber(number, "the service has committed %d", number)
            return
        await self._acknowledge(number, number)
        sender = asyncio.create_task(self._send(call, number, silence))
        try:
            while isinstance(response := await _read(call, sender), gateway_pb2.PublishResponse):
                silence.heard()
                silence.waiting = response.acknowledgement.number < self._sent
                await self._acknowledge(response.acknowledgement.number, number)
        finally:
            sender.cancel()
            await asyncio.wait([sender])

    async def _send(self, call: _Call, number: int, silence: Silence) -> None:
        with _stream_may_be_over():
            while True:
                self._news.clear()
                batch = await self._on_disk(self._outbox.after, number, _BATCH)
                for pending in batch:
                    self._sent = pending.number
                    silence.waiting = True
                    for empty in range(max(number, pending.number - pending.count) + 1, pending.number):
                        await call.write(gateway_pb2.PublishRequest(frame=_Frame(number=empty)))
                    await call.write(gateway_pb2.PublishRequest(frame=_frame(pending, self._clock.now())))
                    number = pending.number
                if not batch:
                    await self._news.wait()

    async def _acknowledge(self, number: int, first: int) -> None:
        await self._on_disk(self._outbox.acknowledge, number)
        if number > first and not self._got_through:
            self._got_through = True
            if self._customer:
                await self._on_disk(self._outbox.remember, CUSTOMER, self._customer)
        if number > first:  # that a stream opens is not yet progress: two gateways under one id would end each other's for ever
            self._backoff.succeeded()
            self._patience, self._disk_told = self._silence, ""
        self._progress.set()

    async def _failed(self, error: grpc.aio.AioRpcError) -> float | None:
        """Do what a stream's status asks for; the seconds to wait, if it says."""
        info = error_info(error)
        number = info.metadata.get("frame_number", "")
        if info.reason in _NUMBERING_LOST:
            await self._renumber(None, "%s", error.details())
        elif error.code() is grpc.StatusCode.INVALID_ARGUMENT and number.isdecimal():
            if await self._mending.mend(int(number), refused_field(error), info.reason, error.details() or ""):
                self._failures = 0
                return None
        elif info.reason == _FOREIGN and await self._mending.foreign(
            info.metadata.get("customer", ""), at_start=not self._got_through
        ):
            return None
        level = logging.INFO if error.code() is grpc.StatusCode.UNAVAILABLE else logging.WARNING
        _log.log(level, "stream ended: %s %s %s", error.code().name, info.reason, error.details())
        return retry_after(error)

    async def _renumber(self, committed: int | None, why: str, *values: object) -> None:
        _log.warning("the service has lost track of the numbering (" + why + "); beginning a new epoch", *values)
        lost = await self._on_disk(self._outbox.renumber, committed)
        if lost is not None:
            _log.error("the service has lost readings that it acknowledged, of %d to %d", lost.since, lost.until)
        self._on_new_epoch()

    async def _on_disk(self, work: Callable[..., _T], *values: Any) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._disk, work, *values)


async def _read(call: _Call, sender: asyncio.Task[None]) -> object:
    """What the service says next; what fails of the sender, which only does when the disk does."""
    reading = asyncio.ensure_future(call.read())
    try:
        await asyncio.wait({reading, sender}, return_when=asyncio.FIRST_COMPLETED)
        if not reading.done():
            sender.result()
        return await reading
    finally:
        reading.cancel()


def _frame(pending: Pending, now: int) -> gateway_pb2.PublishRequest.Frame:
    frame = _Frame.FromString(pending.payload)
    frame.number = pending.number
    if pending.span is not None:
        frame.historical = now - pending.span.until > _LATE
        if pending.lost:
            frame.loss.start_time.CopyFrom(to_timestamp(pending.span.since))
            frame.loss.end_time.CopyFrom(to_timestamp(pending.span.until))
    return frame


def _stream_may_be_over() -> contextlib.suppress:
    """A write on a stream that has ended fails with less than the status; the read says why it ended."""
    return contextlib.suppress(asyncio.InvalidStateError, grpc.aio.AioRpcError, grpc.aio.UsageError)
