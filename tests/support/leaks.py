"""Looks for secrets where none belongs: in every file that a test leaves, every log line and every refusal, after every test.

A secret is recognised by its form, whoever made it and in whichever process. Those that were made in this process, and those in
files that are there to hold one, are also looked for by their random part alone: a secret without its beginning is as good.
"""

import logging
import re
from collections.abc import Iterable, Iterator, Set
from pathlib import Path
from typing import Any

from consentry_authority.secrets.format import ChecksumKeys, NewSecret
from consentry_core.rpc import errors
from consentry_core.rpc.server import refusing

_SECRET = re.compile(rb"c[kt]_(?:demo_|all_|spec_)?[0-9a-z]{16}_([0-9a-z]{52})_[0-9a-z]{20}")
_HOLDERS = frozenset({".token", ".orders"})
"""Files that are there to hold a secret: those that `init` writes, and what tests tell their processes."""


class _Lines(logging.Handler):
    """Log records as they were written, before the product's own handler blots anything out."""

    def __init__(self, leaks: "Leaks") -> None:
        super().__init__()
        self._leaks = leaks

    def emit(self, record: logging.LogRecord) -> None:
        """Look at one."""
        self._leaks.look_at(record.getMessage(), f"a line of {record.name}")


class Leaks:
    """What was found since the last `take`: places, never the secret."""

    def __init__(self) -> None:
        self._made: set[bytes] = set()
        self._found: list[str] = []
        self.lines = _Lines(self)

    def listen(self) -> None:
        """Hear every line that is logged. Said before every test: a service that one has started sets logging up anew."""
        if self.lines not in logging.getLogger().handlers:
            logging.getLogger().addHandler(self.lines)

    def made(self, secret: str) -> None:
        """A secret that exists from now on."""
        self._made |= _random_parts(secret.encode())

    def look_at(self, text: str, where: str) -> None:
        """A text that strangers or operators will see."""
        if _holds(text.encode(errors="replace"), self._made):
            self._found.append(where)

    def look_through(self, folder: Path) -> None:
        """Every file of a folder, as it is on disk: databases, their logs, what processes have printed."""
        files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
        holders = [path for path in files if path.suffix in _HOLDERS]
        known = self._made.union(*(_random_parts(path.read_bytes()) for path in holders))
        for path in set(files) - set(holders):
            if _holds(path.read_bytes(), known):
                self._found.append(str(path.relative_to(folder)))

    def take(self) -> list[str]:
        """What was found; from here on, what was made before is nothing special any more."""
        found, self._found = sorted(set(self._found)), []
        self._made.clear()
        return found


def _random_parts(content: bytes) -> Set[bytes]:
    return set(_SECRET.findall(content))


def _holds(content: bytes, made: Set[bytes]) -> bool:
    if _SECRET.search(content) is not None:
        return True
    return any(part in content for part in made)


def watching(patch: Any) -> Iterator[Leaks]:
    """Leaks that hear of every secret made in this process, every line logged, every refusal told. `patch` is a monkeypatch."""
    leaks = Leaks()
    make, told = ChecksumKeys.make, errors.told

    def making(self: ChecksumKeys, *arguments: Any) -> NewSecret:
        new = make(self, *arguments)
        leaks.made(new.text)
        return new

    def telling(failure: Any) -> Any:
        answer = told(failure)
        leaks.look_at(repr(answer), f"a refusal: {type(failure).__name__}")
        return answer

    patch.setattr(ChecksumKeys, "make", making)
    patch.setattr(refusing, "told", telling)
    yield leaks
    logging.getLogger().removeHandler(leaks.lines)


def assert_none(found: Iterable[str]) -> None:
    """Fail when anything was found."""
    places = list(found)
    assert not places, f"a secret is in {', '.join(places)}"
