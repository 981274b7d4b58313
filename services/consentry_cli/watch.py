"""`consentry watch`: the feed. With an API key."""

from collections.abc import Iterator

import click

from consentry.authority.v1 import data_class_pb2
from consentry.devices.v1 import alarms_pb2
from consentry_cli.call import Call, devices_call
from consentry_cli.following import following, patience
from consentry_cli.output import field, to_json
from consentry_cli.params import CUSTOMER, DATA_CLASS
from consentry_cli.telemetry import reading_line
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
from consentry_client.events import data_classes_of, message_of


@click.command()
@devices_call
@click.option("--customer", "customers", type=CUSTOMER, multiple=True, help="Only this customer. Else: all that are covered.")
@click.option("--data-class", "data_classes", type=DATA_CLASS, multiple=True, help="Only this. Else: all that is consented to.")
@click.option("--after-cursor", help="Go on after this cursor, which an earlier watch with the same filter told at its end.")
@click.option("--live", is_flag=True, help="Leave the current state out: start with what happens next.")
@click.option("--until-synced", is_flag=True, help="End when everything up to now has been told: a daily pull.")
@patience
def watch(
    call: Call,
    *,
    customers: tuple[str, ...],
    data_classes: tuple[data_class_pb2.DataClass.ValueType, ...],
    after_cursor: str | None,
    live: bool,
    until_synced: bool,
    patience: float,
) -> None:
    """Tell everything that happens to devices.

    A line a reading or change or, with --json, a line a message; until Ctrl-C. With an API key.

    Starts with the current state, comes back by itself when the service does, and ends with the cursor to go on after.
    """
    if live and after_cursor is not None:
        raise click.UsageError("--live and --after-cursor exclude each other")
    with Client(devices=call.channel, secret=call.secret) as client, following("--after-cursor") as follow:
        for event in client.watch(
            customers,
            data_classes_of(data_classes),
            after_cursor,
            until_synced,
            live=live,
            patience=patience,
        ):
            if call.as_json:
                click.echo(to_json(message_of(event), one_line=True))
            else:
                for line in lines(event):
                    click.echo(line)
            follow.position = event.cursor


def lines(event: Event) -> Iterator[str]:
    """What happened, for people."""
    match event:
        case Telemetry():
            for device in event.devices:
                late = "  (late)" if device.historical else ""
                yield from (f"reading    {reading_line(reading)}{late}" for reading in device.readings())
        case InventoryChange():
            for things in (event.locations, event.devices, event.sensors):
                yield from (f"inventory  {field(thing, 'name')}  {field(thing, 'display_name')}" for thing in things)
        case AlarmChange():
            yield _alarm_line(event.event)
        case CustomerAdded():
            classes = ", ".join(sorted(data_class.value for data_class in event.data_classes))
            yield f"added      {event.customer}  {classes}"
        case CustomerRemoved():
            yield f"removed    {event.customer}  {event.reason}"
        case Gap():
            yield f"gap        {event.customer or 'any customer'}  {event.cause}"
        case Synced():
            yield "synced"
        case Heartbeat():
            pass


def _alarm_line(event: alarms_pb2.AlarmEvent) -> str:
    what = f"{field(event, 'kind')}  {field(event, 'alarm.severity')}  {event.alarm.label}: {event.alarm.message}"
    return f"alarm      {field(event, 'time')}  {event.alarm.name}  {what}"
