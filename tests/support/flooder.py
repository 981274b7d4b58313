"""A client process that sends credentials which do not count, as fast as it can, until its standard input ends.

    python -m support.flooder ORDER        the order is a file; see `Flood`

It prints `flooding` once it does and, when it ends, one line of JSON: how many calls by status, and calls a second.
"""

import asyncio
import json
import secrets
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import grpc

from consentry_authority.secrets.format import KEY_PREFIXES, ChecksumKeys
from consentry_core.rpc.client.channels import bearer, open_channel
from consentry_rule import KeyKind


@dataclass(frozen=True)
class Flood:
    """Whom to flood with what. `methods`: full names by address; `dead`: secrets of keys that were deleted."""

    methods: dict[str, str]
    dead: list[str]
    callers: int = 128
    channels: int = 4

    def write(self, file: Path) -> None:
        """As an order."""
        file.write_text(json.dumps(asdict(self)), encoding="utf-8")


async def flood(order: Flood) -> tuple[Counter[str], float]:
    """Statuses, and the seconds it took. Half of what is sent is forged, each time anew; the rest are secrets that are dead."""
    statuses: Counter[str] = Counter()
    over = asyncio.Event()
    asyncio.get_running_loop().run_in_executor(None, sys.stdin.read).add_done_callback(lambda _: over.set())
    strangers = ChecksumKeys([secrets.token_bytes(32)])
    prefix = KEY_PREFIXES[KeyKind.ALL_CUSTOMERS]

    async def caller(channel: grpc.aio.Channel, method: str, number: int) -> None:
        call: Any = channel.unary_unary(method)
        sent = number
        while not over.is_set():
            sent += 1
            secret = secrets.choice(order.dead) if sent % 2 else strangers.make(prefix, secrets.token_bytes).text
            try:
                await call(b"", metadata=bearer(secret), timeout=30)
                statuses["OK"] += 1
            except grpc.aio.AioRpcError as error:
                statuses[error.code().name] += 1

    began = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for address, method in order.methods.items():
            channels = [open_channel(address) for _ in range(order.channels)]
            for number in range(order.callers):
                group.create_task(caller(channels[number % len(channels)], method, number))
        print("flooding", flush=True)
    return statuses, time.monotonic() - began


def main() -> None:
    """Flood until told to stop."""
    order = Flood(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    statuses, took = asyncio.run(flood(order))
    print(json.dumps({"statuses": statuses, "per_second": sum(statuses.values()) / took}))


if __name__ == "__main__":
    main()
