"""`consentry alarms`: what is wrong with a customer's devices, and what was. With an API key."""

import click

from consentry.devices.v1 import alarms_pb2
from consentry.devices.v1.alarms_pb2_grpc import AlarmServiceStub
from consentry_cli.call import Call, devices_call
from consentry_cli.helping import Group
from consentry_cli.params import ALARM, CUSTOMER


@click.group(cls=Group)
def alarms() -> None:
    """What is wrong, and what was.

    With an API key.
    """


@alarms.command("list")
@devices_call
@click.argument("customer", type=CUSTOMER)
@click.option("--active", "active_only", is_flag=True, help="Leave out those whose condition has ended.")
def list_(call: Call, customer: str, active_only: bool) -> None:
    """List a customer's alarms."""
    request = alarms_pb2.ListAlarmsRequest(parent=customer, active_only=active_only)
    answer = call.ask_all(AlarmServiceStub(call.channel).ListAlarms, request)
    columns = ["name", "severity", "label", "device", "activate_time", "clear_time"]
    call.answers.table(answer, "alarms", columns)


@alarms.command()
@devices_call
@click.argument("alarm", type=ALARM)
def get(call: Call, alarm: str) -> None:
    """Show one alarm as it is now."""
    answer = call.ask(AlarmServiceStub(call.channel).GetAlarm, alarms_pb2.GetAlarmRequest(name=alarm))
    call.answers.show(answer, "alarm")


@alarms.command()
@devices_call
@click.argument("alarm", type=ALARM)
def events(call: Call, alarm: str) -> None:
    """List everything that happened to one alarm, oldest first."""
    request = alarms_pb2.ListAlarmEventsRequest(parent=alarm)
    answer = call.ask_all(AlarmServiceStub(call.channel).ListAlarmEvents, request)
    columns = ["number", "time", "kind", "alarm.severity", "alarm.label", "alarm.message"]
    call.answers.table(answer, "alarm_events", columns)
