"""A process that appends to a store as fast as it can, and prints the number of each frame that was committed. To be killed.

`python -m support.appending_process <data folder> [in-the-wal]`: with the second argument nothing of the write-ahead log gets
to the database's own file, so that cutting the one off anywhere is what a machine leaves behind whose last writes were lost.
"""

import asyncio
import secrets
import sys
from collections import deque
from dataclasses import replace
from pathlib import Path

import sqlalchemy as sa

from consentry_core.values.clock import SystemClock
from consentry_devices.domain.inventory import InventoryChange
from consentry_devices.storage.store import open_store
from support.device_frames import KNOWN, NOW, SECOND, PlainEncoder, device, frame, stream, telemetry

_AT_ONCE = 50


async def _append(folder: Path, *, in_the_wal: bool) -> None:
    store = open_store(folder, encoder=PlainEncoder(), clock=SystemClock(), random=secrets.token_bytes)
    if in_the_wal:
        no_checkpoint = "PRAGMA wal_autocheckpoint=0"
        sa.event.listen(store.database.engine, "checkout", lambda connection, *_: connection.execute(no_checkpoint))
    number = await store.log.last_number(stream())
    pending: deque[asyncio.Future[int]] = deque()
    while True:
        number += 1
        # Each tells of a device of its own, so that log and current state can be compared by counting.
        told = InventoryChange(NOW, (), (device(f"d{number:06}"),)) if number > 1 else KNOWN
        block = replace(telemetry(float(number), start=NOW + number * SECOND), payload=number.to_bytes(4, "big") * 5_000)
        pending.append(await store.log.submit(stream(), frame(number, block, inventory=told)))
        if len(pending) >= _AT_ONCE:
            print(await pending.popleft(), flush=True)


if __name__ == "__main__":
    asyncio.run(_append(Path(sys.argv[1]), in_the_wal=len(sys.argv) > 2))
