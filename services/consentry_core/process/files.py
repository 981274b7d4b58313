"""Small files that a program is told to read: tokens, keys, certificates, lists of agents. The one reader of all of them.

Whatever lies there instead is a SettingError that names the file and says what is wrong with it, and never what stands in it.
Editors and shells leave much behind that looks right: UTF-16 and byte order marks, a second line, nothing at all.
"""

import errno
import logging
import os
import stat
from collections.abc import Callable
from pathlib import Path

from consentry_core.process.folders import check_planted
from consentry_core.process.settings import SettingError

MOST_BYTES = 256 * 1024
_MARKS = ((b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16"), (b"\xef\xbb\xbf", "UTF-8 with a byte order mark"))
_KINDS = ((stat.S_ISDIR, "is a directory"), (stat.S_ISREG, ""))
_log = logging.getLogger(__name__)


def read_bytes(file: Path, what: str, *, most: int = MOST_BYTES, own: bool = False) -> bytes:
    """What stands in a file; `what` is what errors call it.

    `own`: it lies in our data folder, so it is no link, and nobody else has put it there or may write to it.
    """
    try:
        # Without waiting: a named pipe that nobody writes to would hold the program up for ever.
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (os.O_NOFOLLOW if own else 0))
    except OSError as error:
        if own and error.errno == errno.ELOOP:
            raise SettingError(f"the {what} {file} is a symbolic link, which could lead anywhere") from error
        raise _cannot(what, file, error) from error
    try:
        status = os.fstat(descriptor)
        kind = next((told for is_kind, told in _KINDS if is_kind(status.st_mode)), "is no file, but a pipe, socket or device")
        if kind:
            raise SettingError(f"the {what} {file} {kind}")
        if own:
            check_planted(file, status)
        with os.fdopen(descriptor, "rb", closefd=False) as opened:
            content = opened.read(most + 1)
    except OSError as error:
        raise _cannot(what, file, error) from error
    finally:
        os.close(descriptor)
    if len(content) > most:
        raise SettingError(f"the {what} {file} is too large: it has more than {most} bytes")
    return content


def read_text(file: Path, what: str, *, own: bool = False) -> str:
    """The text in a file: UTF-8 that begins with no byte order mark and holds no zero byte. Lines may end as on Windows."""
    content = read_bytes(file, what, own=own)
    wrong = ""
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            wrong = f"is {encoding}"
    if not wrong and b"\0" in content:
        wrong = "holds zero bytes, as UTF-16 does"
    if wrong:
        raise SettingError(f"the {what} {file} {wrong}; save it as plain UTF-8")
    try:
        return content.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise SettingError(f"the {what} {file} is not UTF-8 (byte {error.start + 1}); save it as plain UTF-8") from None


def read_credential(file: Path, *, own: bool = False) -> str:
    """The token or API key in a file, which holds nothing else."""
    try:
        text = read_text(file, "token file", own=own).strip()
    except SettingError as error:
        raise SettingError(f"{error.message}; another can be named with --token-file") from error
    lines = len(text.splitlines())
    wrong = ""
    if lines != 1:
        wrong = f"holds {lines} lines" if lines else "is empty"
    elif not (text.isascii() and text.isprintable() and " " not in text):
        wrong = "holds something else"
    if wrong:
        raise SettingError(f"the token file {file} {wrong}; it must hold one credential, a token or API key, alone on one line")
    return text


class Kept:
    """What was read last and could be used, read anew at every call. What cannot be used is told to the log, once."""

    def __init__(self, read: Callable[[], str]) -> None:
        self._read = read
        self._value = read()
        self._told = ""

    def __call__(self) -> str:
        """What stands there now; what stood there before when that cannot be used."""
        try:
            self._value, self._told = self._read(), ""
        except SettingError as error:
            if error.message != self._told:
                self._told = error.message
                _log.error("%s; what was read before goes on being used", error.message)
        return self._value


def _cannot(what: str, file: Path, error: OSError) -> SettingError:
    return SettingError(f"cannot read the {what} {file} ({error.strerror})")
