"""From what an agent answered to readings: raw values and a profile in, a poll out. No I/O."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from consentry_core.text import cleaned
from consentry_gateway.model import Device, DeviceId, Poll, Reading, Sensor, SensorId, Value, slug
from consentry_gateway.profiles import PROFILES, Metric, Profile, Source, Table
from consentry_rule import Instant

Raw = int | bytes | str
"""An answer: an integer of any SNMP type, an octet string, or an OID as text. What is not there has no answer."""

Answers = Mapping[str, Raw]
"""Answers by OID, without a leading dot."""

SYS_OBJECT_ID = "1.3.6.1.2.1.1.2.0"

# What agents answer for a quantity that they know of and do not have.
_ABSENT = (-1, -2147483648)
_LONGEST_NAME = 200  # the device-data service takes no longer ones


def recognise(answers: Answers) -> Profile | None:
    """The first profile that matches an agent, from its sysObjectID and its answers to the probes; None when none does."""
    object_id = str(answers.get(SYS_OBJECT_ID, ""))
    for profile in PROFILES:
        family = not profile.object_ids or any(_within(object_id, prefix) for prefix in profile.object_ids)
        if family and all(probe in answers for probe in profile.probes):
            return profile
    return None


def questions() -> tuple[str, ...]:
    """The OIDs whose answers `recognise` needs."""
    return tuple(dict.fromkeys([SYS_OBJECT_ID, *(probe for profile in PROFILES for probe in profile.probes)]))


def decode(profile: Profile, agent: Device, answers: Answers, now: Instant) -> Poll:
    """The poll of an agent that answered. `agent` gives the device's id, location, and display name, if it has one."""
    model = _first_text(profile.model, answers)
    device = replace(
        agent,
        type=profile.device_type,
        model_name=model,
        serial_number=_first_text(profile.serial, answers),
        display_name=agent.display_name or model or agent.id,
    )
    devices, readings = [device], list(_readings(profile.metrics, device.id, answers, now))
    for table in profile.tables:
        for row in _rows(table, answers):
            holder = device
            if table.part is not None:
                holder = _part(table, row, device, answers)
            found = list(_readings(table.metrics, holder.id, answers, now, row))
            if found and holder is not device:
                devices.append(holder)
            readings += found
        readings += _totals(table, device.id, answers, now)
    return Poll(now, device, True, tuple(devices), tuple(readings))


@dataclass(frozen=True, slots=True)
class _Row:
    """One row of a table: its index, and what stands for `{line}` in names."""

    index: str
    line: str

    def fill(self, text: str) -> str:
        return text.replace("{index}", self.index).replace("{line}", self.line)


def _readings(
    metrics: tuple[Metric, ...], device: DeviceId, answers: Answers, now: Instant, row: _Row | None = None
) -> Iterator[Reading]:
    for metric in metrics:
        value = _value(metric, answers, "" if row is None else f".{row.index}")
        if value is None:
            continue
        fill = row.fill if row else str
        name = fill(metric.name)
        shown = fill(metric.display_name).replace(".", " ") or name
        yield Reading(Sensor(device, SensorId(slug(name)), shown, name, metric.unit, metric.limit), now, value)


def _value(metric: Metric, answers: Answers, instance: str) -> Value | None:
    for source in metric.sources:
        if source.when is not None and answers.get(source.when[0]) != source.when[1]:
            continue
        number = _number(answers.get(source.oid + instance))
        if number is None:
            continue
        if metric.texts:
            return metric.texts.get(int(number))
        return _scaled(number, source)
    return None


def _number(raw: Raw | None) -> float | None:
    if isinstance(raw, bytes):  # some agents spell their numbers out
        try:
            raw = float(raw)  # type: ignore[assignment] # on the way from bytes to a number
        except ValueError:
            return None
    if raw is None or isinstance(raw, str | bytes) or raw in _ABSENT or not math.isfinite(raw):
        return None
    return raw


def _scaled(number: float, source: Source) -> float:
    # 131 * 0.1 is 13.1 and not 13.100000000000001.
    return round(number * source.scale + source.offset, 6)


def _rows(table: Table, answers: Answers) -> list[_Row]:
    columns = {source.oid for metric in table.metrics for source in metric.sources}
    indexes = {oid[len(column) + 1 :] for column in columns for oid in answers if oid.startswith(f"{column}.")}
    ordered = sorted(indexes, key=lambda index: [int(part) for part in index.split(".")])
    if table.count is not None:
        count = _number(answers.get(table.count))
        ordered = ordered[: None if count is None else int(count)]
    return [_Row(index, table.line.replace("{index}", index) if len(ordered) > 1 else "") for index in ordered]


def _part(table: Table, row: _Row, device: Device, answers: Answers) -> Device:
    label = _text(answers.get(f"{table.label}.{row.index}")) if table.label else ""
    return Device(
        id=DeviceId(f"{device.id}-{table.key}-{row.index}"),
        display_name=label or row.fill(table.display_name),
        type=table.part or device.type,
        serial_number=_text(answers.get(f"{table.serial}.{row.index}")) if table.serial else "",
        parent=device.id,
        location=device.location,
    )


def _totals(table: Table, device: DeviceId, answers: Answers, now: Instant) -> Iterator[Reading]:
    metrics = {metric.name: metric for metric in table.metrics}
    for total in table.totals:
        values = [_value(metrics[total.of], answers, f".{row.index}") for row in _rows(table, answers)]
        numbers = [value for value in values if isinstance(value, float)]
        if numbers:
            sensor = Sensor(device, SensorId(slug(total.name)), total.display_name or total.name, total.name, total.unit)
            yield Reading(sensor, now, max(numbers) if total.greatest else round(sum(numbers), 6))


def _first_text(oids: tuple[str, ...], answers: Answers) -> str:
    return next((text for text in (_text(answers.get(oid)) for oid in oids) if text), "")


def _text(raw: Raw | None) -> str:
    """The text of an octet string, with a visible mark for what cannot be seen. Agents fill up with zeros and blanks."""
    if not isinstance(raw, bytes):
        return ""
    return cleaned(raw.decode("utf-8", "replace").strip("\0 \t\r\n")[:_LONGEST_NAME]).strip()


def _within(oid: str, prefix: str) -> bool:
    return oid == prefix or oid.startswith(f"{prefix}.")
