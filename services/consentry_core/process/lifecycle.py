"""How a program begins and ends: a folder that can be written, and the signal to go down."""

import asyncio
import gc
import logging
import os
import signal
import tempfile
from pathlib import Path

from consentry_core.process.folders import check_folder
from consentry_core.process.settings import SettingError

_log = logging.getLogger(__name__)


def check_writable(folder: Path) -> None:
    """Make the folder, readable by its owner only.

    SettingError, saying what to do, when nothing can be written there, and when somebody else could (`check_folder`).
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        check_folder(folder)
        descriptor, probe = tempfile.mkstemp(prefix=".writable-", dir=folder)  # under a name that nobody has
        os.close(descriptor)
        Path(probe).unlink()
    except OSError as error:
        raise SettingError(
            f"the data folder {folder} cannot be written ({error.strerror}); choose another with --data-dir"
        ) from error


def settle() -> None:
    """What is in memory now stays for as long as the process does: the garbage collector need not look at it again.

    Called once a service serves. A full collection stopped everything for 85 to 120 ms with a thousand streams open, several
    times a minute, and a barrier with it. What a call leaves behind is freed without the collector (`OpenCall.close`), so that
    it may come by seldom.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(5_000, 20, 100)


async def ended(task: asyncio.Task[None]) -> None:
    """Cancel a task that runs for as long as the service does, and wait until it has ended."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


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
