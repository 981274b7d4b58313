"""Being seen, for the time that a service runs: metrics, and HTTP for them, where an address is set for it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from consentry_core.observing.admin import Admin, Readiness
from consentry_core.observing.metrics import Metrics
from consentry_core.process.lifecycle import ended


@asynccontextmanager
async def seen(listen: str, metrics: Metrics | None, readiness: Callable[[], Readiness]) -> AsyncIterator[str]:
    """Serve them meanwhile, at this address; nothing when there are no `metrics`. SettingError when it cannot listen there."""
    if metrics is None:
        yield ""
        return
    admin = Admin(listen, readiness, metrics.exposition)
    watching = asyncio.create_task(metrics.watch_loop(), name="event-loop-delay")
    try:
        yield admin.address
    finally:
        await ended(watching)
        await admin.stop()
