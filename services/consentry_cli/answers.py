"""Answers in the form that was asked for: tables for people, JSON and CSV for programs. Secrets alone on standard output.

A name is spelled in one way: the columns of a table, the header of CSV and the lines of one resource are the paths of the
API's fields. (JSON is protobuf's own, as grpcurl prints it.)
"""

import enum
import shutil
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from consentry_cli.output import NOTHING, Failed, field, lines_of, say, say_csv, say_json, say_row, text_of, value_at
from consentry_core.values.text import shown

_GAP = 2  # blanks between columns
_LEAST = 8  # characters that a column keeps, however narrow the terminal
_COLOURS = {
    **dict.fromkeys(("active", "valid", "enforced", "connected"), "green"),
    **dict.fromkeys(("disabled", "expired", "revoked", "ended", "cancelled", "critical", "lapsed"), "red"),
    **dict.fromkeys(("pending", "warning", "rehearsing"), "yellow"),
}
_UNITS = (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1))


class Form(enum.Enum):
    """How an answer is printed."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"


class Answers:
    """Prints answers. `now`: for ages."""

    def __init__(self, form: Form, *, now: datetime | None = None) -> None:
        self.form = form
        self._now = now or datetime.now(UTC)

    @property
    def for_programs(self) -> bool:
        """Whether each answer is one message in JSON."""
        return self.form in {Form.JSON, Form.JSONL}

    def show(self, answer: Message, resource: str | None = None) -> None:
        """One answer: its resource's fields, a line each, then whatever else it holds."""
        if self.for_programs:
            say_json(answer, one_line=self.form is Form.JSONL)
            return
        found = list(lines_of(answer if resource is None else getattr(answer, resource)))
        if resource is not None:
            found += [line for line in lines_of(answer) if not line[0].startswith(f"{resource}.")]
        if self.form is Form.CSV:
            say_csv([name for name, _, _ in found])
            say_csv([text_of(descriptor, value) for _, descriptor, value in found])
            return
        width = max((len(name) for name, _, _ in found), default=0)
        for name, descriptor, value in found:
            text = text_of(descriptor, value)
            age = f"  ({self._age(value)})" if isinstance(value, Timestamp) and text else ""
            say(f"{name:<{width}}  {text}{age}")

    def table(self, answer: Message, resources: str, columns: Sequence[str], *, wide: Sequence[str] = ()) -> None:
        """A list: a row for each of its resources, in columns given as paths of fields. `wide`: those that only -o wide has."""
        listed = getattr(answer, resources)
        match self.form:
            case Form.JSON:
                say_json(answer)
            case Form.JSONL:
                for resource in listed:
                    say_json(resource, one_line=True)
            case Form.CSV:
                say_csv([*columns, *wide])
                for resource in listed:
                    say_csv([_plain(field(resource, path)) for path in (*columns, *wide)])
            case Form.WIDE:
                self.rows([[field(resource, path) for path in (*columns, *wide)] for resource in listed], [*columns, *wide])
            case Form.TABLE:
                self.rows([[self._cell(resource, path) for path in columns] for resource in listed], columns)

    def rows(self, cells: Sequence[Sequence[str]], columns: Sequence[str]) -> None:
        """Aligned, under headings. The headings are there even when there is no row: no rows is an answer, too."""
        if self.form is Form.CSV:
            for row in (columns, *cells):
                say_csv([_plain(cell) for cell in row])
            return
        whole = [[column.upper() for column in columns]]
        whole += [list(row) for row in cells]
        widths = [max(len(shown(cell)) for cell in column) for column in zip(*whole, strict=True)]
        if self.form is Form.TABLE and sys.stdout.isatty():
            widths = _fitted(widths, shutil.get_terminal_size().columns)
        for number, row in enumerate(whole):
            say_row(row, widths, [_COLOURS.get(cell) if number else None for cell in row])

    def secret(self, answer: Message, resource: Message, text: str, *, quiet: bool, verb: str = "is created") -> None:
        """A new secret: alone on standard output, so that `SECRET=$(...)` holds it; what to know about it on standard error."""
        if self.for_programs:
            say_json(answer, one_line=self.form is Form.JSONL)
            return
        if not text:
            raise Failed(f"{field(resource, 'name')} was made by this request before, and its secret shown then")
        if not quiet:
            say(f"{field(resource, 'name')} {verb}. The secret cannot be shown again; keep it safe:", err=True)
        say(text)

    def _cell(self, resource: Message, path: str) -> str:
        """A field in a table: of a time, the second that it is in, and how far that is from now."""
        found = value_at(resource, path)
        if found is None or not isinstance(found[1], Timestamp) or not found[1].ByteSize():
            return field(resource, path)
        return f"{found[1].ToDatetime(UTC):%Y-%m-%d %H:%M:%SZ} ({self._age(found[1])})"

    def _age(self, time: Timestamp) -> str:
        """`3m ago`, `in 30d`."""
        away = time.ToDatetime(UTC) - self._now
        told = in_words(abs(away))
        return f"in {told}" if away > timedelta() else f"{told} ago"


def in_words(span: timedelta) -> str:
    """A length of time in its largest unit: 45s, 3m, 5h, 30d."""
    seconds = round(span.total_seconds())
    return next((f"{seconds // length}{unit}" for unit, length in _UNITS if seconds >= length), "0s")


def _plain(cell: str) -> str:
    return "" if cell == NOTHING else cell


def _fitted(widths: Sequence[int], terminal: int) -> list[int]:
    """Widths that fit: the widest column gives first."""
    fitted = list(widths)
    while sum(fitted) + _GAP * (len(fitted) - 1) > terminal:
        widest = max(fitted)
        if widest <= _LEAST:
            break
        fitted[fitted.index(widest)] -= 1
    return fitted
