"""SECURITY.md names tests for its claims: they are there."""

import re
from pathlib import Path

TOP = Path(__file__).parents[2]
SECURITY = TOP / ".github" / "SECURITY.md"


def test_the_tests_that_hold_each_claim_exist() -> None:
    named = re.findall(r"(tests/[\w/]+\.py)::(\w+)", SECURITY.read_text(encoding="utf-8"))
    assert len(named) > 30
    missing = [
        f"{file}::{test}"
        for file, test in named
        if not (TOP / file).exists()
        or re.search(rf"^(async )?def {test}\(", (TOP / file).read_text(encoding="utf-8"), re.MULTILINE) is None
    ]
    assert missing == []


def test_every_kind_of_attacker_is_there() -> None:
    titles = re.findall(r"^### (.*)$", SECURITY.read_text(encoding="utf-8"), re.MULTILINE)
    for attacker in ("database", "network", "one guard", "one key", "one gateway"):
        assert any(attacker in title for title in titles), attacker
