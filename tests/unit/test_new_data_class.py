"""A build with one more data class: what was given before opens nothing of it, and what has to be written is named."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from consentry_authority.commands.consents.grant_consent import Grant, grant_consent
from consentry_devices.feed.cursor import Cursor, Cursors, Known, Place
from consentry_devices.feed.filter import Filter
from consentry_rule import CustomerId, DataClass, Instant, KeyKind
from support.stores import ACME, NORTH, open_store

_ROOT = Path(__file__).parents[2]
_NOT_COPIED = shutil.ignore_patterns("__pycache__", "simulator", "profiles")
_LAST = '    ALARMS = "alarms"\n'

_PROGRAM = """
import json, sys
from pathlib import Path
from consentry_devices.feed.cursor import Cursors
from consentry_devices.feed.filter import Filter
from consentry_core.protocol.follow_wire import from_response, to_response
from consentry_core.protocol.follow import Facts, Revision
from consentry_rule import Allow, DataClass, allowed, opened_classes
from support.stores import ACME, NORTH, open_store
from unit_numbers import Numbers

def read(text, filter_):
    return Cursors(bytes(32), Numbers(), "acme", filter_.text, former_text=filter_.former_text).read(text).place.seq

with open_store(Path(sys.argv[1])) as kept:
    standing = kept.ask(lambda tx: tx.facts.standing(ACME, NORTH))
    keys = [kept.ask(lambda tx, key=key: tx.facts.credential(f"partners/acme/keys/{key}")) for key in ("all", "listed")]
    now = kept.clock.now()
followed = from_response(to_response(Facts(Revision("e", 1), standings=(standing,)))).standings[0]
named, unnamed, former = sys.argv[2:5]
print(json.dumps({
    "classes": [each.value for each in DataClass],
    "opened": [sorted(each.value for each in opened_classes(one)) for one in (standing, followed)],
    "allowed": [
        sorted(each.value for each in DataClass if isinstance(allowed(key, one, each, None, now), Allow))
        for key in keys for one in (standing, followed)
    ],
    "resumed": [
        read(named, Filter(named_classes=frozenset({DataClass.ALARMS}))), read(unnamed, Filter()), read(former, Filter())
    ],
    "wanted": sorted(each.value for each in Filter().data_classes),
}))
"""

_NUMBERS = """
class Numbers:
    store_id = "store-1"
    def tail(self): return 2**63 - 1
    def run_of(self, seq): return "run-1"
"""


class _Numbers:
    store_id = "store-1"

    def tail(self) -> int:
        return 2**63 - 1

    def run_of(self, seq: int) -> str:
        return "run-1"


@pytest.fixture(scope="module")
def later(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources with another class in the rule, and nothing else."""
    folder = tmp_path_factory.mktemp("later")
    shutil.copytree(_ROOT / "services", folder / "services", ignore=_NOT_COPIED)
    facts = folder / "services/consentry_rule/facts.py"
    source = facts.read_text()
    assert _LAST in source
    facts.write_text(source.replace(_LAST, f'{_LAST}    DOCUMENTS = "documents"\n'))
    (folder / "unit_numbers.py").write_text(_NUMBERS)
    return folder


def _environment(later: Path) -> Mapping[str, str]:
    path = (later, later / "services", _ROOT / "gen", _ROOT / "tests")
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path)), "PYTHONDONTWRITEBYTECODE": "1"}


def _cursor(filter_text: str) -> str:
    return Cursors(bytes(32), _Numbers(), "acme", filter_text).make(Cursor(Place.at(7, Instant(3)), Known()))


def test_a_new_class_opens_nothing_by_itself_and_cursors_survive_it(later: Path, tmp_path: Path) -> None:
    """A consent that named no class, as a store and as a guard have it; keys of both kinds; readers of each filter."""
    with open_store(tmp_path) as kept:
        kept.partner(ACME)
        kept.customer(NORTH)
        kept.connect(ACME, NORTH)
        kept.do(lambda tx: grant_consent(tx, NORTH, ACME, Grant()))
        kept.key(ACME, "all", KeyKind.ALL_CUSTOMERS)
        kept.key(ACME, "listed", KeyKind.SPECIFIC_CUSTOMERS, frozenset({NORTH}))
    named = _cursor(Filter(named_classes=frozenset({DataClass.ALARMS})).text)
    cursors = [named, _cursor(Filter().text), _cursor(Filter().former_text)]
    ran = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(tmp_path), *cursors],
        env=_environment(later), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    said = json.loads(ran.stdout)
    before = sorted(data_class.value for data_class in DataClass)
    assert sorted(said["classes"]) == sorted([*before, "documents"]), "this is the later build"
    assert said["opened"] == [before] * 2
    assert said["allowed"] == [before] * 4
    assert said["resumed"] == [7, 7, 7]
    assert said["wanted"] == sorted(said["classes"]), "a reader that names none gets it once it is consented to"


def test_the_type_checker_names_every_match_that_forgets_it(later: Path) -> None:
    """Of the files that have one: each of these is a line to be written."""
    matches = [path for path in (later / "services").rglob("*.py") if "assert_never" in path.read_text()]
    rule = sorted((later / "services/consentry_rule").glob("*.py"))
    ran = subprocess.run(
        [
            sys.executable, "-m", "mypy", "--config-file", "", "--strict", "--explicit-package-bases",
            "--follow-imports", "skip", "--cache-dir", str(later / "cache"), *map(str, sorted({*matches, *rule})),
        ],
        env={**os.environ, "MYPYPATH": str(later / "services")}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    found = re.findall(r"services/(\S+?):\d+: error: Argument 1 to \"assert_never\" .*DataClass\.DOCUMENTS", ran.stdout)
    assert sorted(found) == [
        "consentry_devices/log/memory.py",
        "consentry_devices/rpc/watch/snapshot.py",
        "consentry_devices/storage/state.py",
    ], ran.stdout


def test_checks_name_every_table_that_forgets_it(later: Path) -> None:
    ran = subprocess.run(
        [
            sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--noconftest", "--import-mode=importlib",
            str(_ROOT / "tests/unit/core/test_data_classes.py"),
        ],
        env=_environment(later), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    failed = re.findall(r"^FAILED \S+::(\w+)", ran.stdout, re.MULTILINE)
    assert sorted(failed) == [
        "test_every_data_class_goes_over_the_wire",
        "test_every_data_class_has_its_place_in_a_snapshot",
        "test_something_in_the_log_is_of_every_data_class",
        "test_the_protos_name_every_data_class",
    ], ran.stdout


def test_a_cursor_of_other_named_classes_is_still_refused() -> None:
    """`Filter` tells them apart, and one that names all there are from one that names none."""
    filters = [
        Filter(customers=frozenset(map(CustomerId, customers)), named_classes=classes)
        for customers in ((), ("north",))
        for classes in (frozenset(), frozenset(DataClass), *(frozenset({data_class}) for data_class in DataClass))
    ]
    assert len({each.text for each in filters}) == len(filters)
