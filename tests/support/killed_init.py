"""`python -m support.killed_init FOLDER`: `init` in a folder of its own for each step, killed at that step, until one is done.

A step is a file that is opened, made, renamed, removed or put on the disk, and a statement of the database or its commit. Each
runs in a process of its own that ends without another word, as by `kill -9`. Prints how many steps there are.
"""

import os
import sys
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from consentry_authority.app import initialize
from support.authority import settings_of

_KILLED = 9
_FILES = frozenset({"open", "os.rename", "os.remove", "os.mkdir", "os.truncate", "sqlite3.connect"})
_EVERY = 40  # of the statements that make the tables: they are one transaction


class Countdown:
    """Ends the process at a step."""

    def __init__(self, steps: int, folder: Path) -> None:
        self._left = steps
        self._folder = str(folder)
        self._statements = 0

    def step(self) -> None:
        self._left -= 1
        if self._left == 0:
            os._exit(_KILLED)

    def audited(self, event: str, arguments: tuple[Any, ...]) -> None:
        """A hook for Python's own events."""
        if event in _FILES and arguments and self._folder in str(arguments[0]):
            self.step()

    def listen(self) -> None:
        """Count from now on."""
        sys.addaudithook(self.audited)
        fsync = os.fsync

        def synced(descriptor: int) -> None:
            self.step()
            fsync(descriptor)

        os.fsync = synced  # type: ignore[assignment] # numbers of files are all that is synced here
        sa.event.listen(sa.Engine, "before_cursor_execute", self._statement)
        sa.event.listen(sa.Engine, "commit", lambda _: self.step())

    def _statement(self, _connection: object, _cursor: object, statement: str, *_: object) -> None:
        self._statements += 1
        if statement.lstrip().upper().startswith(("INSERT", "UPDATE")) or self._statements % _EVERY == 0:
            self.step()


def main(top: Path) -> int:
    """How many steps there are."""
    number = 1
    while True:
        folder = top / f"{number:03}"
        child = os.fork()
        if child == 0:
            Countdown(number, folder).listen()
            initialize(settings_of(folder))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.waitstatus_to_exitcode(status) != _KILLED:
            return number - 1
        number += 1


if __name__ == "__main__":
    sys.stdout.write(str(main(Path(sys.argv[1]))))
