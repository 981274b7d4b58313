"""Attack until standard input ends: `python -m support.attackers NAME ORDER`.

Prints `attacking` when it begins and, at the end, one line of JSON: how often each answer came, and for how many seconds.
"""

import asyncio
import importlib
import json
import os
import sys
import time
from pathlib import Path

from support.attackers import Order


async def attack(name: str, order: Order) -> None:
    """Attack in that way."""
    way = importlib.import_module(f"support.attackers.{name}")
    over = asyncio.Event()
    asyncio.get_running_loop().run_in_executor(None, sys.stdin.read).add_done_callback(lambda _: over.set())
    print("attacking", flush=True)
    began = time.monotonic()
    answers = await way.attack(order, over)
    print(json.dumps({"answers": answers, "seconds": time.monotonic() - began}))


if __name__ == "__main__":
    os.nice(19)  # it stands for another machine
    asyncio.run(attack(sys.argv[1], Order.read(Path(sys.argv[2]))))
