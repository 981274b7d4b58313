"""The form of a profile: what to ask a family of SNMP agents, and what the answers mean. Data only; `decode` reads it.

A quantity is a `Metric`. Where an agent may offer it at several precisions, or under several conditions, its `sources` are
tried in order and the first that is there wins: the finer one comes first. What a family repeats (phases, banks, probes) is a
`Table`: the same metrics once per row, on the device itself or on a part of it that is a device of its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from consentry_gateway.model import DeviceType, Limit


@dataclass(frozen=True, slots=True)
class Source:
    """Where a number is found: value = raw * scale + offset.

    `oid` is an instance (`...1.0`) for a device's own metrics and a column for a table's. With `when` it counts only while the
    scalar of that OID has that value.
    """

    oid: str
    scale: float = 1.0
    offset: float = 0.0
    when: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Metric:
    """One quantity: its name, its unit (UCUM), and where to find it, the finest source first.

    With `texts` it is a text, and the raw integer is looked up; one that is not listed is absent. Within a table the names may
    hold `{line}` and `{index}`.
    """

    name: str
    unit: str
    sources: tuple[Source, ...]
    display_name: str = ""
    texts: Mapping[int, str] | None = None
    limit: Limit | None = None


@dataclass(frozen=True, slots=True)
class Total:
    """A metric made of a table's rows: the sum or the greatest of one column."""

    name: str
    unit: str
    of: str
    greatest: bool = False
    display_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """What a family repeats. A row is there when any of its metrics is.

    * `part` None: rows are sensors of the device. In metric names `{line}` stands for `line` with the row's index in it, and
      for nothing when there is only one row.
    * `part` given: each row is a device within the device, with id `{device}-{key}-{index}`, named by `label` or by
      `display_name`.
    * `count`: a scalar with the number of rows that are real, for agents that fill the table up with zeros.
    """

    key: str
    metrics: tuple[Metric, ...]
    part: DeviceType | None = None
    display_name: str = "{index}"
    line: str = ".L{index}"
    label: str | None = None
    serial: str | None = None
    count: str | None = None
    totals: tuple[Total, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A family of agents.

    It matches an agent whose sysObjectID begins with one of `object_ids` (none given: any) and that has every one of `probes`.
    `model` and `serial` are tried in order; the first that is there and not empty wins.
    """

    family: str
    device_type: DeviceType
    object_ids: tuple[str, ...] = ()
    probes: tuple[str, ...] = ()
    model: tuple[str, ...] = ()
    serial: tuple[str, ...] = ()
    metrics: tuple[Metric, ...] = ()
    tables: tuple[Table, ...] = ()

    def scalars(self) -> tuple[str, ...]:
        """Every instance to get, each once."""
        oids = [*self.model, *self.serial]
        for metric in (*self.metrics, *(metric for table in self.tables for metric in table.metrics)):
            oids += [source.when[0] for source in metric.sources if source.when]
        oids += [source.oid for metric in self.metrics for source in metric.sources]
        oids += [table.count for table in self.tables if table.count]
        return tuple(dict.fromkeys(oids))

    def columns(self) -> tuple[str, ...]:
        """Every column to walk, each once."""
        oids: list[str] = []
        for table in self.tables:
            oids += [source.oid for metric in table.metrics for source in metric.sources]
            oids += [oid for oid in (table.label, table.serial) if oid]
        return tuple(dict.fromkeys(oids))
