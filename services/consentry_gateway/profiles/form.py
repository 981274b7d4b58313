"""The form of a profile: what to ask a family of agents, and what the answers mean. Data only; `decode` reads it.

A quantity is a `Metric`. Where an agent may offer it at several precisions, or under several conditions, its `sources` are
tried in order and the first that is there wins: the finer one comes first. What a family repeats (phases, banks, probes, units
of a chain) is a `Table`: the same metrics once per row, on the device itself or on a part of it that is a device of its own.
What a device says is wrong with it stands in an `AlarmList`.

Answers are found under addresses with dots. Those of SNMP are OIDs: a scalar's ends with `.0`, and every other one that a table
names is a column, to which the row's index is added. Other sources have addresses of their own kind in the same manner.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from consentry_gateway.reading.model import DeviceType, Limit, Severity

Key = int | str
"""What an answer is looked up by: a number, or a text (of an octet string, or an OID)."""

Texts = Mapping[Any, str]
"""What a `Key` stands for; most are all numbers or all texts."""

Place = int | str | None
"""Where a row says something: a position in its index (from 0; negative from its end), a column, or None: its whole index."""

Condition = tuple[str, Key | tuple[Key, ...]]
"""What stands at an address is this, or one of these. A column is read at the row, or at the row that holds it."""

BELIEVABLE: Mapping[str, tuple[float, float]] = {
    "Cel": (-40, 125), "%": (0, 100), "V": (-2_000, 2_000), "A": (-10_000, 10_000), "W": (-10e6, 10e6), "VA": (-10e6, 10e6),
    "Hz": (0, 500), "s": (0, 30 * 86_400), "kW.h": (0, 1e9), "L/s": (0, 1_000), "Pa": (-10_000, 10_000), "m/s": (0, 100),
}  # fmt: skip
"""By unit, the numbers that a quantity can have; what lies outside is a device's way of saying that it does not know."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a number is found: value = raw * scale + offset.

    * `when`, `unless`: it counts only while this holds, or does not.
    * `absent`: raw numbers with which the device says that it has no such quantity. A coarser profile is not asked then.
    * `at`: what follows the row's index in this source's own (Raritan puts the kind of quantity there).
    * `digits`: where it stands by how many decimal digits the number is shifted.
    * `beside`: when this is 0 in every row while one of these is not, it is not measured at all.
    """

    oid: str
    scale: float = 1.0
    offset: float = 0.0
    when: Condition | None = None
    unless: Condition | None = None
    absent: tuple[int, ...] = ()
    at: str = ""
    digits: str | None = None
    beside: tuple[str, ...] = ()

    def others(self) -> Iterator[str]:
        """The addresses that it needs beside its own."""
        yield from (condition[0] for condition in (self.when, self.unless) if condition)
        yield from (self.digits,) if self.digits else ()
        yield from self.beside


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits that the device has been given: an alarm ends `hysteresis` within them. A high one of 0 or below is none."""

    high: tuple[Source, ...] = ()
    low: tuple[Source, ...] = ()
    hysteresis: float = 0.0


@dataclass(frozen=True, slots=True)
class Metric:
    """One quantity: its name, its unit (UCUM), and where to find it, the finest source first.

    * With `texts` it is a text, and the answer is looked up; one that is not listed is absent.
    * `limits` are the device's own; without them, or where they are not set, `limit` holds.
    * `believable`: the least and greatest value, if `BELIEVABLE` is not right for it.

    Within a table the names may hold `{line}` and `{index}`.
    """

    name: str
    unit: str
    sources: tuple[Source, ...]
    display_name: str = ""
    texts: Texts | None = None
    limit: Limit | None = None
    limits: Limits | None = None
    believable: tuple[float, float] | None = None

    def needs(self) -> Iterator[str]:
        """All that must have been read for it to be certain, which is more than what it is found in."""
        for source in self.all_sources():
            yield from (source.oid, *source.others())

    def all_sources(self) -> tuple[Source, ...]:
        """Those of its value and those of its limits."""
        limits = self.limits or Limits()
        return (*self.sources, *limits.high, *limits.low)


@dataclass(frozen=True, slots=True)
class Total:
    """A metric made of others: the sum or the greatest of one. No sum where one of them is not known.

    In a table `of` is one of its metrics as it is written there; on a profile it stands for names that have it as a pattern
    (`output.L*.realpower`).
    """

    name: str
    unit: str
    of: str
    greatest: bool = False
    display_name: str = ""
    limit: Limit | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """What a family repeats. A row is there when any of its metrics is.

    * `part` None: rows are sensors of what holds them. In metric names `{line}` stands for `line` with the row's number in it,
      and for nothing when there is only one row.
    * `part` given: each row is a device within what holds it, with id `{holder}-{key}-{number}`, named by `label` or by
      `display_name`.
    * `number`: where the row's number stands, which `{index}` is. With `names` it is looked up there; a row that is not
      listed is left out.
    * `within`: the tables whose parts hold this row, the outermost first, each with where the row says which one.
    * `itself`: the number of the row that is the agent's device itself: the first unit of a chain.
    * `count`: a scalar with the number of rows that are real, for agents that fill the table up with zeros or copies.
    """

    key: str
    metrics: tuple[Metric, ...] = ()
    part: DeviceType | None = None
    display_name: str = "{index}"
    line: str = ".L{index}"
    label: str | None = None
    model: str | None = None
    serial: str | None = None
    count: str | None = None
    totals: tuple[Total, ...] = ()
    number: Place = None
    names: Texts | None = None
    within: tuple[tuple[str, Place], ...] = ()
    itself: str | None = None

    def placing(self) -> Iterator[str]:
        """What says which row is which. Without it nothing of the table is certain; its other columns stand for themselves.

        Where rows have lines or are counted, every column says which rows there are.
        """
        yield from self.places()
        if self.count is not None or any("{line}" in metric.name for metric in self.metrics):
            yield from self.columns()

    def places(self) -> Iterator[str]:
        """What says of each row which it is, and how many are real."""
        for place in (self.count, self.number, *(place for _, place in self.within)):
            if isinstance(place, str):
                yield place

    def naming(self) -> Iterator[str]:
        """What its parts are called, and which of them is."""
        places = (self.label, self.model, self.serial, *((self.number,) if self.part else ()))
        yield from (place for place in places if isinstance(place, str))

    def columns(self) -> Iterator[str]:
        """The columns that make a row."""
        yield from (source.oid for metric in self.metrics for source in metric.sources)

    def others(self) -> Iterator[str]:
        """What else it needs: columns, and scalars."""
        for metric in self.metrics:
            for source in metric.all_sources():
                yield from (source.oid, *source.others())
        yield from self.placing()
        yield from self.naming()


@dataclass(frozen=True, slots=True)
class Meaning:
    """What an entry of an alarm list says. `condition` as in the table of `alarms`, where a metric may say the same thing."""

    label: str
    severity: Severity = Severity.WARNING
    message: str = ""
    condition: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmList:
    """What a device says is wrong with it.

    * `oid`: a column with one entry a row, looked up in `meanings`; with `flags` a scalar text whose n-th letter is `1` while
      the meaning n holds; with `states` a column (or scalar) that says of each row whether it is wrong, where a meaning is
      looked up.
    * A meaning of None is no trouble. What is not listed is told in the device's own words (`label`, or the entry itself if
      it is a text) unless `listed_only`.
    * `label`, `message`, `severity`: columns with the device's own words; `severities` looks the last up.
    * `count`: a scalar with how many there are, for agents that count more than they name.
    * `title`: what an alarm is called when there is nothing better.
    """

    key: str
    oid: str
    meanings: Mapping[Any, Meaning | None] = field(default_factory=dict)
    flags: bool = False
    states: bool = False
    listed_only: bool = False
    label: str | None = None
    message: str | None = None
    severity: str | None = None
    severities: Mapping[Any, Severity] = field(default_factory=dict)
    count: str | None = None
    title: str = "Device Alarm"
    within: tuple[tuple[str, Place], ...] = ()

    def addresses(self) -> Iterator[str]:
        """All that it needs."""
        places = (self.oid, self.label, self.message, self.severity, self.count, *(place for _, place in self.within))
        yield from (place for place in places if isinstance(place, str))


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A family of agents.

    It matches an agent whose sysObjectID begins with one of `object_ids` (none given: any) and that has every one of `probes`.
    `model` and `serial` are tried in order; the first that is there and not empty wins. `beside` are the profiles that fill
    what this one lacks, if the agent has their probes. `source` is what reads such agents.
    """

    family: str
    device_type: DeviceType
    source: str = "snmp"
    object_ids: tuple[str, ...] = ()
    probes: tuple[str, ...] = ()
    model: tuple[str, ...] = ()
    serial: tuple[str, ...] = ()
    metrics: tuple[Metric, ...] = ()
    totals: tuple[Total, ...] = ()
    tables: tuple[Table, ...] = ()
    alarms: tuple[AlarmList, ...] = ()
    beside: tuple["Profile", ...] = ()

    def scalars(self) -> tuple[str, ...]:
        """Every instance to get, each once."""
        oids = [*self.probes, *self.model, *self.serial]
        for metric in self.metrics:
            for source in metric.all_sources():
                oids += (source.oid, *(oid for oid in source.others() if is_scalar(oid)))
        oids += (oid for oid in self._of_rows() if is_scalar(oid))
        return tuple(dict.fromkeys(oids))

    def columns(self) -> tuple[str, ...]:
        """Every column to walk, each once."""
        return tuple(dict.fromkeys(oid for oid in self._of_rows() if not is_scalar(oid)))

    def _of_rows(self) -> Iterator[str]:
        for table in self.tables:
            yield from table.others()
        for alarms in self.alarms:
            yield from alarms.addresses()


def is_scalar(oid: str) -> bool:
    """Whether an address stands for one value, and not for a column."""
    return oid.endswith(".0")
