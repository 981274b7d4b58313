"""History: a time range, read piece by piece, so that a long answer needs no more memory than a short one."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence, Set
from dataclasses import dataclass

from consentry_core import names
from consentry_devices import columns, steps
from consentry_devices.feed.log import Log
from consentry_devices.state import BEGINNING, Blocks, Position, State
from consentry_devices.steps import Aggregate, Folding
from consentry_rule import CustomerId, Instant

CHUNK_BYTES = 256 * 1024  # in one message: cost is per message, and nearly all of it is gone at this size
CHUNK_ROWS = 5_000  # likewise, of steps: at most some 52 bytes each
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
    """Where an answer in steps stands: everything of the devices before this one, and of this one before a time, is told."""

    device: str
    time: Instant


@dataclass(frozen=True, slots=True)
class StepsChunk:
    """Some serialised `DeviceSteps` of the answer. They begin at `place`: whoever cannot hand them out goes on from there."""

    tables: Sequence[bytes]
    place: Place


class History:
    """Reads the log by time."""

    def __init__(self, log: Log, state: State) -> None:
        self._log = log
        self._state = state

    def tail(self) -> int:
        """See `Log.tail`."""
        return self._log.tail()

    async def read(self, question: Question) -> AsyncGenerator[Chunk, None]:
        """Every reading: blocks by device, then by earliest time."""
        chunk: list[_Stored] = []
        size = 0
        for device, sensors in await self._wanted(question):
            after: Position | None = BEGINNING
            while after is not None:
                blocks = await self._blocks_after(question, device, question.start, question.end, after)
                after = blocks.end if blocks.there_may_be_more else None
                for payload, earliest, latest in zip(blocks.payloads, blocks.min_times, blocks.max_times, strict=True):
                    chunk.append(_Stored(payload, earliest, latest, sensors))
                    size += len(payload)
                    if size >= CHUNK_BYTES:
                        yield Chunk(chunk, question.start, question.end)
                        chunk, size = [], 0
        if chunk:
            yield Chunk(chunk, question.start, question.end)

    async def read_steps(
        self, question: Question, step: int, aggregates: Set[Aggregate], *, opened_from: Instant, begin: Place
    ) -> AsyncGenerator[StepsChunk, None]:
        """What the readings come to per step: tables by device, then by time, of nothing older than `opened_from`.

        Only what is from `begin` on.
        """
        tables: list[bytes] = []
        count, place = 0, begin
        for device, sensors in await self._wanted(question):
            if device < begin.device:
                continue
            start = max(question.start, opened_from, begin.time if device == begin.device else Instant(0))
            name = names.DEVICE.format(question.customer, device)
            async for folding, cells in self._folded(question, device, sensors, step, start):
                for some in steps.in_pieces(cells, CHUNK_ROWS):
                    if not tables:
                        place = Place(device, Instant(int(some.steps[0]) * step))
                    tables.append(steps.encode(name, folding.sensors.ids, some, step, aggregates))
                    count += len(some)
                    if count >= CHUNK_ROWS:
                        yield StepsChunk(tables, place)
                        tables, count = [], 0
        if tables:
            yield StepsChunk(tables, place)

    async def _folded(
        self, question: Question, device: str, sensors: Set[str] | None, step: int, start: Instant
    ) -> AsyncGenerator[tuple[Folding, steps.Cells], None]:
        """The settled cells of one device, in order."""
        while start < question.end:
            folding = Folding(step, start, question.end, sensors)
            after: Position | None = BEGINNING
            while after is not None:
                blocks = await self._blocks_after(question, device, start, folding.end, after)
                if len(blocks):
                    # Off the event loop, which meanwhile serves others; what is handed out is decided afterwards.
                    yield folding, await asyncio.to_thread(folding.take, blocks)
                after = blocks.end if blocks.there_may_be_more else None
            yield folding, folding.finish()
            start = folding.end

    async def _blocks_after(self, question: Question, device: str, start: Instant, end: Instant, after: Position) -> Blocks:
        return await self._state.history(
            question.customer, device, start, end, after=after, up_to=question.up_to, max_bytes=_READ_BYTES
        )

    async def _wanted(self, question: Question) -> Sequence[tuple[str, Set[str] | None]]:
        if question.wanted is not None:
            return sorted(question.wanted.items())
        return [(device, None) for device in await self._state.telemetry_devices(question.customer)]
