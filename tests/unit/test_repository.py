"""What holds for the whole repository, each by exact equality."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool
from ruamel.yaml import YAML

import consentry_core.callers.policy
from consentry_authority.admission.policies import POLICIES as AUTHORITY_POLICIES
from consentry_devices.rpc.policies import POLICIES as DEVICES_POLICIES

TOP = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


def run(*command: str | Path) -> bytes:
    """What a tool of the environment prints; its errors are the test's."""
    done = subprocess.run(command, cwd=TOP, capture_output=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr).decode()
    return done.stdout


def tracked(*patterns: str) -> list[Path]:
    """The files that git has, or would have."""
    listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns).decode().splitlines()
    return [TOP / name for name in listed if (TOP / name).is_file()]


def descriptors_of_the_protos() -> dict[str, descriptor_pb2.FileDescriptorProto]:
    image = run(BIN / "buf", "build", "protos", "--as-file-descriptor-set", "--exclude-source-info", "-o", "-")
    files = descriptor_pb2.FileDescriptorSet.FromString(image).file
    return {file.name: file for file in files if file.name.startswith("consentry/")}


def test_generated_code_equals_the_protos() -> None:
    """By meaning, whichever generator wrote it; `make check` compares it to the letter, with the pinned one."""
    from_protos = descriptors_of_the_protos()
    generated = {str(path.relative_to(TOP / "gen")) for path in tracked("gen/*_pb2.py")}
    assert {name.replace(".proto", "_pb2.py") for name in from_protos} == generated
    for name, expected in from_protos.items():
        __import__(name.replace(".proto", "_pb2").replace("/", "."))
        actual = descriptor_pb2.FileDescriptorProto()
        descriptor_pool.Default().FindFileByName(name).CopyToProto(actual)
        for message in _messages(expected):
            for field in message.field:
                field.ClearField("json_name")  # the default, which only buf writes out
        assert actual == expected, name


def _messages(parent: Any) -> Any:
    for message in [*getattr(parent, "message_type", ()), *getattr(parent, "nested_type", ())]:
        yield message
        yield from _messages(message)


def test_every_rpc_has_a_policy_and_no_policy_is_without_its_rpc() -> None:
    rpcs = {
        f"/{file.package}.{service.name}/{method.name}"
        for file in descriptors_of_the_protos().values()
        for service in file.service
        for method in service.method
    }
    assert {*AUTHORITY_POLICIES, *DEVICES_POLICIES} == rpcs
    assert not set(AUTHORITY_POLICIES) & set(DEVICES_POLICIES)
    assert all(AUTHORITY_POLICIES.values())
    assert all(DEVICES_POLICIES.values())


def test_the_public_methods_are_these() -> None:
    """Whoever adds one has to say so here."""
    assert {
        "/grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health/List",
        "/grpc.health.v1.Health/Watch",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    } == consentry_core.callers.policy.PUBLIC_METHODS


def test_imports_run_one_way() -> None:
    run(BIN / "lint-imports", "--no-cache")


def test_the_top_level_is_the_agreed_one() -> None:
    agreed = {"pyproject.toml", "README.md", "protos", "services", "gen", "tests", "Makefile", "docker-compose.yml"}
    found = {path.relative_to(TOP).parts[0] for path in tracked()}
    assert {name for name in found if not name.startswith(".")} == agreed | {"LICENSE", "CHANGELOG.md"}


def test_versions_are_pinned_without_addresses() -> None:
    for name in ("services/constraints.txt", "protos/generator.txt"):
        lines = [line for line in (TOP / name).read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
        assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+]+", line) for line in lines), name


def test_no_machine_path_is_committed() -> None:
    """Nor a home folder, nor an index of packages."""
    suspicious = re.compile(
        r"/(?:root|home|work|Users)/\w|(?<!no-emit-)index-url|pypi\.org|://[\w.-]+\.(?:org|com|net|io)/simple"
    )
    for path in tracked():
        if path.suffix in {".py", ".toml", ".txt", ".md", ".yml", ".yaml", ".proto", ""} and path != Path(__file__):
            found = suspicious.findall(path.read_text(encoding="utf-8"))
            assert not found, f"{path.relative_to(TOP)}: {found}"


def test_the_compose_file_is_one_and_runs_commands_that_there_are() -> None:
    """No engine may be at hand: its form is checked against the specification's schema, its commands against the CLI."""
    run(BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml")
    compose = YAML(typ="safe").load(TOP / "docker-compose.yml")
    assert {"authority", "devices", "gateway", "recorded-devices"} <= compose["services"].keys()
    for service in compose["services"].values():
        commands = [service["command"]]
        if "entrypoint" in service:  # a script
            assert service["entrypoint"] == ["sh", "-ec"]
            commands = [line.split()[1:] for line in service["command"][0].splitlines() if line.startswith("consentry ")]
            assert commands
        for command in commands:
            run(BIN / "consentry", *(word for word in command if not word.startswith("--")), "--help")


def test_links_in_documents_lead_somewhere() -> None:
    wrong = []
    for document in tracked("*.md"):
        text = document.read_text(encoding="utf-8")
        named = re.findall(r"\]\(([^)#\s]+)", text)
        files = [document.parent / link for link in named if not link.startswith("http")]
        files += [TOP / name for name in re.findall(r"`((?:services|tests)/[a-z_/.-]+\.(?:py|md))`", text)]
        wrong += [f"{document.relative_to(TOP)}: {file}" for file in files if not file.exists()]
    assert not wrong
