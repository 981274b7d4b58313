"""History: the blocks of a time range, read piece by piece, so that a long answer needs no more memory than a short one."""

from collections.abc import AsyncIterator, Mapping, Sequence, Set
from dataclasses import dataclass

from consentry_devices import columns
from consentry_devices.feed.log import Log
from consentry_devices.state import BEGINNING, Position, State
from consentry_rule import CustomerId, Instant

CHUNK_BYTES = 256 * 1024

SensorsByDevice = Mapping[str, Set[str] | None]
"""The sensors that are asked for, by device; None for all of a device's."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some blocks of the answer, as they are stored, with the sensors that are asked for of each."""

    blocks: Sequence[tuple[bytes, Set[str] | None]]
    start: Instant
    end: Instant

    def trimmed(self, opened_from: Instant) -> list[bytes]:
        """The blocks without what was not asked for or is older than `opened_from`. One that is wholly inside is untouched."""
        start = max(self.start, opened_from)
        cut = (columns.trim(block, start=start, end=self.end, sensors=sensors) for block, sensors in self.blocks)
        return [block for block in cut if block is not None]


class History:
    """Reads the log by time. An answer holds what was committed when it began."""

    def __init__(self, log: Log, state: State) -> None:
        self._log = log
        self._state = state

    async def read(
        self, customer: CustomerId, wanted: SensorsByDevice | None, start: Instant, end: Instant
    ) -> AsyncIterator[Chunk]:
        """What is stored of [start, end), of what is wanted (None: everything), by device, then by earliest time."""
        up_to = self._log.tail()
        if wanted is None:
            wanted = dict.fromkeys(await self._state.telemetry_devices(customer, up_to=up_to))
        blocks: list[tuple[bytes, Set[str] | None]] = []
        size = 0
        for device in sorted(wanted):
            after: Position | None = BEGINNING
            while after is not None:
                found = await self._state.history(customer, device, start, end, after=after, up_to=up_to, max_bytes=CHUNK_BYTES)
                there_may_be_more = sum(len(block.payload) for block in found) >= CHUNK_BYTES
                after = found[-1].position if there_may_be_more else None
                for block in found:
                    blocks.append((block.payload, wanted[device]))
                    size += len(block.payload)
                    if size >= CHUNK_BYTES:
                        yield Chunk(blocks, start, end)
                        blocks, size = [], 0
        if blocks:
            yield Chunk(blocks, start, end)
