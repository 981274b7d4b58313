"""`consentry telemetry`: what was measured. With an API key."""

import contextlib
from collections.abc import Iterable
from typing import Any

import click
from google.protobuf.timestamp_pb2 import Timestamp

from consentry.devices.v1 import telemetry_pb2
from consentry.devices.v1.telemetry_pb2_grpc import TelemetryServiceStub
from consentry_cli.call import Call, devices_call
from consentry_cli.helping import Group
from consentry_cli.output import field, say, say_json
from consentry_cli.params import AGGREGATE, CUSTOMER, DEVICE, SENSOR, SPAN, TIME
from consentry_client import Aggregate, Client, DeviceReadings, DeviceSteps, HistoryGap, Reading, Step

_device = click.option("--device", "devices", type=DEVICE, multiple=True, help="Only of this device, by its whole name.")
_sensor = click.option("--sensor", "sensors", type=SENSOR, multiple=True, help="Only this sensor, by its whole name.")


@click.group(cls=Group)
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
    answer = call.ask_all(TelemetryServiceStub(call.channel).QueryLatest, request)
    if call.answers.for_programs:
        call.answers.table(answer, "readings", ())
        return
    cells = [[field(reading, "sensor"), field(reading, "time"), _value(reading)] for reading in answer.readings]
    call.answers.rows(cells, ["sensor", "time", "value"])


@telemetry.command()
@devices_call
@click.argument("customer", type=CUSTOMER)
@click.option("--start-time", type=TIME, required=True, help="From here on: RFC 3339, or from now (-1h).")
@click.option("--end-time", type=TIME, help="Up to here, this instant left out. Else: up to now.")
@_device
@_sensor
@click.option("--step", type=SPAN, help="One line per sensor and step of time (5m, 1h) instead of every reading.")
@click.option("--aggregate", "aggregates", type=AGGREGATE, multiple=True, help="What to say of a step. Else: everything.")
def history(
    call: Call,
    *,
    customer: str,
    start_time: Timestamp,
    end_time: Timestamp | None,
    devices: tuple[str, ...],
    sensors: tuple[str, ...],
    step: int | None,
    aggregates: tuple[telemetry_pb2.QueryHistoryRequest.Aggregate.ValueType, ...],
) -> None:
    """Print the readings of a time range, or what they come to per step.

    A line a reading or step or, with --json, a line a table of one device. What is missing comes first, on standard error.
    """
    if aggregates and step is None:
        raise click.UsageError("--aggregate goes with --step")
    start, end = start_time.ToNanoseconds(), None if end_time is None else end_time.ToNanoseconds()
    with Client(devices=call.channel, secret=call.secret) as client:
        told: Iterable[DeviceReadings | DeviceSteps | HistoryGap] = (
            client.history(customer, start, end, devices=devices, sensors=sensors)
            if step is None
            else client.history_in_steps(
                customer, start, end, step=step, aggregates=map(Aggregate, aggregates), devices=devices, sensors=sensors
            )
        )
        for table in told:
            if isinstance(table, HistoryGap):
                say(_gap_line(table), err=True)
            elif call.answers.for_programs:
                say_json(table.message, one_line=True)
            else:
                lines = (
                    map(_step_line, table.steps()) if isinstance(table, DeviceSteps) else map(reading_line, table.readings())
                )
                for line in lines:
                    say(line)


@telemetry.command()
@devices_call
@click.option("--rate", type=click.IntRange(1, 1_000_000), default=1_000, show_default=True, help="Readings per second in all.")
@click.option("--sensors", type=click.IntRange(1, 100_000), default=100, show_default=True, help="How many they come from.")
def simulate(call: Call, rate: int, sensors: int) -> None:
    """Print made-up readings until Ctrl-C: a line a reading or, with --json, a line a table of one device.

    They are nobody's, and any API key may ask for them, so that a program can be tried before there is a customer.
    """
    with Client(devices=call.channel, secret=call.secret) as client, contextlib.suppress(KeyboardInterrupt):
        for table in client.simulate(rate, sensors):
            if call.answers.for_programs:
                say_json(table.message, one_line=True)
                continue
            for reading in table.readings():
                say(reading_line(reading))


def reading_line(reading: Reading) -> str:
    """Time, sensor, value."""
    return f"{_time(reading.time_unix_nano)}  {reading.sensor}  {_number(reading.value)}"


def _step_line(step: Step) -> str:
    """Time, sensor, and what was asked for."""
    told = {"min": step.min, "max": step.max, "mean": step.mean, "last": step.last, "count": step.count}
    values = "  ".join(f"{name}={_number(value)}" for name, value in told.items() if value is not None)
    return f"{_time(step.time_unix_nano)}  {step.sensor}  {values}"


def _gap_line(gap: HistoryGap) -> str:
    start, end = ("?" if time is None else _time(time) for time in (gap.start_unix_nano, gap.end_unix_nano))
    by = f" by gateway {gap.gateway}" if gap.gateway else ""
    return f"gap  {gap.cause}{by}  from {start} to {end}"


def _time(unix_nano: int) -> str:
    time = Timestamp()
    time.FromNanoseconds(unix_nano)
    return time.ToJsonString()


def _value(reading: Any) -> str:
    return _number(reading.text if reading.HasField("text") else reading.value)


def _number(value: float | str) -> str:
    """As people write numbers: 41.5, 42."""
    return value if isinstance(value, str) else f"{value:.10g}"
