"""Files with keys: one a line, in base64url, newest first; readable by their owner only."""

import errno
import os
from pathlib import Path

from consentry_core.process.files import read_text
from consentry_core.process.settings import SettingError
from consentry_core.values.encoding import RandomBytes, base64url, from_base64url

KEY_BYTES = 32


def read_keys(file: Path, *, lost: str, own: bool) -> list[bytes]:
    """The keys in a file. SettingError when there are none; `lost` says what it means that the file is not there.

    `own`: see `read_bytes`.
    """
    if not os.path.lexists(file):
        raise SettingError(f"there is no {file}; {lost}")
    lines = read_text(file, "key file", own=own).split()
    keys = [key for key in map(from_base64url, lines) if key is not None]
    if not keys or len(keys) < len(lines) or min(map(len, keys)) < KEY_BYTES:
        raise SettingError(f"{file} must hold one key a line, in base64url, each of at least {KEY_BYTES} bytes")
    return keys


def make_keys(file: Path, random: RandomBytes) -> None:
    """A file with a new key, unless there is one."""
    if not os.path.lexists(file):
        write_private(file, base64url(random(KEY_BYTES)) + "\n")


def write_private(file: Path, text: str) -> None:
    """A new file that only its owner can read. Never overwrites. There whole or not at all, whenever the process is killed."""
    put_in_place(prepare_private(file, text), file)


def prepare_private(file: Path, text: str) -> Path:
    """What is to become a file, on the disk under a name of its own until `put_in_place`. One that was left there is gone."""
    new = pending_name(file)
    try:
        new.unlink(missing_ok=True)
        with open(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as opened:  # noqa: PTH123 - the mode counts
            opened.write(text)
            opened.flush()
            os.fsync(opened.fileno())
    except OSError as error:
        raise SettingError(f"{file} cannot be written ({error.strerror})") from error
    return new


def put_in_place(new: Path, file: Path) -> None:
    """Give a file that was prepared its name. SettingError when something has it; one process at a time does this."""
    try:
        if os.path.lexists(file):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        new.rename(file)
        sync_folder(file.parent)
    except OSError as error:
        new.unlink(missing_ok=True)
        raise SettingError(f"{file} cannot be written ({error.strerror})") from error


def pending_name(file: Path) -> Path:
    """Where a file is written before it has its name."""
    return file.with_name(f"{file.name}.new")


def sync_folder(folder: Path) -> None:
    """The names in a folder are on the disk when this returns."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
