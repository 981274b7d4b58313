"""What `consentry` does without a service: help, settings, credentials, what is missing."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from consentry_cli import params
from consentry_cli.cli import cli, known_variables
from consentry_cli.examples import EXAMPLES
from consentry_core.values.clock import SystemClock
from consentry_rule import Instant
from support.cli import consentry

NOWHERE = "127.0.0.1:1"
CHEAP = {"CONSENTRY_ARGON2_MEMORY_KIB": "64", "CONSENTRY_ARGON2_TIME": "1", "CONSENTRY_ARGON2_PARALLELISM": "1"}


def _commands(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    yield path
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None, name
            yield from _commands(below, (*path, name))


COMMANDS = tuple(_commands(cli, ()))


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_has_help(path: tuple[str, ...]) -> None:
    result = consentry(*path, "--help")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("Usage: consentry")
    command: click.Command = cli
    for name in path:
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), name)
        assert found is not None
        command = found
    assert command.help
    for option in command.params:
        assert not isinstance(option, click.Option) or option.help, option.name


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_page_ends_with_examples_that_parse(path: tuple[str, ...]) -> None:
    page = consentry(*path, "--help").stdout
    lines = page.partition("Examples:\n")[2].splitlines()
    assert lines
    assert "\n".join(line.strip() for line in lines) == EXAMPLES[" ".join(path)]
    for line in lines:
        words = shlex.split(re.sub(r"^\s*(KEY=\$\((.*)\)|(.*))$", r"\2\3", line))
        assert words[0] == "consentry"
        command: click.Command = cli
        context = click.Context(cli, info_name="consentry")
        rest = words[1:]
        while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
            found = command.get_command(context, rest[0])
            assert found is not None, line
            command, context = found, click.Context(found, parent=context, info_name=rest[0])
            rest = rest[1:]
        if "--help" not in rest:
            command.make_context("", rest, parent=context, resilient_parsing=False, allow_interspersed_args=True)


def test_a_commands_own_options_come_before_those_of_all() -> None:
    page = consentry("keys", "delete", "--help").stdout
    own, _, others = page.partition("Options of every command that calls a service:")
    assert "--yes" in own
    assert "--tls-ca" not in own
    assert {"--tls-ca", "--output", "--profile", "--authority"} <= set(others.replace(",", " ").split())


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["kyes"], "keys"),
        (["keys", "lst"], "list"),
        (["gateway", "colect"], "collect"),
        (["keys", "list", "acme", "--al"], "--all"),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, list) else words,
)
def test_what_was_probably_meant_is_said(typed: list[str], meant: str) -> None:
    result = consentry(*typed)
    assert result.exit_code == 2
    assert meant in result.stderr


def test_the_commands_are_those_of_the_design() -> None:
    assert {path[0] for path in COMMANDS if path} == {
        "init", "authority", "devices", "gateway", "console", "demo", "migrate", "backup", "restored", "rotate-checksum-key",
        "audit",
        "partners", "customers", "connections", "consents", "keys", "tokens", "whoami", "coverage",
        "enforcement", "login", "logout", "profiles",
        "inventory", "alarms", "telemetry", "watch",
    }  # fmt: skip


# Settings


def test_an_unknown_variable_is_refused_by_name_and_never_by_value() -> None:
    result = consentry("whoami", env={"CONSENTRY_AUTHORTY": "secret-place"})
    assert result.exit_code == 2
    assert "CONSENTRY_AUTHORTY" in result.stderr
    assert "CONSENTRY_AUTHORITY" in result.stderr
    assert "secret-place" not in result.output


def test_links_that_kubernetes_sets_stop_no_start_and_are_told_once(tmp_path: Path) -> None:
    links = {"CONSENTRY_AUTHORITY_PORT": "tcp://10.96.0.17:7401", "CONSENTRY_AUTHORITY_SERVICE_HOST": "10.96.0.17"}
    started = consentry("init", env=links | {"CONSENTRY_DATA_DIR": str(tmp_path / "data")} | CHEAP)
    assert started.exit_code == 0, started.output
    assert started.stderr.count("CONSENTRY_AUTHORITY_PORT") == 1
    assert "enableServiceLinks" in started.stderr
    assert consentry("whoami", "--help", env=links).stderr == ""


def test_variables_of_every_command_are_known_to_every_command() -> None:
    known = known_variables(cli, click.Context(cli))
    assert {"CONSENTRY_TOKEN", "CONSENTRY_TOKEN_FILE", "CONSENTRY_AUTHORITY", "CONSENTRY_DEVICES"} <= known
    assert {"CONSENTRY_AUTHORITY_LISTEN", "CONSENTRY_DEVICES_LISTEN", "CONSENTRY_DATA_DIR", "CONSENTRY_GATEWAY_ID"} <= known
    result = consentry("keys", "--help", env=dict.fromkeys(known, "x"))
    assert result.exit_code == 0, result.output


# Credentials


def test_without_a_credential_it_says_where_to_put_one() -> None:
    result = consentry("whoami")
    assert result.exit_code == 2
    assert "CONSENTRY_TOKEN" in result.stderr
    assert "--token-file" in result.stderr


@pytest.mark.parametrize("path", [path for path in COMMANDS if path], ids=" ".join)
def test_no_command_takes_a_secret_as_an_argument(path: tuple[str, ...]) -> None:
    result = consentry(*path, "--token=ct_made_up")
    assert result.exit_code == 2
    assert "ct_made_up" not in result.output
    assert not {word for word in consentry(*path, "--help").stdout.split() if word in {"--token", "--secret", "--key"}}


def test_a_token_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    result = consentry("whoami", "--token-file", str(tmp_path / "none"))
    assert result.exit_code == 2
    assert str(tmp_path / "none") in result.stderr


@pytest.mark.parametrize("text", ["", "  \n", "two\nlines", "ümlaut", "\x1b[2J"])
def test_what_cannot_be_a_credential_is_not_sent(tmp_path: Path, text: str) -> None:
    file = tmp_path / "token"
    file.write_text(text, encoding="utf-8")
    result = consentry("whoami", "--token-file", str(file), "--authority", NOWHERE)
    assert result.exit_code == 2
    assert "credential" in result.stderr


def test_a_token_file_on_the_command_line_comes_before_the_variable(tmp_path: Path) -> None:
    missing = str(tmp_path / "none")
    named = consentry("whoami", "--token-file", missing, "--authority", NOWHERE, env={"CONSENTRY_TOKEN": "ct_x"})
    assert named.exit_code == 2
    by_variable = consentry("whoami", "--authority", NOWHERE, env={"CONSENTRY_TOKEN": "ct_x", "CONSENTRY_TOKEN_FILE": missing})
    assert by_variable.exit_code == 1


# Failures that are foreseeable


@pytest.mark.parametrize(
    ("arguments", "name", "option"),
    [
        (["whoami", "--authority", NOWHERE], "authority", "--authority"),
        (["coverage", "watch", "--authority", NOWHERE, "--patience", "0"], "authority", "--authority"),
        (["telemetry", "latest", "north", "--devices", NOWHERE], "device-data service", "--devices"),
        (["watch", "--devices", NOWHERE, "--patience", "0"], "device-data service", "--devices"),
    ],
    ids=["whoami", "coverage-watch", "latest", "watch"],
)
def test_a_service_that_is_down_is_named_with_what_to_check(arguments: list[str], name: str, option: str) -> None:
    result = consentry(*arguments, env={"CONSENTRY_TOKEN": "ct_secret"})
    assert result.exit_code == 1
    assert result.stdout == ""
    assert f"no answer from the {name} at {NOWHERE}" in result.stderr
    assert option in result.stderr
    assert "ct_secret" not in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["keys", "get", "K 1/"],
        ["keys", "get", "partners/Acme/keys/k1"],
        ["consents", "get", "north", "customers/acme"],
        ["connections", "list", "--of", "acme"],
        ["keys", "update", "partners/acme/keys/k1"],
        ["keys", "update", "partners/acme/keys/k1", "--expire-time", "+1d", "--no-expire-time"],
        ["keys", "update", "partners/acme/keys/k1", "--network", "192.0.2.0/24", "--from-everywhere"],
        ["keys", "update", "partners/acme/keys/k1", "--audience", "devices", "--for-every-service"],
        ["keys", "update", "partners/acme/keys/k1", "--label", "team=ops", "--no-label", "team"],
        ["keys", "update", "partners/acme/keys/k1", "--label", "team"],
        ["keys", "create", "acme", "--kind", "unspecified"],
        ["keys", "create", "acme", "--kind", "demo", "--expire-time", "someday"],
        ["keys", "create", "acme", "--kind", "demo", "--expire-time", "2030-13-01"],
        ["keys", "list", "acme", "-o", "yaml"],
        ["customers", "create", "north", "--expire-time", "+1d"],
        ["watch", "--live", "--after-cursor", "c"],
        ["watch", "--latest", "--sample", "1"],
        ["watch", "--sample", "0"],
        ["watch", "--device", "ups"],
        ["nonsense"],
    ],
    ids=" ".join,
)
def test_what_is_wrong_with_the_command_is_a_usage_error(arguments: list[str]) -> None:
    result = consentry(
        *arguments, env={"CONSENTRY_TOKEN": "ct_x", "CONSENTRY_AUTHORITY": NOWHERE, "CONSENTRY_DEVICES": NOWHERE}
    )
    assert result.exit_code == 2, result.output
    assert "Usage:" in result.stderr


@pytest.mark.parametrize(
    ("command", "module", "extra"),
    [
        (["init"], "argon2", "authority"),
        (["authority"], "sqlalchemy", "authority"),
        (["migrate"], "alembic", "authority"),
        (["audit", "verify"], "sqlalchemy", "authority"),
        (["devices"], "numpy", "devices"),
        (["gateway", "simulate"], "pysnmp", "gateway"),
        (["gateway", "collect"], "pysnmp", "gateway"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else value,
)
def test_a_missing_extra_is_named(tmp_path: Path, command: list[str], module: str, extra: str) -> None:
    result = _without([module], *command, "--data-dir", str(tmp_path))
    assert result.returncode == 2
    assert f"pip install 'consentry[{extra}]'" in result.stderr
    assert module in result.stderr
    assert "Traceback" not in result.stderr


def test_a_partners_install_has_help_for_everything_and_knows_every_setting() -> None:
    extras = [
        "argon2",
        "alembic",
        "numpy",
        "pysnmp",
        "snmpsim",
        "sqlalchemy",
        "grpc_health",
        "grpc_reflection",
        "grpc_channelz",
    ]
    result = _without(extras, "--help")
    assert result.returncode == 0, result.stderr
    assert "watch" in result.stdout
    result = _without(extras, "whoami", "--authority", NOWHERE, CONSENTRY_TOKEN="ct_x", CONSENTRY_DEVICES_LISTEN="x")
    assert result.returncode == 1
    assert "no answer from the authority" in result.stderr


def _without(modules: list[str], *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """The command where these modules are not installed."""
    program = f"import sys; sys.modules |= dict.fromkeys({modules!r}); from consentry_cli.__main__ import main; main()"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CONSENTRY_")} | settings
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], env=environment, capture_output=True, text=True, timeout=30, check=False
    )


# Times


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("+30d", 30 * 86_400), ("-90m", -5400), ("+10s", 10), ("-2h", -7200), ("+1w", 604_800), ("now", 0)],
)
def test_times_are_given_from_now(text: str, seconds: int) -> None:
    before = SystemClock().now()
    timestamp = params.TIME.convert(text, None, None)
    after = SystemClock().now()
    offset = seconds * 10**9
    assert Instant(before + offset) <= timestamp.ToNanoseconds() <= Instant(after + offset)


def test_times_are_given_as_rfc_3339_to_the_nanosecond() -> None:
    assert params.TIME.convert("2026-01-31T12:00:00.123456789Z", None, None).ToNanoseconds() == 1_769_860_800_123_456_789
    assert params.TIME.convert("2026-01-31T14:00:00+02:00", None, None).ToNanoseconds() == 1_769_860_800_000_000_000
