"""What is installed is what was pinned: the lock files hold all that the image needs, at the tested versions, with hashes."""

import re
import tomllib
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

TOP = Path(__file__).parents[2]
SERVICES = TOP / "services"
LOCKS = ("requirements.lock", "build.lock")


def pins(file: Path) -> Mapping[str, str]:
    """Versions by normal name."""
    found = re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", file.read_text(encoding="utf-8"), re.MULTILINE)
    return {canonicalize_name(name): pinned for name, pinned in found}


def _requirements(package: str) -> Iterable[str]:
    """Of ours as they are written down now, which may be newer than what was installed."""
    if package != "consentry":
        return requires(package) or ()
    project = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].items()
    return [*project["dependencies"], *(f'{each}; extra == "{extra}"' for extra, listed in extras for each in listed)]


def needed(package: str, extras: Iterable[str]) -> set[str]:
    """The normal names of all that an installed package needs here, with these extras; itself not among them."""
    found: set[str] = set()
    seen: set[tuple[str, str]] = set()
    todo = [(package, extra) for extra in ("", *extras)]
    while todo:
        name, extra = todo.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        for text in _requirements(name):
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                needs = canonicalize_name(requirement.name)
                found.add(needs)
                todo += [(needs, each) for each in ("", *requirement.extras)]
    return found - {package}


@pytest.mark.parametrize("lock", LOCKS)
def test_everything_that_is_locked_has_the_tested_version_and_hashes_and_no_address(lock: str) -> None:
    text = (SERVICES / lock).read_text(encoding="utf-8")
    assert "://" not in text
    locked, tested = pins(SERVICES / lock), pins(SERVICES / "constraints.txt")
    assert locked
    assert {name: tested.get(name) for name in locked} == dict(locked), "constraints.txt was changed: make lock"
    requirements = re.sub(r"\\\n", "", re.sub(r"(?m)^#.*\n", "", text)).strip().splitlines()
    assert len(requirements) == len(locked)
    for requirement in requirements:
        assert re.fullmatch(r"\S+==\S+( +--hash=sha256:[0-9a-f]{64})+", requirement), requirement.split()[0]


def test_the_image_s_lock_holds_all_that_it_needs_and_nothing_else() -> None:
    locked = set(pins(SERVICES / "requirements.lock"))
    assert locked == needed("consentry", ["demo", "oidc"]), "pyproject.toml was changed: make lock"


def test_all_that_tests_run_with_is_pinned_at_the_version_that_is_installed() -> None:
    tested = pins(SERVICES / "constraints.txt")
    for name in needed("consentry", ["dev"]):
        try:
            assert tested.get(name) == version(name), name
        except PackageNotFoundError:
            pytest.fail(f"{name} is needed and not installed: make setup")


def test_the_image_takes_nothing_in_without_its_hash() -> None:
    """Every `pip` in the Dockerfile either demands hashes, or asks nobody."""
    commands = re.findall(r"/bin/pip (?:install|wheel) .*", (SERVICES / "Dockerfile").read_text(encoding="utf-8"))
    assert len(commands) == 4
    for command in commands:
        assert "--no-deps" in command
        assert "--require-hashes" in command or "--no-index" in command
