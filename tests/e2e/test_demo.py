"""`make demo` and `make run`, as whole programs."""

import asyncio
import os
import re
import signal
import sys
from pathlib import Path

import pytest

from support.certificates import Certificates

BIN = Path(sys.executable).parent


def environment(folder: Path) -> dict[str, str]:
    """A temporary folder of the test's own, so that it can see what is left in it, and a mark on every process."""
    return {"PATH": f"{BIN}:{os.environ['PATH']}", "HOME": str(folder), "TMPDIR": str(folder), "DEMO_MARK": str(folder)}


def marked_processes(folder: Path) -> list[str]:
    """The commands of the processes that still run with the test's mark."""
    mark = f"DEMO_MARK={folder}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (process / "environ").read_bytes().split(b"\0"):
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue  # it is gone, or not ours to look at
    return found


def over_tls(folder: Path) -> list[str]:
    """The options by which everything goes over TLS."""
    certificates = Certificates(folder)
    certificate, key = certificates.loopback()
    return [f"--tls-ca={certificates.ca}", f"--tls-certificate={certificate}", f"--tls-key={key}"]


@pytest.mark.slow
async def test_the_demo_tells_its_story_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """In plaintext and over TLS, side by side: what takes its time in it is waiting."""
    plain, protected = tmp_path / "plain", tmp_path / "protected"
    plain.mkdir()
    protected.mkdir()
    await asyncio.gather(tells_its_story(plain), tells_its_story(protected, *over_tls(tmp_path / "tls")))


async def tells_its_story(folder: Path, *options: str) -> None:
    process = await asyncio.create_subprocess_exec(
        BIN / "consentry", "demo", *options,
        cwd=folder, env=environment(folder), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await asyncio.wait_for(process.communicate(), 170)
    told = output.decode()
    assert process.returncode == 0, told
    for line in (
        "covers demo",
        "covers north, south",
        "live from north's APC AP8932",
        "live from south's Eaton 93E",
        "customers/west enters",
        "the revocation answers ENFORCED",
        "customers/south leaves, CONSENT_REVOKED",
        "customers/west leaves, SUBSCRIPTION_EXPIRED",
        "UNAUTHENTICATED",
        "goes on after the old one's cursor",
        "All as told.",
    ):
        assert line in told, told
    assert not re.search(r"ck_\w+_\w{16}_", told), "no secret is shown"
    assert marked_processes(folder) == []
    assert os.listdir(folder) == []  # noqa: PTH208 - quick, and only here


@pytest.mark.slow
async def test_what_is_printed_to_try_works_as_pasted(tmp_path: Path) -> None:
    """`make run`: both services up, grpcurl lines that work, and an end at Ctrl-C. Again on the same data, over TLS."""
    folder = tmp_path / "data"
    for options in ([], over_tls(tmp_path / "tls")):
        process = await asyncio.create_subprocess_exec(
            BIN / "consentry", "demo", "--stay", "--data-dir", folder, "--free-ports", *options,
            cwd=tmp_path, env=environment(tmp_path), stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None
        lines: list[str] = []
        while not (lines and "FeedService/Watch" in lines[-1]):
            line = await asyncio.wait_for(process.stdout.readline(), 60)
            assert line, lines
            lines.append(line.decode().strip())
        export, *calls = [line for line in lines if line.startswith(("export", "grpcurl"))]
        assert len(calls) == 6
        for call in calls:
            await works(export, call, tmp_path)
        process.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(process.wait(), 30) == 0
        assert marked_processes(tmp_path) == []


async def works(export: str, call: str, folder: Path) -> None:
    """Paste a line; a watch is ended after it has shown something."""
    line = f"timeout 3 {call} || test $? = 124" if "Watch" in call else call
    shell = await asyncio.create_subprocess_exec(
        "bash", "-c", f"{export}; {line}",
        cwd=folder, env=environment(folder), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await asyncio.wait_for(shell.communicate(), 60)
    assert shell.returncode == 0, output.decode()
    assert output.strip(), call
    assert b"ERROR" not in output, output.decode()
