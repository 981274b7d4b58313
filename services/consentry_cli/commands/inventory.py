"""`consentry inventory`: what a customer has. With an API key."""

import click

from consentry.devices.v1 import inventory_pb2
from consentry.devices.v1.inventory_pb2_grpc import InventoryServiceStub
from consentry_cli.answers import Form
from consentry_cli.call import Call, devices_call
from consentry_cli.helping import Group
from consentry_cli.output import say
from consentry_cli.params import CUSTOMER, DEVICE, ResourceName
from consentry_core.values import names


@click.group(cls=Group)
def inventory() -> None:
    """What a customer has.

    Locations, devices, sensors. With an API key.
    """


@inventory.command()
@devices_call
@click.argument("customer", type=CUSTOMER)
def locations(call: Call, customer: str) -> None:
    """List locations."""
    request = inventory_pb2.ListLocationsRequest(parent=customer)
    answer = call.ask_all(InventoryServiceStub(call.channel).ListLocations, request)
    call.answers.table(answer, "locations", ["name", "kind", "display_name", "parent"])


@inventory.command()
@devices_call
@click.argument("customer", type=CUSTOMER)
def devices(call: Call, customer: str) -> None:
    """List devices, nested ones too."""
    request = inventory_pb2.ListDevicesRequest(parent=customer)
    answer = call.ask_all(InventoryServiceStub(call.channel).ListDevices, request)
    columns = ["name", "type", "display_name", "model_name", "serial_number", "parent", "location"]
    call.answers.table(answer, "devices", columns)


@inventory.command()
@devices_call
@click.argument("device", type=DEVICE)
def device(call: Call, device: str) -> None:
    """Show one device, and what it is part of."""
    answer = call.ask(InventoryServiceStub(call.channel).GetDevice, inventory_pb2.GetDeviceRequest(name=device))
    if call.answers.form not in {Form.TABLE, Form.WIDE}:
        call.answers.show(answer, "device")
        return
    call.answers.show(inventory_pb2.GetDeviceResponse(device=answer.device), "device")
    for ancestor in answer.ancestors:
        say(f"part of: {ancestor.name}  {ancestor.display_name}")


@inventory.command()
@devices_call
@click.argument("parent", type=ResourceName(names.CUSTOMER, names.DEVICE), metavar="CUSTOMER|DEVICE")
def sensors(call: Call, parent: str) -> None:
    """List the sensors of a customer or of one device, by its whole name (customers/ID or customers/ID/devices/ID)."""
    answer = call.ask_all(InventoryServiceStub(call.channel).ListSensors, inventory_pb2.ListSensorsRequest(parent=parent))
    call.answers.table(answer, "sensors", ["name", "metric", "unit", "display_name"])
