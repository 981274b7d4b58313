"""`consentry telemetry`: what was measured. With an API key."""

from typing import Any

import click
from google.protobuf.timestamp_pb2 import Timestamp

from consentry.devices.v1 import telemetry_pb2
from consentry.devices.v1.telemetry_pb2_grpc import TelemetryServiceStub
from consentry_cli.call import Call, devices_call
from consentry_cli.output import field, rows, show, to_json
from consentry_cli.params import CUSTOMER, DEVICE, SENSOR, TIME
from consentry_client import Client, Reading

_device = click.option("--device", "devices", type=DEVICE, multiple=True, help="Only of this device, by its whole name.")
_sensor = click.option("--sensor", "sensors", type=SENSOR, multiple=True, help="Only this sensor, by its whole name.")


@click.group()
def telemetry() -> None:
    """What was measured.

    With an API key.
    """


@telemetry.command()
@devices_call
@click.argument("customer", type=CUSTOMER)
@_device
@_sensor
def latest(call: Call, customer: str, devices: tuple[str, ...], sensors: tuple[str, ...]) -> None:
    """Show the newest reading of each sensor."""
    request = telemetry_pb2.QueryLatestRequest(parent=customer, devices=devices, sensors=sensors)
    answer = call.ask(TelemetryServiceStub(call.channel).QueryLatest, request)
    if call.as_json:
        show(answer, None, as_json=True)
        return
    cells = [[field(reading, "sensor"), field(reading, "time"), _value(reading)] for reading in answer.readings]
    rows(cells, ["sensor", "time", "value"])


@telemetry.command()
@devices_call
@click.argument("customer", type=CUSTOMER)
@click.option("--start-time", type=TIME, required=True, help="From here on: RFC 3339, or from now (-1h).")
@click.option("--end-time", type=TIME, help="Up to here, this instant left out. Else: up to now.")
@_device
@_sensor
def history(
    call: Call,
    *,
    customer: str,
    start_time: Timestamp,
    end_time: Timestamp | None,
    devices: tuple[str, ...],
    sensors: tuple[str, ...],
) -> None:
    """Print the readings of a time range: a line a reading or, with --json, a line a table of one device."""
    end = None if end_time is None else end_time.ToNanoseconds()
    with Client(devices=call.channel, secret=call.secret) as client:
        for table in client.history(customer, start_time.ToNanoseconds(), end, devices=devices, sensors=sensors):
            if call.as_json:
                click.echo(to_json(table.message, one_line=True))
                continue
            for reading in table.readings():
                click.echo(reading_line(reading))


def reading_line(reading: Reading) -> str:
    """Time, sensor, value."""
    time = Timestamp()
    time.FromNanoseconds(reading.time_unix_nano)
    return f"{time.ToJsonString()}  {reading.sensor}  {_number(reading.value)}"


def _value(reading: Any) -> str:
    return _number(reading.text if reading.HasField("text") else reading.value)


def _number(value: float | str) -> str:
    """As people write numbers: 41.5, 42."""
    return value if isinstance(value, str) else f"{value:.10g}"
