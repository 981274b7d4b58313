"""What appends have to wait for while retention removes as fast as it can.

One store, one frame after the other (10 blocks of 1,000 readings), each waited for until it is committed: rounds with nothing
to remove, and rounds in which a store that was filled before is being emptied, in the pieces that the service removes in.
"""

import asyncio
import secrets
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from bench.harness import Report, in_pairs, percentile, ratios, run
from consentry_core.values.clock import SystemClock
from consentry_devices.domain.frames import Frame
from consentry_devices.log.retention import Retention
from consentry_devices.storage.store import Store, open_store
from support.device_frames import PlainEncoder, frame, stream, telemetry

_ROUNDS = 5
_APPENDS = 150
_BLOCKS, _BLOCK_BYTES = 10, 20_000
_FILLED = 1_200  # frames, 240 MB


class _Appending:
    """A store that frames are appended to, one by one."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.removed_per_s: list[float] = []
        self._number = 0
        self._block = replace(telemetry(1.0), payload=secrets.token_bytes(_BLOCK_BYTES))

    def _frame(self) -> Frame:
        self._number += 1
        return frame(self._number, *[self._block] * _BLOCKS)

    async def fill(self) -> None:
        """Append much."""
        for answer in [await self.store.log.submit(stream(), self._frame()) for _ in range(_FILLED)]:
            await answer

    async def alone(self) -> float:
        """The 99th hundredth of the milliseconds that an append takes."""
        took = []
        for _ in range(_APPENDS):
            began = time.perf_counter()
            await (await self.store.log.submit(stream(), self._frame()))
            took.append((time.perf_counter() - began) * 1e3)
        return percentile(took, 0.99)

    async def beside_removal(self) -> float:
        """The same while everything that is there is being removed."""
        await self.fill()
        removing = asyncio.create_task(self._remove())
        took = await self.alone()
        await removing
        return took

    async def _remove(self) -> None:
        began = time.perf_counter()
        removed = await Retention(self.store.log, self.store.tidying, SystemClock(), age=2**62, size=1_000_000).enforce()
        self.removed_per_s.append(removed / (time.perf_counter() - began))


async def _measure(report: Report) -> None:
    with tempfile.TemporaryDirectory(prefix="consentry-bench-") as folder:
        store = open_store(Path(folder), encoder=PlainEncoder(), clock=SystemClock(), random=secrets.token_bytes)
        appending = _Appending(store)
        await appending.alone()
        pairs = await in_pairs(_ROUNDS, appending.alone, appending.beside_removal)
        await store.close()
    report.median(
        "append_p99_ms", [alone for alone, _ in pairs], f"ms until {_BLOCKS} blocks of {_BLOCK_BYTES:,} bytes are committed"
    )
    report.median("append_p99_ms_removing", [beside for _, beside in pairs], "the same while retention removes")
    report.median("over_alone", ratios(pairs), "removing over not")
    report.median(
        "removed_mb_per_s", [rate * _BLOCK_BYTES / 1e6 for rate in appending.removed_per_s], "MB removed a second meanwhile"
    )


if __name__ == "__main__":
    run("retention", _measure)
