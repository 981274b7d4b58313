"""What pages say, by language: one file each in `texts/`. A second language is a file with the same names."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from consentry_core.values.text import shown

_FOLDER: Final = Path(__file__).parents[1] / "texts"
FIRST: Final = "en"


@dataclass(frozen=True)
class Texts:
    """The texts of one language."""

    language: str
    _texts: Mapping[str, str]

    def __call__(self, name: str, **values: object) -> str:
        """A text with its values in place. What came from outside is shown without what a browser or terminal would obey."""
        text = self._texts[name]
        return text.format(**{key: shown(str(value)) for key, value in values.items()}) if values else text

    def has(self, name: str) -> bool:
        """Whether there is such a text."""
        return name in self._texts


@cache
def languages() -> Mapping[str, Texts]:
    """All that there are, by their codes."""
    return {
        file.stem: Texts(file.stem, _flat(tomllib.loads(file.read_text(encoding="utf-8"))))
        for file in sorted(_FOLDER.glob("*.toml"))
    }


def chosen(accepted: str) -> Texts:
    """The first language that a browser accepts (`Accept-Language`) and that there is."""
    for wish in accepted.split(","):
        code = wish.partition(";")[0].strip().partition("-")[0].lower()
        if code in languages():
            return languages()[code]
    return languages()[FIRST]


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, value in tree.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat
