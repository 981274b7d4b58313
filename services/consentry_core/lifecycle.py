"""How a program begins and ends: a folder that can be written, and the signal to go down."""

import asyncio
import logging
import signal
from pathlib import Path

from consentry_core.settings import SettingError

_log = logging.getLogger(__name__)


def check_writable(folder: Path) -> None:
    """Make the folder, readable by its owner only; SettingError, saying what to do, when nothing can be written there."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise SettingError(
            f"the data folder {folder} cannot be written ({error.strerror}); choose another with --data-dir"
        ) from error


def signals() -> asyncio.Event:
    """Set once SIGTERM or SIGINT comes. To be called before anything is started that must be stopped in order."""
    signalled = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signalled.set)
    return signalled


async def until_signalled(signalled: asyncio.Event | None = None) -> None:
    """Wait for SIGTERM or SIGINT; for one that may have come already, if `signals()` of before is given."""
    await (signalled or signals()).wait()
    _log.info("going down")
