"""What the documents say is what happens: their commands are run as they stand, with a real grpcurl, against the real pair."""

import asyncio
import os
import re
import shutil
import sys
from pathlib import Path

import pytest
from google.protobuf import descriptor_pool

from consentry.authority.v1 import keys_pb2
from consentry_authority.admission.policies import POLICIES as AUTHORITY_POLICIES
from consentry_devices.rpc.policies import POLICIES as DEVICES_POLICIES
from support.pair import Pair, running_pair

TOP = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


def shell_blocks(document: str) -> list[str]:
    """The ```sh blocks of a document, in order."""
    return re.findall(r"^```sh\n(.*?)^```$", (TOP / document).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


async def run_script(script: str, pair: Pair, folder: Path, **environment: str) -> str:
    """Run a document's commands with bash, this pair's ports in place of the documented ones; returns what they print."""
    script = script.replace("127.0.0.1:7401", pair.authority.address).replace("127.0.0.1:7402", pair.devices.address)
    process = await asyncio.create_subprocess_exec(
        "bash", "-euo", "pipefail", "-c", script,
        cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        env={"PATH": f"{BIN}:{os.environ['PATH']}", "HOME": str(folder)} | environment,
    )  # fmt: skip
    output, _ = await asyncio.wait_for(process.communicate(), 120)
    text = output.decode()
    assert process.returncode == 0, text
    return text


@pytest.mark.slow
async def test_every_method_is_called_as_documented(tmp_path: Path) -> None:
    """The chapter on the API names every method of both services, and its lines work."""
    blocks = shell_blocks("protos/README.md")
    named = set(re.findall(r"\b(?:authority|devices)\.v1\.\w+/\w+", "\n".join(blocks)))
    methods = {path.removeprefix("/consentry.") for path in {*AUTHORITY_POLICIES, *DEVICES_POLICIES}}
    assert named == methods
    async with running_pair(tmp_path) as pair:
        shutil.copytree(tmp_path / "authority", tmp_path / ".consentry", ignore=shutil.ignore_patterns("*.db*"))
        output = await run_script("\n".join(blocks), pair, tmp_path)
    assert '"state": "STATE_ENFORCED"' in output
    assert '"state": "STATE_ACKNOWLEDGED"' in output
    assert '"plan": "PLAN_PAID"' in output
    assert '"value": 41.5' in output
    assert re.search(r'"times_unix_nano": \[\s*"\d+"', output), "64-bit numbers are strings"
    assert '"kind": "KIND_ACTIVATED"' in output
    assert '"covered": {' in output
    assert '"stamp_nano": "1"' in output
    assert "ERROR" not in output.replace("ERROR:\n  Code: DeadlineExceeded", "")


@pytest.mark.slow
async def test_the_readmes_grpcurl_lines_work(tmp_path: Path) -> None:
    """They are what `make run` prints, with the key in a variable."""
    lines = [line for block in shell_blocks("README.md") for line in block.splitlines() if line.startswith("grpcurl")]
    assert len(lines) >= 4
    async with running_pair(tmp_path) as pair:
        await pair.authority.partner("acme")
        key = await pair.authority.key("acme", keys_pb2.Key.KIND_DEMO)
        demo = await pair.gateway("demo", secret=pair.authority.gateway)
        await demo.publish(load=[41.5])
        for line in lines:
            ends = "Watch" not in line
            output = await run_script(line if ends else f"timeout 2 {line} || test $? = 124", pair, tmp_path, KEY=key.secret)
            assert "ERROR" not in output, output
            assert output, line
        assert key.secret not in "".join(lines)


def test_every_service_is_described() -> None:
    """Comments are the documentation, so the descriptors that reflection serves must be the protos'."""
    pool = descriptor_pool.Default()
    for path in {*AUTHORITY_POLICIES, *DEVICES_POLICIES}:
        service, _, method = path.removeprefix("/").rpartition("/")
        assert method in pool.FindServiceByName(service).methods_by_name


def test_the_readme_names_only_targets_that_there_are() -> None:
    makefile = (TOP / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    (benches,) = re.findall(r"^BENCHES := (.*)$", makefile, re.MULTILINE)
    targets |= {f"bench-{name}" for name in benches.split()}
    for document in ("README.md", "protos/README.md"):
        named = set(
            re.findall(r"`make ([a-z-]+)`|^make ([a-z-]+)$", (TOP / document).read_text(encoding="utf-8"), re.MULTILINE)
        )
        assert {name for pair in named for name in pair if name} <= targets


@pytest.mark.slow
async def test_the_command_lines_chapter_works(tmp_path: Path) -> None:
    async with running_pair(tmp_path) as pair:
        shutil.copytree(tmp_path / "authority", tmp_path / ".consentry", ignore=shutil.ignore_patterns("*.db*"))
        output = await run_script("\n".join(shell_blocks("services/consentry_cli/README.md")), pair, tmp_path)
    assert "kept as profile default" in output
    assert re.search(r"^role +operator$", output, re.MULTILINE)
    assert "forgot profile default" in output
