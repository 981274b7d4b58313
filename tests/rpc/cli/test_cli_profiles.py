"""Profiles, from logging in to logging out, against a real pair."""

import json
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.cli import Shell
from support.pair import Pair, running_pair


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    async with running_pair(tmp_path) as pair:
        yield pair


async def test_who_has_logged_in_says_nothing_more(pair: Pair, tmp_path: Path) -> None:
    shell = Shell(pair, profiles=tmp_path / "config" / "profiles.token")
    await pair.authority.partner("acme")
    admin = await pair.authority.admin("partners/acme")
    where = ("--authority", pair.authority.address, "--devices", pair.devices.address)
    told = await shell.bare("login", *where, input=f"{admin}\n")
    assert told.exit_code == 0, told.output
    assert "partners/acme" in told.stdout
    assert admin not in told.output
    file = tmp_path / "config" / "profiles.token"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600

    key = await shell.bare("keys", "create", "acme", "--kind", "demo", "-q")
    assert key.exit_code == 0, key.output
    (tmp_path / "key.token").write_text(key.stdout, encoding="utf-8")
    kept = await shell.bare("login", "--profile", "key", *where, "--token-file", str(tmp_path / "key.token"))
    assert kept.exit_code == 0, kept.output
    covered = await shell.bare("coverage", "list", "--profile", "key", "-o", "jsonl")
    assert [json.loads(line)["name"] for line in covered.stdout.splitlines()] == ["customers/demo"]

    listed = (await shell.bare("profiles")).stdout
    assert {line.split()[0] for line in listed.splitlines()[1:]} == {"default", "key"}
    assert admin not in listed
    assert (await shell.bare("logout", "--profile", "key")).exit_code == 0
    gone = await shell.bare("coverage", "list", "--profile", "key")
    assert gone.exit_code == 2
    assert "there are: default" in gone.stderr


async def test_the_last_id_of_ones_own_key_is_enough(pair: Pair, tmp_path: Path) -> None:
    shell = Shell(pair)
    await pair.authority.partner("acme")
    admin = await pair.authority.admin("partners/acme")
    created = json.loads(await shell.output(admin, "keys", "create", "acme", "--kind", "demo", "--json"))
    name = created["key"]["name"]
    assert name in await shell.output(admin, "keys", "get", name.rpartition("/")[2])
    operator = await shell.run(pair.authority.operator, "keys", "get", name.rpartition("/")[2])
    assert operator.exit_code == 2
    assert "partners/{partner}/keys/{key}" in operator.stderr


async def test_what_does_not_count_is_not_kept(pair: Pair, tmp_path: Path) -> None:
    file = tmp_path / "profiles.token"
    shell = Shell(pair, profiles=file)
    refused = await shell.bare("login", "--authority", pair.authority.address, input="ct_made_up\n")
    assert refused.exit_code == 1
    assert "ct_made_up" not in refused.output
    assert not file.exists()


async def test_a_refusal_is_an_object_for_programs(pair: Pair) -> None:
    shell = Shell(pair)
    refused = await shell.run(pair.authority.operator, "customers", "get", "nobody", "--json")
    assert refused.exit_code == 1
    assert refused.stdout == ""
    error = json.loads(refused.stderr)["error"]
    assert error["status"] == "NOT_FOUND"
    assert "nobody" in error["message"] or error["reason"]


@pytest.mark.parametrize(
    ("text", "mode", "told"),
    [
        ("nonsense", 0o600, "cannot be read as profiles"),
        ('[default]\ntoken = "x"\n', 0o600, "nothing that a profile holds"),
        ('[default]\nplaintext = "yes"\n', 0o600, "default.plaintext"),
        ("[default]\n", 0o644, "chmod 600"),
    ],
)
async def test_a_file_that_cannot_be_used_is_named(pair: Pair, tmp_path: Path, text: str, mode: int, told: str) -> None:
    file = tmp_path / "profiles.token"
    file.write_text(text, encoding="utf-8")
    file.chmod(mode)
    result = await Shell(pair, profiles=file).bare("whoami")
    assert result.exit_code == 2
    assert str(file) in result.stderr
    assert told in result.stderr
