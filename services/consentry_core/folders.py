"""One process per data folder."""

import fcntl
import os
from pathlib import Path

from consentry_core.settings import SettingError


class FolderLock:
    """Held from construction to `release`, or to the end of the process however it ends. SettingError when another holds it.

    `holder` says what it is that holds it. Two authorities on one SQLite file would not hear of each other's changes; two
    device-data services would number the same log.
    """

    def __init__(self, folder: Path, name: str, holder: str) -> None:
        descriptor = os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            raise SettingError(
                f"another {holder} uses the data folder {folder}; stop it, or choose another with --data-dir"
            ) from error
        self._descriptor: int | None = descriptor

    def release(self) -> None:
        """Let another process have the folder. The file stays: removing it would let two processes lock two files."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:  # closing twice would close whatever has got the number since
            os.close(descriptor)
