"""Files with keys: one a line, in base64url, newest first; readable by their owner only."""

import os
from pathlib import Path

from consentry_core.encoding import RandomBytes, base64url, from_base64url
from consentry_core.settings import SettingError

KEY_BYTES = 32


def read_keys(file: Path, *, lost: str) -> list[bytes]:
    """The keys in a file. SettingError when there are none; `lost` says what it means that the file is not there."""
    try:
        lines = file.read_text().split()
    except FileNotFoundError:
        raise SettingError(f"there is no {file}; {lost}") from None
    except OSError as error:
        raise SettingError(f"{file} cannot be read ({error.strerror})") from error
    keys = [key for key in map(from_base64url, lines) if key is not None]
    if not keys or len(keys) < len(lines) or min(map(len, keys)) < KEY_BYTES:
        raise SettingError(f"{file} must hold one key a line, in base64url, each of at least {KEY_BYTES} bytes")
    return keys


def make_keys(file: Path, random: RandomBytes) -> None:
    """A file with a new key, unless there is one."""
    if not file.exists():
        write_private(file, base64url(random(KEY_BYTES)) + "\n")


def write_private(file: Path, text: str) -> None:
    """A new file that only its owner can read. Never overwrites."""
    try:
        with open(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as opened:  # noqa: PTH123 - the mode counts
            opened.write(text)
            opened.flush()
            os.fsync(opened.fileno())
    except OSError as error:
        raise SettingError(f"{file} cannot be written ({error.strerror})") from error
