"""Every command that calls a service, told hostile texts in every field that its answer has: nothing reaches the terminal raw.

A server that answers whatever it is asked stands in for one with old data: today's services would not have taken it.
"""

import ast
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click
import grpc
import pytest
from google.protobuf import any_pb2
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from consentry_cli import params
from consentry_cli.cli import cli
from support.calls import METHODS
from support.cli import consentry
from support.texts import is_plain

HOSTILE = "old\x1b[2J\x1b]0;title\x07\u202egnp\n2026-11-30 forged\r\u2028\x9b1m"
SERVICES = Path(__file__).parents[3] / "services"


class Stranger(grpc.GenericRpcHandler):
    """Answers every method: with hostile texts, or with a refusal made of them."""

    def __init__(self) -> None:
        self.refuses = False

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        method = METHODS[handler_call_details.method]

        def answer(_: bytes, context: grpc.ServicerContext) -> bytes:
            if self.refuses:
                context.abort_with_status(rpc_status.to_status(refusal(grpc.StatusCode.FAILED_PRECONDITION)))
            return next(answers(method)).SerializeToString()

        def stream(_: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
            for message in () if self.refuses else answers(method):
                yield message.SerializeToString()
            context.abort_with_status(rpc_status.to_status(refusal(grpc.StatusCode.PERMISSION_DENIED)))

        if method.server_streaming:
            return grpc.unary_stream_rpc_method_handler(stream)
        return grpc.unary_unary_rpc_method_handler(answer)


def refusal(code: grpc.StatusCode) -> status_pb2.Status:
    """A status as no service of ours makes it."""
    status = status_pb2.Status(code=code.value[0], message=HOSTILE)
    violation = error_details_pb2.PreconditionFailure.Violation(type=HOSTILE, subject=HOSTILE, description=HOSTILE)
    for detail in (
        error_details_pb2.ErrorInfo(reason="HOSTILE" + HOSTILE, domain="consentry", metadata={"customer": HOSTILE}),
        error_details_pb2.PreconditionFailure(violations=[violation]),
    ):
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status


def answers(method: MethodDescriptor) -> Iterator[Message]:
    """An answer with everything in it; of a stream, one with each kind of news."""
    kinds = [[field.name for field in oneof.fields] for oneof in method.output_type.oneofs if len(oneof.fields) > 1]
    for kind in kinds[0] if kinds else [""]:
        yield filled(GetMessageClass(method.output_type)(), kind)


def filled(message: Any, kind: str = "") -> Any:
    """The message with every field set, of a oneof the last one or `kind`."""
    for field in message.DESCRIPTOR.fields:
        if field.name == "next_page_token" or (kind and field.containing_oneof is not None and field.name != kind):
            continue
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            getattr(message, field.name)[HOSTILE] = HOSTILE
        elif field.message_type is not None:
            of = getattr(message, field.name)
            if field.message_type.full_name.startswith("google."):
                of.seconds = 1_000_000_000
            else:
                filled(of.add() if field.is_repeated else of)
        elif field.is_repeated:
            getattr(message, field.name).append(value(field))
        else:
            setattr(message, field.name, value(field))
    return message


def value(field: FieldDescriptor) -> Any:
    if field.type == FieldDescriptor.TYPE_STRING:
        return HOSTILE
    if field.type == FieldDescriptor.TYPE_BYTES:
        return b"x"
    return field.enum_type.values[-1].number if field.enum_type is not None else 0


@pytest.fixture(scope="module")
def stranger() -> Iterator[tuple[Stranger, str]]:
    server, handler = grpc.server(ThreadPoolExecutor(4)), Stranger()
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield handler, f"127.0.0.1:{port}"
    server.stop(None)


MORE: Mapping[tuple[str, ...], tuple[str, ...]] = {("keys", "update"): ("--display-name", "x")}
"""What a command needs beside what it requires."""


def calling(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The arguments of every command that calls a service."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from calling(below, (*path, name))
    elif any(option.name == "as_json" for option in command.params):
        given = [argument for option in command.params for argument in _argument(option)]
        if "--patience" in {name for option in command.params for name in option.opts}:
            given += ["--patience", "0"]
        yield (*path, *given, *MORE.get(path, ()))


def _argument(option: click.Parameter) -> Iterator[str]:
    if isinstance(option, click.Argument) or option.required:
        if isinstance(option, click.Option):
            yield option.opts[0]
        match option.type:
            case params.ResourceName():
                yield option.type._patterns[0].format(*["abc"] * option.type._patterns[0].pattern.count("{"))
            case params.Time():
                yield "2026-01-01T00:00:00Z"
            case click.Choice():
                yield next(iter(option.type.choices))
            case _:
                yield "abc"


COMMANDS = tuple(calling(cli))


@pytest.mark.parametrize("refuses", [False, True], ids=["answered", "refused"])
def test_what_a_command_prints_is_lines_of_plain_text(stranger: tuple[Stranger, str], *, refuses: bool) -> None:
    handler, address = stranger
    handler.refuses = refuses
    env = {"CONSENTRY_AUTHORITY": address, "CONSENTRY_DEVICES": address, "CONSENTRY_TOKEN": "ct_x"}
    raw, silent = {}, set()
    for command in COMMANDS:
        for form in ((), ("-o", "wide"), ("-o", "csv"), ("-o", "jsonl"), ("--json",)):
            result = consentry(*command, *form, env=env)
            place, printed = " ".join((*command, *form)), result.stdout + result.stderr
            assert result.exception is None or isinstance(result.exception, SystemExit), (place, result.exc_info)
            if not all(is_plain(line) for line in printed.split("\n")) or "\n2026-11-30 forged" in printed:
                raw[place] = printed
            if "forged" not in printed:
                silent.add(place)
    assert raw == {}
    assert silent == set()
    assert len(COMMANDS) > 40


def test_nothing_is_printed_past_the_one_place() -> None:
    """`output.say` and `output.say_json` print, and the demo tells of what it has made itself."""
    places = {
        f"{file.relative_to(SERVICES)}:{node.lineno}"
        for file in SERVICES.glob("consentry_cli/**/*.py")
        if file.name != "output.py"
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"click.echo", "click.secho", "print", "sys.stdout.write"}
    }
    assert {place.partition(":")[0] for place in places} <= {"consentry_cli/demo/command.py", "consentry_cli/demo/telling.py"}
