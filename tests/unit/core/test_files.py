"""Files that a program is told to read, and what lies there instead."""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType

import pytest

from consentry_authority.secrets.key_file import read_keys
from consentry_cli.commands.audit import _head
from consentry_core.process.files import MOST_BYTES, LastUsable, read_credential
from consentry_core.process.settings import SettingError
from consentry_core.process.tls import PemFiles
from consentry_core.values.encoding import base64url
from consentry_devices.settings import DevicesSettings
from consentry_gateway.agents.file import read_site
from consentry_gateway.settings import SimulateSettings
from support.cli import consentry

SECRET = "ct_abcd0123456789ab_notreallyasecret"
SPOILT = MappingProxyType(
    {
        "UTF-16": (SECRET.encode("utf-16"), "is UTF-16"),
        "UTF-16 without a mark": (SECRET.encode("utf-16-le"), "zero bytes"),
        "a byte order mark": (SECRET.encode("utf-8-sig"), "byte order mark"),
        "a zero": (f"{SECRET}\0".encode(), "zero bytes"),
        "Latin-1": (f"{SECRET}ü".encode("latin-1"), "is not UTF-8"),
        "too much": (b"x" * (MOST_BYTES + 1), "too large"),
    }
)
READERS: dict[str, Callable[[Path], object]] = {
    "a token": read_credential,
    "the device-data service's token": lambda file: DevicesSettings(token_file=file).own_token(),
    "a gateway's token": lambda file: SimulateSettings(token_file=file).own_token(),
    "a key file": lambda file: read_keys(file, lost="", own=False),
    "a list of agents": read_site,
    "a certificate": lambda file: PemFiles(ca=file, certificate=None, key=None).read(),
    "an exported head": _head,
}


def spoil(file: Path, how: str) -> str:
    """Put something else there; what is said of it."""
    if how == "a directory":
        file.mkdir()
        return "is a directory"
    if how == "a pipe":
        os.mkfifo(file)
        return "pipe"
    if how == "nothing":
        return "No such file|there is no"
    content, said = SPOILT[how]
    file.write_bytes(content)
    return said


@pytest.mark.parametrize("how", [*SPOILT, "a directory", "a pipe", "nothing"])
@pytest.mark.parametrize("reader", READERS)
def test_every_reader_names_the_file_and_says_what_is_wrong_with_it(tmp_path: Path, reader: str, how: str) -> None:
    file = tmp_path / "it.txt"
    said = spoil(file, how)
    with pytest.raises(SettingError, match=said) as refused:
        READERS[reader](file)
    assert str(file) in refused.value.message
    assert SECRET not in refused.value.message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"), (" \n\n", "is empty"), (f"{SECRET}\n{SECRET}\n", "holds 2 lines"),
        (f"# mine\r\n{SECRET}", "holds 2 lines"), (f"Bearer {SECRET}", "holds something else"),
        ("tökén", "holds something else"), ("\x1b[2J", "holds something else"),
    ],
)  # fmt: skip
def test_a_credential_stands_alone_on_one_line(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "token"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(SettingError, match=said) as refused:
        read_credential(file)
    assert SECRET not in refused.value.message
    told = consentry("whoami", "--token-file", str(file), "--authority", "127.0.0.1:1")
    assert (told.exit_code, said in told.stderr, str(file) in told.stderr.replace("\n", "")) == (2, True, True)


def test_how_a_line_ends_does_not_matter(tmp_path: Path) -> None:
    file = tmp_path / "token"
    for end in ("", "\n", "\r\n", " \n\n"):
        file.write_bytes(f"{SECRET}{end}".encode())
        assert read_credential(file) == SECRET


def test_keys_may_end_their_lines_as_on_windows(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_bytes(b"".join(base64url(bytes([number] * 32)).encode() + b"\r\n" for number in range(2)))
    assert read_keys(file, lost="", own=False) == [bytes([number] * 32) for number in range(2)]


def test_a_running_program_goes_on_with_what_it_had_and_says_so_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "token"
    file.write_text("ct_first\n")
    kept = LastUsable(lambda: read_credential(file))
    with caplog.at_level(logging.ERROR):
        for content in (b"", b"", *(content for content, _ in SPOILT.values())):
            file.write_bytes(content)
            assert kept() == "ct_first"
        file.unlink()
        assert kept() == "ct_first"
    assert len(caplog.records) == 2 + len(SPOILT), "the same words in a row once"
    assert all(str(file) in record.getMessage() for record in caplog.records)
    file.write_text("ct_second\n")
    assert kept() == "ct_second"


def test_what_a_program_cannot_begin_with_it_does_not_begin_with(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="cannot read the token file"):
        LastUsable(lambda: read_credential(tmp_path / "none"))
