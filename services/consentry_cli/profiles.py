"""Profiles: where the services are and with which credential, kept under a name, so that no shell needs variables for it.

`consentry login` writes them, into a file that only its owner can read: `profiles.toml` in $XDG_CONFIG_HOME/consentry (else
~/.config/consentry), or where CONSENTRY_PROFILES says. A command line comes before the environment, and both before a profile.
"""

import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from consentry_core.process.folders import check_files
from consentry_core.process.settings import SettingError

VARIABLE: Final = "CONSENTRY_PROFILES"
DEFAULT: Final = "default"


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """One of them; empty is what was not said."""

    authority: str = ""
    devices: str = ""
    tls_ca: str = ""
    tls_certificate: str = ""
    tls_key: str = ""
    plaintext: bool = False
    organization: str = ""
    """Of whom the credential is: for people who look into the file."""
    secret: str = field(default="", repr=False)


def place(environment: Mapping[str, str] = os.environ) -> Path:
    """Where the file is, or would be."""
    if named := environment.get(VARIABLE):
        return Path(named)
    home = environment.get("XDG_CONFIG_HOME")
    return (Path(home) if home else Path.home() / ".config") / "consentry" / "profiles.toml"


def read(file: Path) -> dict[str, Profile]:
    """All of them by name; none when there is no file. SettingError when it cannot be read, or others can."""
    if not file.exists():
        return {}
    check_files(file.parent, file.name)
    if file.stat().st_mode & 0o077:
        raise SettingError(f"{file} holds credentials and can be read by others: chmod 600 {file}")
    try:
        told = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingError(f"{file} cannot be read as profiles: {error}; mend it, or remove it and log in again") from error
    return {name: _profile(file, name, values) for name, values in told.items()}


def write(file: Path, profiles: Mapping[str, Profile]) -> None:
    """Keep these, and no others. The file is there as a whole or not at all, and nobody else's to read at any time."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = file.with_name(f"{file.name}.part")
    part.unlink(missing_ok=True)
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as out:
        for name, profile in profiles.items():
            out.write(f"[{json.dumps(name)}]\n")
            out.writelines(f"{key} = {json.dumps(value)}\n" for key, value in asdict(profile).items() if value)
            out.write("\n")
    part.replace(file)


def chosen(name: str | None, environment: Mapping[str, str] = os.environ) -> Profile:
    """The profile of this name. With none named: the one called `default` if there is one, else one that says nothing."""
    file = place(environment)
    found = read(file)
    if name is None:
        return found.get(DEFAULT, Profile())
    if name not in found:
        there = f"there are: {', '.join(sorted(found))}" if found else "there is none yet"
        raise SettingError(f"no profile {name!r} in {file}; {there}; `consentry login --profile {name}` makes it")
    return found[name]


def _profile(file: Path, name: str, values: Any) -> Profile:
    known = {each.name: type(each.default) for each in fields(Profile)}
    if not isinstance(values, dict):
        raise SettingError(f"{file}: {name} is no table of settings; mend it, or log in again")
    for key, value in values.items():
        if known.get(key) is not type(value):
            raise SettingError(f"{file}: {name}.{key} is nothing that a profile holds; it holds {', '.join(known)}")
    return Profile(**values)
