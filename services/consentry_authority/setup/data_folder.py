"""The authority's data folder: what of it is ours, and that nobody else has a hand in it."""

from pathlib import Path
from typing import Final

from consentry_core.process.folders import check_files
from consentry_core.process.lifecycle import check_writable

OWN: Final = ("authority.*", "*.lock", "*.key", "*.key.new", "*.token", "*.token.new")


def check_own(folder: Path) -> None:
    """Make the folder, if need be. SettingError when it, or a file of ours in it, is not ours alone: see `folders`."""
    check_writable(folder)
    check_files(folder, *OWN)
