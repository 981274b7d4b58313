"""One table of the agents file, read field by field; a mistake is named with its line and field."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from consentry_core.process.files import read_text
from consentry_core.process.settings import SettingError
from consentry_core.values import names
from consentry_core.values.errors import InvalidArgument
from consentry_core.values.taken_in import NAME_CHARACTERS
from consentry_core.values.text import plain


class Entry:
    """One table. Every field that is asked for is known; `finish` refuses the others."""

    def __init__(self, where: str, values: Mapping[str, Any], folder: Path) -> None:
        self._where = where
        self._values = values
        self._folder = folder
        self._asked: set[str] = set()

    def wrong(self, name: str, message: str) -> SettingError:
        """The error that says where. Values are not shown: a community is a secret."""
        return SettingError(f"{self._where}.{name}: {message}")

    def finish(self) -> None:
        """SettingError when there is a field that nobody has asked for."""
        for name in self._values:
            if name not in self._asked:
                raise self.wrong(name, f"unknown; known are {', '.join(sorted(self._asked))}")

    def has(self, name: str) -> bool:
        """Whether a field is given."""
        self._asked.add(name)
        return name in self._values

    def text(self, name: str, default: str | None = None) -> str:
        """A text; one that is not empty, if there is no default."""
        self._asked.add(name)
        value = self._values.get(name, default)
        if value is None:
            raise self.wrong(name, "must be given")
        if not isinstance(value, str) or (default is None and not value):
            raise self.wrong(name, "must be a text" if default is not None else "must be a text that is not empty")
        return value

    def shown(self, name: str, default: str) -> str:
        """A text that people see, as the service takes them: one line, and not too long."""
        try:
            return plain(self.text(name, default), name, NAME_CHARACTERS)
        except InvalidArgument as error:
            raise self.wrong(name, error.violations[0].description) from error

    def one_of(self, name: str, allowed: Mapping[str, Any], default: str | None = None) -> Any:
        """What a text stands for."""
        value = self.text(name, default)
        if value not in allowed:
            raise self.wrong(name, f"must be one of {', '.join(allowed)}")
        return allowed[value]

    def port(self, name: str, default: int) -> int:
        """A port's number."""
        self._asked.add(name)
        value = self._values.get(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 65536:
            raise self.wrong(name, "must be a number from 1 to 65535")
        return value

    def number(self, name: str, default: float | None, least: float, most: float) -> float | None:
        """A number within bounds; the default when it is left out."""
        self._asked.add(name)
        value = self._values.get(name, default)
        if value is None:
            return None
        if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value <= most:
            raise self.wrong(name, f"must be a number from {least:g} to {most:g}")
        return value

    def flag(self, name: str) -> bool:
        """Whether it is so; not, when it is left out."""
        self._asked.add(name)
        value = self._values.get(name, False)
        if not isinstance(value, bool):
            raise self.wrong(name, "must be true or false")
        return value

    def file(self, name: str) -> Path:
        """A file, named from where the agents file lies."""
        return self._folder / self.text(name)

    def secret(self, name: str) -> str:
        """A secret: in the file itself, or in a file (`name_file`) or environment variable (`name_env`) that it names."""
        given = [field for field in (name, f"{name}_file", f"{name}_env") if self.has(field)]
        if len(given) > 1:
            raise self.wrong(given[1], f"{given[0]} is given already")
        if not given or given[0] == name:
            return self.text(name)
        named = self.text(given[0])
        if given[0] == f"{name}_env":
            if not os.environ.get(named):
                raise self.wrong(given[0], f"there is no environment variable {named}")
            return os.environ[named]
        try:
            value = read_text(self._folder / named, "file").strip()
        except SettingError as error:
            raise self.wrong(given[0], error.message) from error
        if not value:
            raise self.wrong(given[0], f"the file {named} is empty")
        return value

    def resource_id(self, name: str, default: str | None = None) -> str:
        """An id of the service's."""
        try:
            return names.resource_id(self.text(name, default), name)
        except InvalidArgument as error:
            raise self.wrong(name, error.violations[0].description) from error
