"""The catalogue of reasons: it holds what is raised, with its status, and clients are shown the same."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import grpc

import consentry_core
from consentry_core.rpc.errors import STATUS_OF
from consentry_core.values.reasons import ErrorReason
from consentry_rule import Reason

SERVICES = Path(consentry_core.__file__).parents[1]
TABLE = (SERVICES.parent / "protos/README.md").read_text(encoding="utf-8").partition("## Errors")[2]
STATUSES = {error.__name__: status.name for error, status in STATUS_OF.items()}
NOT_ASKED = {Reason.KEY_DELETED, Reason.KEY_EXPIRED}  # told as CREDENTIAL_INVALID and CREDENTIAL_EXPIRED


def _reasons_given() -> Iterator[tuple[str, str, ast.expr]]:
    """Where a call gives a reason: the place, what is called, and the reasons in it."""
    for path in SERVICES.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                for keyword in node.keywords:
                    if keyword.arg == "reason":
                        yield f"{path.relative_to(SERVICES)}:{node.lineno}", called, keyword.value


def test_every_reason_is_one_of_the_catalogue_and_comes_with_its_status() -> None:
    wrong = []
    for place, called, reasons in _reasons_given():
        for node in ast.walk(reasons):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                wrong.append(f"{place}: {node.value!r} is to be one of ErrorReason")
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "ErrorReason":
                status = ErrorReason[node.attr].status
                if status and called in STATUSES and STATUSES[called] != status:
                    wrong.append(f"{place}: {node.attr} comes with {STATUSES[called]}, where its clients expect {status}")
    assert not wrong


def test_every_reason_of_the_catalogue_is_given_somewhere() -> None:
    sources = "\n".join(path.read_text(encoding="utf-8") for path in SERVICES.rglob("*.py"))
    assert {reason.name for reason in ErrorReason} == set(re.findall(r"\bErrorReason\.([A-Z0-9_]+)", sources))
    assert all(reason.value == reason.name and reason.meaning for reason in ErrorReason)


def test_clients_are_shown_every_reason_with_its_status() -> None:
    shown = {}
    for status, reasons in re.findall(r"^\| `([A-Z_]+)` \|.*\| (.*) \|$", TABLE, re.MULTILINE):
        shown[status] = sorted(re.findall(r"`([A-Z0-9_]+)`", reasons))
    told: dict[str, list[str]] = {status.name: [] for status in STATUS_OF.values()}
    for reason in ErrorReason:
        if reason.status:
            told[reason.status].append(reason.value)
    told[grpc.StatusCode.PERMISSION_DENIED.name] += [reason.value for reason in Reason if reason not in NOT_ASKED]
    assert shown == {status: sorted(reasons) for status, reasons in told.items()}
