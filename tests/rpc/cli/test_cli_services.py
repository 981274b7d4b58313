"""`consentry init`, `migrate`, and what the services' commands say when they cannot run."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from support.cli import consentry

CHEAP = {"CONSENTRY_ARGON2_MEMORY_KIB": "8", "CONSENTRY_ARGON2_TIME": "1"}


def test_the_first_start_says_where_the_operators_token_is_and_never_what_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    first = consentry("init", "--data-dir", str(folder), env=CHEAP)
    assert first.exit_code == 0, first.output
    token = (folder / "operator.token").read_text().strip()
    assert f"CONSENTRY_TOKEN_FILE={folder / 'operator.token'}" in first.stdout
    assert token not in first.output
    again = consentry("init", env=CHEAP | {"CONSENTRY_DATA_DIR": str(folder)})
    assert again.exit_code == 0, again.output
    assert (folder / "operator.token").read_text().strip() == token
    assert consentry("migrate", "--data-dir", str(folder)).exit_code == 0


@pytest.mark.parametrize("command", ["init", "authority", "migrate"])
def test_a_folder_that_cannot_be_used_is_named_with_what_to_do(tmp_path: Path, command: str) -> None:
    file = tmp_path / "file"
    file.touch()
    result = consentry(command, "--data-dir", str(file))
    assert result.exit_code == 2
    assert str(file) in result.stderr
    assert "--data-dir" in result.stderr


def test_a_service_that_was_not_initialised_says_how(tmp_path: Path) -> None:
    for command in ("authority", "migrate", "devices"):
        result = consentry(command, "--data-dir", str(tmp_path))
        assert result.exit_code == 2
        assert "consentry init" in result.stderr


def test_a_gateway_without_a_token_says_where_one_goes(tmp_path: Path) -> None:
    result = consentry("gateway", "simulate", "--data-dir", str(tmp_path))
    assert result.exit_code == 2
    assert "--token-file" in result.stderr


@pytest.mark.slow
def test_a_port_that_is_taken_is_named_without_a_traceback(tmp_path: Path) -> None:
    consentry("init", "--data-dir", str(tmp_path), env=CHEAP)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        for command in ("authority", "devices"):
            result = subprocess.run(
                [sys.executable, "-m", "consentry_cli", command, "--listen", address, "--data-dir", str(tmp_path)],
                capture_output=True,
                text=True,
                timeout=30,
                check=False,
            )
            assert result.returncode == 2, result.stderr
            assert f"cannot listen on {address}" in result.stderr
            assert "Traceback" not in result.stderr
