"""What commands print: one line at a time, and nothing that a terminal would obey.

Everything that a command prints goes through `say`, `say_json` or `say_csv`: what a service answers may have been written by
anybody, at a time when it was not refused yet. JSON is ASCII, with JSON's own escapes.
"""

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click
from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from consentry_core.values.text import shown

NOTHING = "-"
_FORMULA = ("=", "+", "-", "@", "\t")
"""What a spreadsheet takes for the beginning of a formula."""


def say(line: str, *, err: bool = False, colour: str | None = None) -> None:
    """Print one line. What a terminal would obey is escaped, so that one line is what it stays.

    `colour`: of the whole line, where it goes to a terminal and NO_COLOR is not set.
    """
    told = shown(line)
    click.echo(click.style(told, fg=colour) if colour else told, err=err)


def say_row(cells: Sequence[str], widths: Sequence[int], colours: Sequence[str | None]) -> None:
    """Print a row of a table: each cell cut to its width or filled up to it, and in its colour on a terminal."""
    told = []
    for cell, width, colour in zip(cells, widths, colours, strict=True):
        text = shown(cell)
        text = f"{text if len(text) <= width else text[: width - 1] + '…':<{width}}"
        told.append(click.style(text, fg=colour) if colour else text)
    click.echo("  ".join(told).rstrip())


def say_json(message: Message, *, one_line: bool = False) -> None:
    """Print an answer for programs."""
    click.echo(to_json(message, one_line=one_line))


def say_values(values: Mapping[str, Any], *, err: bool = False) -> None:
    """Print what is no message, for programs."""
    click.echo(json.dumps(values), err=err)


def say_csv(cells: Sequence[str]) -> None:
    """Print a row for a spreadsheet. A text that it would take for a formula is marked as text."""
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow([f"'{cell}" if _is_formula(cell) else cell for cell in map(shown, cells)])
    click.echo(out.getvalue())


def _is_formula(cell: str) -> bool:
    return cell.startswith(_FORMULA) and not re.fullmatch(r"[+-]?[0-9.]+(e[+-]?[0-9]+)?", cell)


class Failed(click.ClickException):
    """A command that cannot go on. Exit code 1."""

    def show(self, file: Any = None) -> None:
        """Each line of it."""
        del file
        for number, line in enumerate(self.message.split("\n")):
            say(f"error: {line}" if number == 0 else f"  {line}", err=True)


def to_json(message: Message, *, one_line: bool = False) -> str:
    """Protobuf's JSON, every field in it, in ASCII."""
    return MessageToJson(message, indent=None if one_line else 2, always_print_fields_with_no_presence=True)


def field(message: Any, path: str) -> str:
    """A field as text; `-` when it is not set."""
    found = value_at(message, path)
    return NOTHING if found is None else text_of(*found) or NOTHING


def value_at(message: Any, path: str) -> tuple[FieldDescriptor, Any] | None:
    """The field at a path, and what is in it; None when something above it is not set."""
    *above, last = path.split(".")
    for part in above:
        if not message.HasField(part):
            return None
        message = getattr(message, part)
    return message.DESCRIPTOR.fields_by_name[last], getattr(message, last)


def lines_of(message: Message, prefix: str = "") -> Iterable[tuple[str, FieldDescriptor, Any]]:
    """The fields that are set, by their paths."""
    for descriptor, value in message.ListFields():
        name = prefix + descriptor.name
        if isinstance(value, Message) and not isinstance(value, Timestamp):
            yield from lines_of(value, f"{name}.")
        else:
            yield name, descriptor, value


def text_of(descriptor: FieldDescriptor, value: Any) -> str:
    """What is in a field, as text; empty when it is not set."""
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
    return ", ".join(text_of(descriptor, one) for one in value)


def enum_text(enum: EnumDescriptor, number: int) -> str:
    """A value of an enum without its prefix: `specific-customers` for KIND_SPECIFIC_CUSTOMERS of Kind."""
    known = enum.values_by_number.get(number)
    prefix = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", enum.name).upper() + "_"
    return str(number) if known is None else known.name.removeprefix(prefix).lower().replace("_", "-")
