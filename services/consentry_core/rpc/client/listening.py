"""Giving up an asyncio call on which nothing comes any more. See `consentry_core.pacing.silence`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from consentry_core.pacing.silence import LOOKS, Silence


class FellSilent(Exception):
    """Nothing came for too long."""


@asynccontextmanager
async def listening(call: Any, silence: Silence, limit: float) -> AsyncIterator[None]:
    """Cancel the call when it is silent for so many seconds: whoever waits for it gets FellSilent."""
    looking = asyncio.create_task(_look(call, silence, limit / LOOKS))
    try:
        yield
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if silence.noticed and task is not None and not task.cancelling():
            raise FellSilent(f"nothing came for {limit:g} s") from None
        raise
    finally:
        looking.cancel()


async def _look(call: Any, silence: Silence, interval: float) -> None:
    while True:
        await asyncio.sleep(interval)
        if silence.look():
            call.cancel()
            return
