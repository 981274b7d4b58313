"""History: a time range, read piece by piece, so that a long answer needs no more memory than a short one."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from consentry_core.values import names
from consentry_devices.blocks import columns
from consentry_devices.domain.state import BEGINNING, Blocks, Position, State
from consentry_devices.history import steps
from consentry_devices.history.steps import Aggregate, Folding
from consentry_devices.log.entries import Log
from consentry_rule import CustomerId, Instant

CHUNK_BYTES = 256 * 1024  # in one message: cost is per message, and nearly all of it is gone at this size
CHUNK_ROWS = 5_000  # likewise, of steps: at most some 52 bytes each, and their sensors' ids
_DEVICES_AT_ONCE = 500
_READ_BYTES = 512 * 1024  # at a time: what is made of it stays in the processor's cache

SensorsByDevice = Mapping[str, Set[str] | None]
"""The sensors that are asked for, by device; None for all of a device's."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: readings in [start, end) of what is wanted (None: everything that the inventory has).

    `up_to`: of the log's entries up to this one, so that an answer holds what was committed when it began.
    """

    customer: CustomerId
    wanted: SensorsByDevice | None
    start: Instant
    end: Instant
    up_to: int
    damaged: set[str] = field(default_factory=set)
    """The devices of which something was damaged, as far as they have been read."""

    @property
    def beginning(self) -> "Place":
        """Where its answer begins."""
        return Place("", self.start)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some blocks of the answer, as they are stored."""

    blocks: Sequence["_Stored"]
    start: Instant
    end: Instant

    def trimmed(self, opened_from: Instant) -> list[bytes]:
        """The blocks without what was not asked for or is older than `opened_from`. One that is wholly inside is untouched."""
        start = max(self.start, opened_from)
        cut = (block.trimmed(start, self.end) for block in self.blocks)
        return [block for block in cut if block is not None]


@dataclass(frozen=True, slots=True)
class _Stored:
    payload: bytes
    min_time: int
    max_time: int
    sensors: Set[str] | None

    def trimmed(self, start: Instant, end: Instant) -> bytes | None:
        if self.sensors is None and start <= self.min_time and self.max_time < end:
            return self.payload
        return columns.trim(self.payload, start=start, end=end, sensors=self.sensors)


@dataclass(frozen=True, slots=True)
class Place:
    """Where an answer in steps stands.

    Everything of the devices before this one is told, and of this one before a time; of the step that begins then, the
    sensors up to this one, if it is named.
    """

    device: str
    time: Instant
    sensor: str = ""


@dataclass(frozen=True, slots=True)
class StepsChunk:
    """Some serialised `DeviceSteps` of the answer: those after `place`. `held`: about how many bytes are kept for going on.

    Whoever cannot hand them out, or must not keep so much, goes on from `place`, or from where the next one begins (`end`).
    """

    tables: Sequence[bytes]
    place: Place
    end: Place
    held: int


Work = Callable[[Callable[[], Any]], Awaitable[Any]]
"""Does something that takes long off the event loop."""


class History:
    """Reads the log by time."""

    def __init__(self, log: Log, state: State, work: Work = asyncio.to_thread) -> None:
        self._log = log
        self._state = state
        self._work = work

    def tail(self) -> int:
        """See `Log.tail`."""
        return self._log.tail()

    async def read(self, question: Question) -> AsyncGenerator[Chunk, None]:
        """Every reading: blocks by device, then by earliest time. Between two chunks nothing is held but where it stands."""
        chunk: list[_Stored] = []
        size = 0
        async for device, sensors in self._wanted(question, ""):
            after: Position | None = BEGINNING
            while after is not None:
                blocks = await self._blocks_after(
                    question, device, question.start, question.end, after, max_bytes=CHUNK_BYTES - size
                )
                after = blocks.end if blocks.there_may_be_more else None
                for payload, earliest, latest in zip(blocks.payloads, blocks.min_times, blocks.max_times, strict=True):
                    chunk.append(_Stored(payload, earliest, latest, sensors))
                    size += len(payload)
                del blocks
                if size >= CHUNK_BYTES:
                    full, chunk, size = chunk, [], 0
                    yield Chunk(full, question.start, question.end)
                    del full
        if chunk:
            yield Chunk(chunk, question.start, question.end)

    async def read_steps(
        self, question: Question, step: int, aggregates: Set[Aggregate], *, opened_from: Instant, begin: Place
    ) -> AsyncGenerator[StepsChunk, None]:
        """What the readings come to per step: tables by device, then by time, of nothing older than `opened_from`.

        Only what is from `begin` on.
        """
        tables: list[bytes] = []
        count, place, end = 0, begin, begin
        async for device, sensors in self._wanted(question, begin.device):
            came_back = device == begin.device
            start = max(question.start, opened_from, begin.time if came_back else Instant(0))
            after = (begin.time // step, begin.sensor) if came_back else (0, "")
            name = names.DEVICE.format(question.customer, device)
            async for folding, settled in self._folded(question, device, sensors, step, start, after):
                for first in range(0, len(settled), CHUNK_ROWS):
                    some = settled.at(slice(first, first + CHUNK_ROWS))
                    tables.append(await self._work(partial(steps.encode, name, folding.sensors.ids, some, step, aggregates)))
                    count += len(some)
                    end = Place(device, Instant(int(some.steps[-1]) * step), folding.sensors.ids[int(some.sensors[-1])])
                    if count >= CHUNK_ROWS:
                        held = (len(settled) - first + folding.held) * steps.CELL_BYTES
                        full, tables, count = tables, [], 0
                        yield StepsChunk(full, place, end, held)
                        place = end
                        del full
        if tables:
            yield StepsChunk(tables, place, end, 0)

    async def _folded(  # noqa: PLR0917 - one of two halves
        self, question: Question, device: str, sensors: Set[str] | None, step: int, start: Instant, after: tuple[int, str]
    ) -> AsyncGenerator[tuple[Folding, steps.Cells], None]:
        """The settled cells of one device, in order. What is long is done off the event loop, which meanwhile serves others."""
        while start < question.end:
            folding = Folding(step, start, question.end, sensors)
            position: Position | None = BEGINNING
            while position is not None:
                blocks = await self._blocks_after(question, device, start, folding.end, position, max_bytes=_READ_BYTES)
                position = blocks.end if blocks.there_may_be_more else None
                taken = partial(_taken, folding, blocks, after) if len(blocks) else None
                del blocks
                if taken is not None:
                    cells = await self._work(taken)
                    del taken
                    yield folding, cells
                    del cells
            yield folding, await self._work(lambda: steps.in_order(folding.finish(), folding.sensors.ids, after=after))  # noqa: B023 - awaited here
            start = folding.end

    async def _blocks_after(
        self, question: Question, device: str, start: Instant, end: Instant, after: Position, *, max_bytes: int
    ) -> Blocks:
        blocks = await self._state.history(
            question.customer, device, start, end, after=after, up_to=question.up_to, max_bytes=max_bytes
        )
        if blocks.damaged:
            question.damaged.add(device)
        return blocks

    async def _wanted(self, question: Question, begin: str) -> AsyncGenerator[tuple[str, Set[str] | None], None]:
        """The devices from one on, with their sensors."""
        if question.wanted is not None:
            for device in sorted(question.wanted):
                if device >= begin:
                    yield device, question.wanted[device]
            return
        devices: Sequence[str] = [begin] if begin else []
        after = begin
        while True:
            for device in devices:
                yield device, None
            devices = await self._state.telemetry_devices(question.customer, after=after, limit=_DEVICES_AT_ONCE)
            if not devices:
                return
            after = devices[-1]


def _taken(folding: Folding, blocks: Blocks, after: tuple[int, str]) -> steps.Cells:
    return steps.in_order(folding.take(blocks), folding.sensors.ids, after=after)
