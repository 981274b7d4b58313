"""What commands take: resource names, times, values of enums."""

import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import click
from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.timestamp_pb2 import Timestamp

from consentry.authority.v1 import data_class_pb2
from consentry.devices.v1 import telemetry_pb2
from consentry_cli.output import enum_text
from consentry_core.protocol.times import to_timestamp
from consentry_core.values import names
from consentry_core.values.clock import SystemClock
from consentry_core.values.errors import InvalidArgument
from consentry_rule import Instant

PAGE_SIZE = 1000

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_relative = re.compile(r"([+-])(\d{1,9})([smhdw])").fullmatch
_date = re.compile(r"\d{4}-\d{2}-\d{2}([ T]\d{2}:\d{2}(:\d{2})?)?").fullmatch
_DAYS = {"yesterday": -1, "today": 0, "tomorrow": 1}
_span = re.compile(r"(\d{1,9})(ms|[smhdw])").fullmatch


class ShortName(str):  # noqa: SLOT000 - it has one more attribute
    """The last id of a name whose first part is the caller's own organisation."""

    pattern: names.NamePattern

    def __new__(cls, value: str, pattern: names.NamePattern) -> "ShortName":
        """Of this pattern's names."""
        made = super().__new__(cls, value)
        made.pattern = pattern
        return made

    def within(self, organization: str) -> str:
        """The whole name. ValueError when that organisation has no such things."""
        whole = f"{organization}/{self.pattern.pattern.split('/')[-2]}/{self}"
        if not self.pattern.matches(whole):
            raise ValueError(f"{str(self)!r} alone names nothing here; give the whole name, {self.pattern.pattern}")
        return whole


class ResourceName(click.ParamType):  # type: ignore[type-arg] # generic only in newer versions of click
    """A resource's name. Where the name has one id, that is enough; `own`: so is the last one, of the caller's organisation."""

    name = "name"

    def __init__(self, *patterns: names.NamePattern, own: bool = False) -> None:
        self._patterns = patterns
        self._own = own

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The whole name."""
        whole = value
        if self._own and "/" not in value:
            return ShortName(value, self._patterns[0])
        if "/" not in value and len(self._patterns) == 1 and self._patterns[0].pattern.count("{") == 1:
            whole = self._patterns[0].format(value)
        if any(pattern.matches(whole) for pattern in self._patterns):
            return str(whole)
        try:
            self._patterns[0].parse(whole, "")
        except InvalidArgument as error:
            others = "".join(f", or {pattern.pattern}" for pattern in self._patterns[1:])
            self.fail(f"{value!r} {error.message}{others}", param, ctx)
        raise AssertionError


class Time(click.ParamType):  # type: ignore[type-arg] # likewise
    """RFC 3339 (`2026-01-31T12:00:00Z`), a date (`2026-01-31`, `2026-01-31 12:00`), or from now: `+30d`, `-90m` (smhdw).

    Also `now`, `today`, `tomorrow`, `yesterday`. A date begins at midnight; without a zone it is this machine's time.
    """

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Timestamp:
        """The instant on the wire."""
        if isinstance(value, Timestamp):
            return value
        now = SystemClock().now()
        if value == "now":
            return to_timestamp(now)
        found = _relative(value)
        if found is not None:
            sign, count, unit = found.groups()
            away = int(count) * _UNITS[unit] * 1_000_000_000
            return to_timestamp(Instant(max(now + away if sign == "+" else now - away, 0)))
        timestamp = Timestamp()
        try:
            if (local := _local(value, now)) is not None:
                timestamp.FromDatetime(local.astimezone(UTC))
            else:
                timestamp.FromJsonString(value)
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is no time such as 2026-01-31, 2026-01-31T12:00:00Z, tomorrow, +30d or -90m", param, ctx)
        return timestamp


def _local(value: str, now: Instant) -> datetime | None:
    """A date as people write it, in this machine's zone; None for what is something else."""
    if value in _DAYS:
        today = datetime.fromtimestamp(now // 1_000_000_000).replace(hour=0, minute=0, second=0, microsecond=0)  # noqa: DTZ006 - local
        return today + timedelta(days=_DAYS[value])
    return datetime.fromisoformat(value) if _date(value) else None


class Span(click.ParamType):  # type: ignore[type-arg] # likewise
    """A length of time: `500ms`, `90s`, `5m`, `1h`, `30d`."""

    name = "span"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Nanoseconds."""
        if isinstance(value, int):
            return value
        found = _span(value)
        if found is None:
            self.fail(f"{value!r} is no length of time such as 500ms, 90s, 5m, 1h or 30d", param, ctx)
        count, unit = found.groups()
        return int(count) * (1_000_000 if unit == "ms" else _UNITS[unit] * 1_000_000_000)


class EnumValue(click.Choice[str]):
    """A value of a protobuf enum, by its name without prefix: `specific-customers` for KIND_SPECIFIC_CUSTOMERS."""

    def __init__(self, enum: EnumDescriptor) -> None:
        # Zero stands for none of them.
        self._values = {enum_text(enum, value.number): value.number for value in enum.values if value.number}
        super().__init__(list(self._values))

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number."""
        return value if isinstance(value, int) else self._values[super().convert(value, param, ctx)]


PARTNER = ResourceName(names.PARTNER)
CUSTOMER = ResourceName(names.CUSTOMER)
ORGANIZATION = ResourceName(names.PARTNER, names.CUSTOMER)
KEY = ResourceName(names.KEY, own=True)
TOKEN = ResourceName(names.TOKEN)
DEVICE = ResourceName(names.DEVICE)
SENSOR = ResourceName(names.SENSOR)
ALARM = ResourceName(names.ALARM)
TIME = Time()
SPAN = Span()
AGGREGATE = EnumValue(telemetry_pb2.QueryHistoryRequest.Aggregate.DESCRIPTOR)
request_id = click.option(
    "--request-id", default="", help="Of your own choice: sent again under it, the command does nothing more."
)
DATA_CLASS = EnumValue(data_class_pb2.DataClass.DESCRIPTOR)


def asked_of_a_person() -> bool:
    """Whether somebody sits there who can answer."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def final(what: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A command whose effect nobody can take back: a person is asked before, a program is not. `--yes` asks nobody."""

    def ask(context: click.Context, _: click.Parameter, yes: bool) -> None:
        if not (yes or context.resilient_parsing) and asked_of_a_person():
            click.confirm(f"{what}. Go on?", abort=True, err=True)

    return click.option("--yes", "-y", is_flag=True, expose_value=False, callback=ask, help="Do not ask whether you are sure.")
