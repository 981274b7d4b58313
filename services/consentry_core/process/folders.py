"""Data folders: one process each, and nobody else's hand in them.

Whoever can put a file into a data folder, or another folder in its place, is whoever it likes: it can plant a key, a token's
database, a link to somewhere else. So before anything in it is read or written:

1. The folder is ours or root's, and nobody else may write to it.
2. So is every folder above it, down to the root; where others may write (`/tmp`) they may not rename what is not theirs.
3. Files of ours in it are files, ours or root's, under one name only, and nobody else may write to them.

A group that has no member but us, as far as the machine's list of users says, is nobody else: the private group that many
systems give each user, and the group that Kubernetes gives a volume (`fsGroup`). Access control lists are not looked at.
"""

import contextlib
import errno
import fcntl
import functools
import grp
import os
import pwd
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from consentry_core.process.settings import SettingError

_TAKEN = frozenset({errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES})
_KINDS = (
    (stat.S_ISLNK, "a symbolic link, which could lead anywhere"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISCHR, "a device"),
)


class FolderLock:
    """Held from construction to `release`, or to the end of the process however it ends. SettingError when another holds it.

    `holder` says what it is that holds it. Two authorities on one SQLite file would not hear of each other's changes; two
    device-data services would number the same log.
    """

    def __init__(self, folder: Path, name: str, holder: str) -> None:
        file = folder / name
        try:
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise SettingError(f"the lock {file} cannot be opened ({error.strerror}); see who owns it, and {_OTHER}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            if error.errno in _TAKEN:
                raise SettingError(f"another {holder} uses the data folder {folder}; stop it, or {_OTHER}") from error
            raise SettingError(
                f"the file system of {folder} gives no locks ({error.strerror}), and without them two processes could write to "
                f"one database: mount it with locking (NFS: with a lock manager), or {_OTHER}"
            ) from error
        self._descriptor: int | None = descriptor

    def release(self) -> None:
        """Let another process have the folder. The file stays: removing it would let two processes lock two files."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:  # closing twice would close whatever has got the number since
            os.close(descriptor)


_OTHER = "choose another folder with --data-dir"


def check_folder(folder: Path) -> None:
    """Steps 1 and 2. SettingError, with what to do, for a folder that is not ours alone."""
    status = folder.stat()
    if not stat.S_ISDIR(status.st_mode):
        raise SettingError(f"the data folder {folder} is no folder; {_OTHER}")
    if not _trusted(status.st_uid):
        raise SettingError(
            f"the data folder {folder} belongs to {_user(status.st_uid)}, and this runs as {_user(os.geteuid())}: run it as "
            f"that user (docker run --user {status.st_uid}, runAsUser: {status.st_uid}), or, if nobody else can have put "
            f"anything there, take it over with `chown -R {os.geteuid()} {folder}`"
        )
    if _others_write(status):
        raise SettingError(
            f"the data folder {folder} can be written by others than its owner (mode {stat.S_IMODE(status.st_mode):04o}): look "
            f"what was put there, then run `chmod go-w {folder}`"
        )
    for above in _above(folder):
        place = above.lstat()
        if stat.S_ISLNK(place.st_mode):  # whoever could replace it can write where it is
            continue
        if not _trusted(place.st_uid) or (_others_write(place) and not place.st_mode & stat.S_ISVTX):
            raise SettingError(
                f"the folder {above}, above the data folder {folder}, belongs to {_user(place.st_uid)} and has mode "
                f"{stat.S_IMODE(place.st_mode):04o}: others could put another folder in the place of what is in it; take that "
                f"from them, or {_OTHER}"
            )


def check_files(folder: Path, *patterns: str) -> None:
    """Step 3, for what is there under these names. SettingError that names the first one that is not ours alone."""
    for pattern in patterns:
        for file in sorted(folder.glob(pattern)):
            with contextlib.suppress(FileNotFoundError):  # gone meanwhile, as another process's are
                check_planted(file, file.lstat())


def check_planted(file: Path, status: os.stat_result) -> None:
    """Step 3 for one file, or for a folder of ours within. SettingError when it is not ours alone."""
    kind = next((told for is_kind, told in _KINDS if is_kind(status.st_mode)), "")
    wrong = f"is {kind}" if kind else ""
    if not wrong and not _trusted(status.st_uid):
        wrong = f"belongs to {_user(status.st_uid)}"
    if not wrong and stat.S_ISREG(status.st_mode) and status.st_nlink > 1:
        wrong = f"has {status.st_nlink} names (hard links), so that it can be reached from elsewhere"
    if not wrong and _others_write(status):
        wrong = f"can be written by others than its owner (mode {stat.S_IMODE(status.st_mode):04o})"
    if wrong:
        raise SettingError(f"{file} {wrong}: it may have been planted; look at it, and move it away or make it yours alone")


def _above(folder: Path) -> Iterator[Path]:
    """Every folder above, by the name that was given and by where that leads."""
    absolute = folder.absolute()
    seen: set[Path] = set()
    for path in (absolute, folder.resolve()):
        for above in path.parents:
            if above not in seen:
                seen.add(above)
                yield above


def _trusted(owner: int) -> bool:
    return owner in {0, os.geteuid()}


def _others_write(status: os.stat_result) -> bool:
    mode = status.st_mode
    return bool(mode & stat.S_IWOTH) or (bool(mode & stat.S_IWGRP) and _has_others(status.st_gid, os.geteuid()))


@functools.lru_cache(maxsize=64)
def _has_others(group: int, user: int) -> bool:
    """Whether anybody but root and this user is in a group, as far as the machine's list says."""
    members: Iterable[str] = ()
    with contextlib.suppress(KeyError):
        members = grp.getgrgid(group).gr_mem
    ids = {one.pw_uid for one in pwd.getpwall() if one.pw_gid == group or one.pw_name in members}
    return bool(ids - {0, user})


def _user(number: int) -> str:
    try:
        return f"user {number} ({pwd.getpwuid(number).pw_name})"
    except KeyError:
        return f"user {number}"
