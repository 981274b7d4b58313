"""From what an agent answered to a poll: raw values and profiles in, devices, readings and troubles out. No I/O.

Several profiles may fit one agent. They are read in their order: what one has said of a sensor, be it that the device has no
such quantity, the later ones do not say again, and a later one's lines count only where both see the same ones.

Nothing is guessed: what is not listed, not believable or said to be absent is no reading. `findings` tells what became of
everything that was looked for.
"""

import fnmatch
import re
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass

from consentry_gateway.profiles.form import Metric, Profile, Source, Table, Total
from consentry_gateway.reading.model import (
    Device,
    DeviceId,
    Limit,
    Poll,
    Reading,
    Sensor,
    SensorId,
    Value,
    bounded_id,
    slug,
)
from consentry_gateway.reading.parts import Parts
from consentry_gateway.reading.raw import Answers, Raw, is_unreadable, within
from consentry_gateway.reading.rows import Columns, Row
from consentry_gateway.reading.troubles import entries
from consentry_gateway.reading.values import ABSENT, NOT_LISTED, NOT_READ, Values, index_of
from consentry_rule import Instant


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of one metric of a device: its value, or `why` there is none. `oid` and `raw`: what was looked at."""

    sensor: Sensor
    source: Source
    oid: str
    raw: Raw
    value: Value | None
    why: str = ""

    @property
    def settled(self) -> bool:
        """Whether a coarser profile has nothing to add."""
        return self.value is not None or self.why in {ABSENT, NOT_READ}


def decode(
    profiles: Sequence[Profile],
    agent: Device,
    answers: Answers,
    now: Instant,
    *,
    unread: Set[str] = frozenset(),
    known: Iterable[Device] = (),
) -> Poll:
    """The poll of an agent that answered. `agent` gives the device's id, location, and display name, if it has one.

    `unread`: scalars and columns that could not be read, or not to their end. Whatever depends on one of them is left out, and
    not taken from where it is coarser. `known` are the devices as they were before, which are called what they were called if
    their names are among it.
    """
    damaged = _damaged(profiles, answers)
    unread = unread | damaged
    decoding = _Decoding(profiles, agent, answers, unread)
    found = list(decoding.findings())
    given = {finding.sensor.device for finding in found if finding.value is not None}
    unlisted = [finding.sensor for finding in found if finding.why == NOT_LISTED]
    troubles, lists = [], []
    for profile in profiles:
        for alarms in profile.alarms:
            if unread.isdisjoint(alarms.addresses()):
                holders, named = entries(alarms, decoding.columns, decoding.parts.holder)
                troubles += named
                lists += [(holder, alarms.key) for holder in holders]
    devices = decoding.parts.that_speak(given | {trouble.device for trouble in troubles}, known)
    return Poll(
        now,
        devices[0],
        True,
        devices,
        tuple(Reading(finding.sensor, now, finding.value) for finding in found if finding.value is not None),
        not unread and not any(map(is_unreadable, answers.values())),
        tuple(unlisted),
        tuple(troubles),
        tuple(dict.fromkeys(lists)),
    )


def findings(
    profiles: Sequence[Profile], agent: Device, answers: Answers, unread: Set[str] = frozenset()
) -> tuple[Finding, ...]:
    """What became of everything that was looked for and that the agent answered. `unread` as in `decode`."""
    return tuple(_Decoding(profiles, agent, answers, unread | _damaged(profiles, answers)).findings())


def _damaged(profiles: Sequence[Profile], answers: Answers) -> Set[str]:
    """What says which row is which, which are real, or what is wrong, of which something could not be read."""
    bad = [oid for oid, raw in answers.items() if is_unreadable(raw)]
    if not bad:
        return frozenset()
    whole = {oid for profile in profiles for table in profile.tables for oid in (*table.places(), *table.naming())}
    whole |= {oid for profile in profiles for alarms in profile.alarms for oid in alarms.addresses()}
    columns = Columns(answers)
    counts = {table.count for profile in profiles for table in profile.tables if table.count and columns.unsure(table)}
    return {oid for oid in whole if any(within(one, oid) for one in bad)} | counts


class _Decoding:
    """One agent's answers, and the devices that they speak of."""

    def __init__(self, profiles: Sequence[Profile], agent: Device, answers: Answers, unread: Set[str] = frozenset()) -> None:
        self._profiles = profiles
        self._unread = unread
        self.columns = Columns(answers)
        self._values = Values(self.columns)
        self.parts = Parts(profiles, agent, self.columns, unread)

    def findings(self) -> Iterator[Finding]:
        settled: set[tuple[DeviceId, SensorId]] = set()
        lines: dict[tuple[DeviceId, str], frozenset[str]] = {}
        unknown: set[str] = set()  # the tables of which a finer profile would have said which lines there are
        unsure: list[re.Pattern[str]] = []  # what a finer profile would have said, had it been read
        for profile in self._profiles:
            for finding in self._of(profile, lines, unknown):
                key, metric = (finding.sensor.device, finding.sensor.id), finding.sensor.metric
                if key not in settled and not any(name.fullmatch(metric) for name in unsure):
                    yield finding
                if finding.settled:
                    settled.add(key)
            unsure += self._unsure(profile)

    def _unsure(self, profile: Profile) -> Iterator[re.Pattern[str]]:
        """The names of the metrics of a profile that depend on something that was not read."""
        if not self._unread:
            return
        for metric in profile.metrics:
            if not self._unread.isdisjoint(metric.needs()):
                yield _pattern(metric.name)
        for table in profile.tables:
            whole = not self._unread.isdisjoint(table.placing())
            names = [metric.name for metric in table.metrics if whole or not self._unread.isdisjoint(metric.needs())]
            names += [total.name for total in table.totals if total.of in names]
            yield from map(_pattern, names)

    def _of(self, profile: Profile, lines: dict[tuple[DeviceId, str], frozenset[str]], unknown: set[str]) -> Iterator[Finding]:
        own = [finding for metric in profile.metrics for finding in self._finding(metric, self.parts.own.id)]
        yield from own
        for total in profile.totals:
            parts = [finding for finding in own if fnmatch.fnmatchcase(finding.sensor.metric, total.of)]
            yield from self._total(total, self.parts.own.id, parts, len(parts))
        for table in profile.tables:
            if not self._unread.isdisjoint(table.placing()):
                if table.part is None:
                    unknown.add(table.key)
                continue
            if table.part is None and table.key in unknown:
                continue
            of_holder: dict[DeviceId, list[Row]] = {}
            for row in self.columns.rows(table):
                of_holder.setdefault(self.parts.of(table, row), []).append(row)
            for device, rows in of_holder.items():
                found = list(self._of_table(table, device, rows))
                numbers = frozenset(row.number for row in rows)
                told = any(finding.value is not None or finding.why == NOT_READ for finding in found)
                counts = table.part is None and told
                if counts and lines.setdefault((device, table.key), numbers) != numbers:
                    continue  # another profile sees other lines, and sees them finer
                yield from found

    def _of_table(self, table: Table, device: DeviceId, rows: list[Row]) -> Iterator[Finding]:
        found: dict[str, list[Finding]] = {}
        indexes = [row.index for row in self.columns.rows(table)]
        for row in rows:
            line = table.line.replace("{index}", row.number) if len(rows) > 1 and row.number else ""
            for metric in table.metrics:
                for finding in self._finding(metric, device, row, line, indexes):
                    found.setdefault(metric.name, []).append(finding)
                    yield finding
        for total in table.totals:
            yield from self._total(total, device, found.get(total.of, ()), len(rows))

    def _finding(
        self, metric: Metric, device: DeviceId, row: Row | None = None, line: str = "", indexes: Sequence[str] = ()
    ) -> Iterator[Finding]:
        """The finding of a metric, if the agent answered anything at all of it: its value, or why the last source has none."""
        last: Finding | None = None
        sensor: Sensor | None = None
        if not self._unread.isdisjoint(metric.needs()):
            source = metric.sources[0]
            yield Finding(self._sensor(metric, device, row, line), source, source.oid, b"", None, NOT_READ)
            return
        for source in metric.sources:
            index = index_of(source, row)
            oid = source.oid if row is None else f"{source.oid}.{index}"
            raw = self.columns.answers.get(oid)
            if is_unreadable(raw) or (raw is not None and self._values.unsure_of(source, index)):
                yield Finding(self._sensor(metric, device, row, line), source, oid, raw or b"", None, NOT_READ)
                return
            if raw is None or not self._values.counts(source, index):
                continue
            sensor = sensor or self._sensor(metric, device, row, line)
            value, why = self._values.value(metric, source, raw, index, indexes)
            found = Finding(sensor, source, oid, raw, value, why)
            if value is not None:
                yield found
                return
            if last is None or last.why != ABSENT:
                last = found
        if last is not None:
            yield last

    def _sensor(self, metric: Metric, device: DeviceId, row: Row | None, line: str) -> Sensor:
        name, shown = metric.name, metric.display_name
        if row is not None:
            name, shown = row.fill(name, line), row.fill(shown, line)
        return _sensor(device, name, shown, metric.unit, self._values.limit(metric, row))

    def _total(self, total: Total, device: DeviceId, found: Sequence[Finding], rows: int) -> Iterator[Finding]:
        values = [finding.value for finding in found if isinstance(finding.value, float | int)]
        if not values or (len(values) < rows and not total.greatest) or any(finding.why == NOT_READ for finding in found):
            return  # the sum of some of them would be a false one
        last = found[-1]
        value = max(values) if total.greatest else round(sum(values), 6)
        sensor = _sensor(device, total.name, total.display_name, total.unit, total.limit)
        yield Finding(sensor, last.source, last.oid, last.raw, float(value))


def _sensor(device: DeviceId, name: str, shown: str, unit: str, limit: Limit | None) -> Sensor:
    return Sensor(device, _sensor_id(name), shown.replace(".", " ") or name, name, unit, limit)


def _pattern(name: str) -> re.Pattern[str]:
    """What a metric can be called once its row is known."""
    return re.compile(re.escape(name).replace(r"\{line\}", r"(\..+)?").replace(r"\{index\}", ".+"))


def _sensor_id(name: str) -> SensorId:
    return SensorId(bounded_id(slug(name)))
