"""TelemetryService: what was measured. Nothing from before the consent opens."""

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any

from consentry.devices.v1 import telemetry_pb2 as pb
from consentry_core.clock import Clock
from consentry_core.encoding import RandomBytes
from consentry_core.paging import PageTokens
from consentry_devices.held import of_blocks
from consentry_devices.history import History, Place, Question
from consentry_devices.inventory import sensor_path
from consentry_devices.rpc.converters import to_reading
from consentry_devices.rpc.history_gaps import HistoryGaps, not_kept, opened
from consentry_devices.rpc.messages import join
from consentry_devices.rpc.reading import Page, hands_out, let_in
from consentry_devices.rpc.simulated import simulated
from consentry_devices.rpc.telemetry_question import (
    Steps,
    by_device,
    customer_of,
    devices_and_sensors,
    paths,
    simulation_of,
    steps_of,
    time_range,
)
from consentry_devices.state import State
from consentry_guard import GuardedCall
from consentry_rule import DataClass, Instant

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
        tokens: PageTokens,
        clock: Clock,
        random: RandomBytes,
    ) -> None:
        self._state = state
        self._history = history
        self._gaps = gaps
        self._tokens = tokens
        self._clock = clock
        self._random = random

    async def QueryLatest(self, request: pb.QueryLatestRequest, context: Any) -> pb.QueryLatestResponse:  # noqa: N802 - the proto's name
        """See the proto."""
        customer = customer_of(request.parent)
        devices, sensors = devices_and_sensors(customer, request)
        named = paths(sensors)
        call = await let_in(customer, DataClass.TELEMETRY)
        question = ("QueryLatest", request.parent, *sorted(devices), "", *sorted(named))
        page = Page.asked(call, self._tokens, request.page_size, request.page_token, *question)
        readings, token = await page.fill(
            lambda after, limit: self._state.latest(customer, devices, named, after=after, limit=limit),
            lambda reading: sensor_path(reading.device, reading.sensor),
            lambda reading: reading.time >= call.opened_from(customer),
        )
        hands_out(call, (customer, DataClass.TELEMETRY), (reading.device for reading in readings), readings=len(readings))
        return pb.QueryLatestResponse(readings=[to_reading(customer, reading) for reading in readings], next_page_token=token)

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
        answer = self._readings(call, question, opened_from) if steps is None else self._steps(question, steps, opened_from)
        if told := opened(gaps, opened_from()):
            call.next_write(accesses)
            yield join(_GAPS, told)
        async with contextlib.aclosing(answer) as messages:
            async for message in messages:
                call.next_write(accesses)
                yield message
        removed = not_kept(customer, max(kept_from, question.start), min(end, await self._gaps.kept_from(customer)))
        if told := opened(removed, opened_from()):
            call.next_write(accesses)
            yield join(_GAPS, told)

    async def SimulateTelemetry(  # noqa: N802 - the proto's name
        self, request: pb.SimulateTelemetryRequest, context: Any
    ) -> AsyncIterator[bytes]:
        """See the proto."""
        rate, sensor_count = simulation_of(request)
        # Nobody's data is in it, so all that its writes are checked for is a key that lives.
        async with contextlib.aclosing(simulated(rate, sensor_count, self._clock, self._random)) as messages:
            async for message in messages:
                yield message

    async def _readings(
        self, call: GuardedCall, question: Question, opened_from: Callable[[], Instant]
    ) -> AsyncGenerator[bytes, None]:
        async with contextlib.aclosing(self._history.read(question)) as chunks:
            async for chunk in chunks:
                # After the last `await`: what the consent opens now.
                telemetry = chunk.trimmed(opened_from())
                if telemetry:
                    call.hands_out(of_blocks(telemetry))
                    yield join(_TELEMETRY, telemetry)

    async def _steps(self, question: Question, asked: Steps, opened_from: Callable[[], Instant]) -> AsyncGenerator[bytes, None]:
        """Steps of what is open. When less is open than when they were folded, they are folded anew from there on."""
        begin: Place | None = question.beginning
        while begin is not None:
            low, again = opened_from(), None
            folded = self._history.read_steps(question, asked.step, asked.aggregates, opened_from=low, begin=begin)
            async with contextlib.aclosing(folded) as chunks:
                async for chunk in chunks:
                    if opened_from() > low:
                        again = chunk.place
                        break
                    yield join(_STEPS, chunk.tables)
            begin = again
