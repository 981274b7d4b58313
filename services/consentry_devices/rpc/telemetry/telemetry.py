"""TelemetryService: what was measured. Nothing from before the consent opens."""

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any, TypeVar

from consentry.devices.v1 import telemetry_pb2 as pb
from consentry_core.pacing.lanes import LoopTurns, Pace, Places
from consentry_core.values.clock import Clock
from consentry_core.values.encoding import RandomBytes
from consentry_core.values.errors import ResourceExhausted
from consentry_devices.blocks.held import of_blocks
from consentry_devices.domain.inventory import sensor_path
from consentry_devices.domain.state import State
from consentry_devices.history.ranges import History, Place, Question
from consentry_devices.rpc.converters import to_reading
from consentry_devices.rpc.messages import join
from consentry_devices.rpc.reading import Pages, hands_out, let_in
from consentry_devices.rpc.shares import Share, Shares
from consentry_devices.rpc.telemetry.history_gaps import HistoryGaps, damaged, not_kept, opened
from consentry_devices.rpc.telemetry.question import (
    Steps,
    by_device,
    customer_of,
    devices_and_sensors,
    paths,
    simulation_of,
    steps_of,
    time_range,
)
from consentry_devices.rpc.telemetry.simulated import simulated
from consentry_guard import GuardedCall, guarded_call
from consentry_rule import DataClass, Instant

_C = TypeVar("_C")

_AT_WORK, _AT_WORK_PER_KEY = 4, 2  # questions about history that a piece is being made for
_QUESTIONS, _QUESTIONS_PER_KEY = 256, 64  # that are open
_BYTES, _BYTES_PER_KEY, _BYTES_AT_LEAST = 96 * 2**20, 24 * 2**20, 4 * 2**20  # of messages that they wait with
_CELLS, _CELLS_PER_KEY = 48 * 2**20, 12 * 2**20  # bytes of what goes on from one message to the next
_STREAMS, _STREAMS_PER_KEY = 100, 20  # of made-up readings
_RATE, _RATE_PER_KEY, _RATE_AT_LEAST = 2_000_000, 1_000_000, 10_000  # of them, a second

_TELEMETRY = pb.QueryHistoryResponse.TELEMETRY_FIELD_NUMBER
_STEPS = pb.QueryHistoryResponse.STEPS_FIELD_NUMBER
_GAPS = pb.QueryHistoryResponse.GAPS_FIELD_NUMBER


class TelemetryServicer:
    """See the proto. Registered by `messages.add_servicer`: history is answered with stored bytes."""

    def __init__(
        self,
        state: State,
        history: History,
        gaps: HistoryGaps,
        *,
        pages: Pages,
        turns: LoopTurns,
        clock: Clock,
        random: RandomBytes,
    ) -> None:
        self._state = state
        self._history = history
        self._gaps = gaps
        self._pages = pages
        self._turns = turns
        self._working = Places("history", in_all=_AT_WORK, per_lane=_AT_WORK_PER_KEY, waiting=_QUESTIONS_PER_KEY)
        self._questions = Shares(
            "questions about history", per_lane=_QUESTIONS_PER_KEY, in_all=_QUESTIONS, least=_AT_WORK_PER_KEY
        )  # fmt: skip
        self._messages = Shares("bytes of history", per_lane=_BYTES_PER_KEY, in_all=_BYTES, least=_BYTES_AT_LEAST)
        self._cells = Shares("bytes of steps", per_lane=_CELLS_PER_KEY, in_all=_CELLS, least=0)
        self._simulations = Shares("streams of made-up readings", per_lane=_STREAMS_PER_KEY, in_all=_STREAMS, least=2)
        self._rates = Shares("made-up readings a second", per_lane=_RATE_PER_KEY, in_all=_RATE, least=_RATE_AT_LEAST)
        self._clock = clock
        self._random = random

    async def QueryLatest(self, request: pb.QueryLatestRequest, context: Any) -> pb.QueryLatestResponse:  # noqa: N802 - the proto's name
        """See the proto."""
        customer = customer_of(request.parent)
        devices, sensors = devices_and_sensors(customer, request)
        named = paths(sensors)
        call = await let_in(customer, DataClass.TELEMETRY)
        question = ("QueryLatest", request.parent, *sorted(devices), "", *sorted(named))
        page = self._pages.asked(call, request.page_size, request.page_token, *question)
        readings, messages, token = await page.fill(
            lambda after, limit: self._state.latest(customer, devices, named, after=after, limit=limit),
            lambda reading: sensor_path(reading.device, reading.sensor),
            lambda reading: to_reading(customer, reading),
            lambda reading: reading.time >= call.opened_from(customer),
        )
        hands_out(call, (customer, DataClass.TELEMETRY), (reading.device for reading in readings), readings=len(readings))
        return pb.QueryLatestResponse(readings=messages, next_page_token=token)

    async def QueryHistory(self, request: pb.QueryHistoryRequest, context: Any) -> AsyncIterator[bytes]:  # noqa: N802 - the proto's name
        """See the proto."""
        customer = customer_of(request.parent)
        wanted = by_device(*devices_and_sensors(customer, request))
        call = await let_in(customer, DataClass.TELEMETRY)
        steps = steps_of(request)
        start, end = time_range(request, self._clock.now())
        up_to = self._history.tail()
        question = Question(customer, wanted, max(start, call.opened_from(customer)), end, up_to)
        accesses = frozenset({(customer, DataClass.TELEMETRY)})

        def opened_from() -> Instant:
            return call.opened_from(customer)

        kept_from = await self._gaps.kept_from(customer)
        lost = await self._gaps.lost(customer, question.start, end, up_to=up_to)
        gaps = [*not_kept(customer, question.start, min(end, kept_from)), *lost]
        if told := opened(gaps, opened_from()):
            call.next_write(accesses)
            yield join(_GAPS, told)
        del gaps, lost, told
        key = call.identity.credential
        with Share(self._questions, key) as asked, Share(self._messages, key) as held, Share(self._cells, key) as cells:
            asked.hold(1)
            if steps is None:
                answer = self._readings(call, question, opened_from)
            else:
                answer = self._steps(call, question, steps, opened_from, cells)
            async with contextlib.aclosing(answer) as messages:
                async for message in messages:
                    held.hold(len(message))
                    call.next_write(accesses)
                    yield message
        removed = damaged(customer, question.start, end) if question.damaged else []
        removed += not_kept(customer, max(kept_from, question.start), min(end, await self._gaps.kept_from(customer)))
        if told := opened(removed, opened_from()):
            call.next_write(accesses)
            yield join(_GAPS, told)

    async def SimulateTelemetry(  # noqa: N802 - the proto's name
        self, request: pb.SimulateTelemetryRequest, context: Any
    ) -> AsyncIterator[bytes]:
        """See the proto."""
        rate, sensor_count = simulation_of(request)
        key = guarded_call().identity.credential
        with Share(self._simulations, key) as streams, Share(self._rates, key) as rates:
            streams.hold(1)
            rates.hold(rate)
            pace = Pace(self._turns, key)
            # Nobody's data is in it, so all that its writes are checked for is a key that lives.
            async with contextlib.aclosing(simulated(rate, sensor_count, self._clock, self._random, pace)) as messages:
                async for message in messages:
                    yield message

    # While a client reads, or does not, a question holds one message and where it stands. What it needs beyond that for going
    # on it holds if the key has room for it, and else makes anew. A few are at work at the same time, keys in turn.

    async def _readings(
        self, call: GuardedCall, question: Question, opened_from: Callable[[], Instant]
    ) -> AsyncGenerator[bytes, None]:
        async with contextlib.aclosing(self._history.read(question)) as chunks:
            while (chunk := await self._next(call, chunks)) is not None:
                # After the last `await`: what the consent opens now.
                telemetry = chunk.trimmed(opened_from())
                if telemetry:
                    call.hands_out(of_blocks(telemetry))
                    message = join(_TELEMETRY, telemetry)
                    del chunk, telemetry
                    yield message
                    del message

    async def _steps(
        self, call: GuardedCall, question: Question, asked: Steps, opened_from: Callable[[], Instant], cells: Share
    ) -> AsyncGenerator[bytes, None]:
        """Steps of what is open. When less is open than when they were folded, they are folded anew from there on."""
        begin: Place | None = question.beginning
        while begin is not None:
            low, again = opened_from(), None
            folded = self._history.read_steps(question, asked.step, asked.aggregates, opened_from=low, begin=begin)
            async with contextlib.aclosing(folded) as chunks:
                while again is None and (chunk := await self._next(call, chunks)) is not None:
                    if opened_from() > low:
                        again = chunk.place
                        break
                    message = join(_STEPS, chunk.tables)
                    try:
                        cells.hold(chunk.held)
                    except ResourceExhausted:
                        await folded.aclose()
                        cells.hold(0)
                        again = chunk.end
                    del chunk
                    yield message
                    del message
            begin = again

    async def _next(self, call: GuardedCall, chunks: AsyncGenerator[_C, None]) -> _C | None:
        async with self._working.taken(call.identity.credential):
            return await anext(chunks, None)
