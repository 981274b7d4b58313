"""`consentry watch`: the feed. With an API key."""

from collections.abc import Iterator
from datetime import timedelta
from typing import assert_never

import click

from consentry.authority.v1 import data_class_pb2
from consentry.devices.v1 import alarms_pb2
from consentry_cli.call import Call, devices_call
from consentry_cli.commands.following import following, patience
from consentry_cli.commands.telemetry import reading_line
from consentry_cli.helping import Command
from consentry_cli.output import field, say, say_json
from consentry_cli.params import CUSTOMER, DATA_CLASS, DEVICE
from consentry_client import (
    AlarmChange,
    Client,
    CustomerAdded,
    CustomerRemoved,
    Event,
    Gap,
    Heartbeat,
    InventoryChange,
    Synced,
    Telemetry,
)
from consentry_client.events import message_of
from consentry_core.protocol.data_classes import known_data_classes


@click.command(cls=Command)
@devices_call
@click.option("--customer", "customers", type=CUSTOMER, multiple=True, help="Only this customer. Else: all that are covered.")
@click.option("--data-class", "data_classes", type=DATA_CLASS, multiple=True, help="Only this. Else: all that is consented to.")
@click.option("--device", "devices", type=DEVICE, multiple=True, help="Only what concerns this device.")
@click.option("--latest", is_flag=True, help="Only the newest reading of each sensor, when there are more than can be taken.")
@click.option(
    "--sample", type=click.FloatRange(0.1, 3600), metavar="SECONDS", help="The newest reading of each sensor, so often."
)
@click.option("--after-cursor", help="Go on after this cursor, which an earlier watch with the same filter told at its end.")
@click.option("--live", is_flag=True, help="Leave the current state out: start with what happens next.")
@click.option("--until-synced", is_flag=True, help="End when everything up to now has been told: a daily pull.")
@click.option("--strict", is_flag=True, help="Refuse a cursor that is older than what is kept, instead of telling of a gap.")
@patience
def watch(
    call: Call,
    *,
    customers: tuple[str, ...],
    data_classes: tuple[data_class_pb2.DataClass.ValueType, ...],
    devices: tuple[str, ...],
    latest: bool,
    sample: float | None,
    after_cursor: str | None,
    live: bool,
    until_synced: bool,
    strict: bool,
    patience: float,
) -> None:
    """Tell everything that happens to devices.

    A line a reading or change or, with --json, a line a message; until Ctrl-C. With an API key.

    Starts with the current state, comes back by itself when the service does, and ends with the cursor to go on after.
    """
    if live and after_cursor is not None:
        raise click.UsageError("--live and --after-cursor exclude each other")
    if latest and sample is not None:
        raise click.UsageError("--latest and --sample exclude each other")
    with Client(devices=call.channel, secret=call.secret) as client, following("--after-cursor") as follow:
        for event in client.watch(
            customers,
            known_data_classes(data_classes),
            after_cursor,
            until_synced,
            devices=devices,
            live=live,
            latest=latest,
            sample_interval=None if sample is None else timedelta(seconds=sample),
            strict=strict,
            patience=patience,
        ):
            if call.answers.for_programs:
                say_json(message_of(event), one_line=True)
            else:
                for line in lines(event):
                    say(line)
            follow.position = event.cursor


def lines(event: Event) -> Iterator[str]:
    """What happened, for people."""
    match event:
        case Telemetry():
            for device in event.devices:
                late = "  (late)" if device.historical else ""
                yield from (f"reading    {reading_line(reading)}{late}" for reading in device.readings())
            if event.folded_count:
                yield f"folded     {event.folded_count} readings"
        case InventoryChange():
            for things in (event.locations, event.devices, event.sensors):
                yield from (f"inventory  {field(thing, 'name')}  {field(thing, 'display_name')}" for thing in things)
            yield from (f"deleted    {name}" for name in event.deleted)
        case AlarmChange():
            yield _alarm_line(event.event)
        case CustomerAdded():
            classes = ", ".join(sorted(data_class.value for data_class in event.data_classes))
            yield f"added      {event.customer}  {classes}"
        case CustomerRemoved():
            yield f"removed    {event.customer}  {event.reason}"
        case Gap():
            yield _gap_line(event)
        case Synced():
            yield "synced"
        case Heartbeat():
            pass
        case _:
            assert_never(event)


def _gap_line(gap: Gap) -> str:
    classes = ", ".join(sorted(data_class.value for data_class in gap.data_classes))
    start, end = (time.isoformat() if time else "" for time in (gap.start_time, gap.end_time))
    when = f"{start} to {end}".strip() if start or end else ""
    parts = (gap.customer or "any customer", gap.cause, classes, when, gap.gateway)
    return "gap        " + "  ".join(part for part in parts if part)


def _alarm_line(event: alarms_pb2.AlarmEvent) -> str:
    what = f"{field(event, 'kind')}  {field(event, 'alarm.severity')}  {event.alarm.label}: {event.alarm.message}"
    return f"alarm      {field(event, 'time')}  {event.alarm.name}  {what}"
