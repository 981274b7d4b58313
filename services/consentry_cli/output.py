"""What commands print: aligned text for people, protobuf's JSON for programs. Secrets alone on standard output.

Everything that a command prints goes through `say` or `say_json`: what a service answers may have been written by anybody, at a
time when it was not refused yet. JSON is ASCII, with JSON's own escapes.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any

import click
from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from consentry_core.values.text import shown

NOTHING = "-"


def say(line: str, *, err: bool = False) -> None:
    """Print one line. What a terminal would obey is escaped, so that one line is what it stays."""
    click.echo(shown(line), err=err)


class Failed(click.ClickException):
    """A command that cannot go on. Exit code 1."""

    def show(self, file: Any = None) -> None:
        """Each line of it."""
        del file
        for number, line in enumerate(self.message.split("\n")):
            say(f"error: {line}" if number == 0 else f"  {line}", err=True)


def show(answer: Message, resource: str | None, *, as_json: bool) -> None:
    """One answer: its resource's fields, a line each, then whatever else it holds."""
    if as_json:
        say_json(answer)
        return
    lines = list(_lines(answer if resource is None else getattr(answer, resource), ""))
    if resource is not None:
        lines += [line for line in _lines(answer, "") if not line[0].startswith(f"{resource}.")]
    width = max((len(name) for name, _ in lines), default=0)
    for name, text in lines:
        say(f"{name:<{width}}  {text}")


def table(answer: Message, resources: str, columns: Sequence[str], *, as_json: bool) -> None:
    """A list: a row for each of its resources, in columns given as paths of fields."""
    if as_json:
        say_json(answer)
        return
    rows([[field(resource, path) for path in columns] for resource in getattr(answer, resources)], columns)


def rows(cells: Sequence[Sequence[str]], columns: Sequence[str]) -> None:
    """Aligned, under headings. The headings are there even when there is no row: no rows is an answer, too."""
    whole = [[column.replace("_", " ").replace(".", " ").upper() for column in columns]]
    whole += [[shown(cell) for cell in row] for row in cells]
    widths = [max(map(len, column)) for column in zip(*whole, strict=True)]
    for row in whole:
        say("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())


def secret(answer: Message, resource: Message, text: str, *, quiet: bool, as_json: bool, verb: str = "is created") -> None:
    """A new secret: alone on standard output, so that `SECRET=$(...)` holds it; what to know about it on standard error."""
    if as_json:
        say_json(answer)
        return
    if not text:
        raise Failed(f"{field(resource, 'name')} was made by this request before, and its secret shown then")
    if not quiet:
        say(f"{field(resource, 'name')} {verb}. The secret cannot be shown again; keep it safe:", err=True)
    say(text)


def say_json(message: Message, *, one_line: bool = False) -> None:
    """Print an answer for programs."""
    click.echo(to_json(message, one_line=one_line))


def to_json(message: Message, *, one_line: bool = False) -> str:
    """Protobuf's JSON, every field in it, in ASCII."""
    return MessageToJson(message, indent=None if one_line else 2, always_print_fields_with_no_presence=True)


def field(message: Any, path: str) -> str:
    """A field as text; `-` when it is not set."""
    *above, last = path.split(".")
    for part in above:
        if not message.HasField(part):
            return NOTHING
        message = getattr(message, part)
    return _text(message.DESCRIPTOR.fields_by_name[last], getattr(message, last)) or NOTHING


def _lines(message: Message, prefix: str) -> Iterable[tuple[str, str]]:
    for descriptor, value in message.ListFields():
        name = prefix + descriptor.name
        if isinstance(value, Message) and not isinstance(value, Timestamp):
            yield from _lines(value, f"{name}.")
        else:
            yield name, _text(descriptor, value)


def _text(descriptor: FieldDescriptor, value: Any) -> str:
    if isinstance(value, Timestamp):
        return value.ToJsonString() if value.ByteSize() else ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and descriptor.enum_type is not None:
        return enum_text(descriptor.enum_type, value) if value else ""
    if isinstance(value, str | int | float):
        return str(value)
    if isinstance(value, Message):
        return to_json(value, one_line=True)
    return ", ".join(_text(descriptor, one) for one in value)


def enum_text(enum: EnumDescriptor, number: int) -> str:
    """A value of an enum without its prefix: `specific-customers` for KIND_SPECIFIC_CUSTOMERS of Kind."""
    known = enum.values_by_number.get(number)
    prefix = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", enum.name).upper() + "_"
    return str(number) if known is None else known.name.removeprefix(prefix).lower().replace("_", "-")
