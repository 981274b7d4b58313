"""One process per data folder: two appenders would number the same log."""

import fcntl
import os
from pathlib import Path

from consentry_core.settings import SettingError


class FolderLock:
    """Held from construction to `release`, or to the end of the process however it ends. SettingError when another holds it."""

    def __init__(self, folder: Path, name: str = "devices.lock") -> None:
        descriptor = os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            raise SettingError(
                f"another device-data service uses the data folder {folder}; stop it, or choose another with --data-dir"
            ) from error
        self._descriptor: int | None = descriptor

    def release(self) -> None:
        """Let another process have the folder. The file stays: removing it would let two processes lock two files."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:  # a second close would close whatever has got the number since
            os.close(descriptor)
