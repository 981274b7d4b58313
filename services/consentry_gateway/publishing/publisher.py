"""One `Publish` stream, kept open: what is in the outbox goes out in order, what is acknowledged leaves it.

1. Say hello. The first acknowledgement says where to go on, which may be before or after what was sent last time.
2. Send what follows, as it comes. Acknowledgements come as the service commits.
3. When the stream ends, for whatever reason, open it again: after the time that the service asks for, or else after one that
   grows as long as nothing gets through, with jitter, so that a hundred gateways do not come back at once.
4. When nothing of what was sent is acknowledged for half a minute, the connection is as good as gone: open the stream again
   over another.

A frame that the service refuses for good (INVALID_ARGUMENT) is logged, emptied and sent under its number as a loss; see
`outbox`. PERMISSION_DENIED is no such refusal: with another token, or another customer in the settings, the frame is welcome.

What is sent more than a minute after it was measured is marked as historical, so that nobody takes it for news.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import grpc

from consentry.devices.v1 import gateway_pb2, gateway_pb2_grpc
from consentry_core.pacing.silence import Silence
from consentry_core.process.settings import SettingError
from consentry_core.protocol.times import to_timestamp
from consentry_core.rpc.client.channels import bearer
from consentry_core.rpc.client.listening import FellSilent, listening
from consentry_core.rpc.client.renewed import connection_of, leave
from consentry_core.rpc.errors import error_info, retry_after
from consentry_core.values.clock import SECOND, Clock
from consentry_gateway.outbox.outbox import Draft, Outbox, Pending

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
_Frame = gateway_pb2.PublishRequest.Frame
_Call = grpc.aio.StreamStreamCall[gateway_pb2.PublishRequest, gateway_pb2.PublishResponse]

_BATCH = 32
_LATE = 60 * SECOND
_SILENCE = 30.0
_LONGEST_SILENCE = 8 * _SILENCE  # a service that is only slow gets through some time
# The service and we do not mean the same by a number.
_NUMBERING_LOST = frozenset({"FRAME_OUT_OF_ORDER", "FRAME_CONFLICT"})


class Publisher:
    """Publishes an outbox. `token` is asked for at every connection, so that a replaced token is picked up.

    `on_refused` is told whom a refused frame was about, `on_new_epoch` that the service may know nothing of us.
    """

    def __init__(
        self,
        channel: grpc.aio.Channel,
        token: Callable[[], str],
        gateway: str,
        outbox: Outbox,
        *,
        clock: Clock,
        jitter: random.Random,
        on_refused: Callable[[str], None],
        on_new_epoch: Callable[[], None],
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
        self._jitter = jitter
        self._on_refused = on_refused
        self._on_new_epoch = on_new_epoch
        self._longest_wait = longest_wait
        self._failures = 0
        self._silence = self._patience = silence
        self._sent = 0
        self._news = asyncio.Event()
        self._progress = asyncio.Event()

    async def put(self, drafts: Sequence[Draft], remember: Mapping[str, str | None]) -> None:
        """Take frames over: they are on disk when this returns. OutboxFull when there is no room."""
        await self._on_disk(self._outbox.append, drafts, remember)
        self._news.set()

    async def acknowledged(self) -> None:
        """Wait until everything that was put is acknowledged."""
        while True:
            self._progress.clear()
            if not await self._on_disk(self._outbox.__len__):
                return
            await self._progress.wait()

    async def run(self) -> None:
        """Publish until cancelled."""
        while True:
            wait: float | None = None
            try:
                await self._stream()
                _log.info("the service ended the stream; opening it again")
            except grpc.aio.AioRpcError as error:
                wait = await self._failed(error)
            except FellSilent:
                _log.warning("nothing was acknowledged for %g s; connecting anew", self._patience)
                self._patience = min(2 * self._patience, max(self._silence, _LONGEST_SILENCE))
            except SettingError as error:
                _log.error("cannot publish: %s", error.message)
            await asyncio.sleep(self._wait(wait))

    def close(self) -> None:
        """Let what is under way on the disk finish, then close the outbox."""
        self._disk.shutdown()
        self._outbox.close()

    def _wait(self, asked: float | None) -> float:
        """Seconds until the next attempt."""
        growing = min(0.1 * 2.0**self._failures, self._longest_wait)
        self._failures = min(self._failures + 1, 30)
        return max(asked or 0.0, growing / 2) + self._jitter.uniform(0, growing / 2)

    async def _stream(self) -> None:
        connection = connection_of(self._publish)
        call, silence = self._publish(metadata=bearer(self._token())), Silence()
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
            while isinstance(response := await call.read(), gateway_pb2.PublishResponse):
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
        if number > first:  # that a stream opens is not yet progress: two gateways under one id would end each other's for ever
            self._failures, self._patience = 0, self._silence
        self._progress.set()

    async def _failed(self, error: grpc.aio.AioRpcError) -> float | None:
        """Do what a stream's status asks for; the seconds to wait, if it says."""
        info = error_info(error)
        number = info.metadata.get("frame_number", "")
        if info.reason in _NUMBERING_LOST:
            await self._renumber(None, "%s", error.details())
        elif error.code() is grpc.StatusCode.INVALID_ARGUMENT and number.isdecimal():
            about = await self._on_disk(self._outbox.empty, int(number))
            if about is not None:
                _log.error("frame=%s about=%r refused and dropped: %s", number, about, error.details())
                self._on_refused(about)
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
