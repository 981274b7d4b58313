"""InventoryService: what a customer has."""

from typing import Any

from consentry.devices.v1 import inventory_pb2 as pb
from consentry.devices.v1 import inventory_pb2_grpc
from consentry_core.values import names
from consentry_core.values.errors import NotFound
from consentry_devices.domain.state import State
from consentry_devices.rpc.converters import to_device, to_location, to_sensor
from consentry_devices.rpc.reading import Pages, hands_out, let_in
from consentry_rule import CustomerId, DataClass


class InventoryServicer(inventory_pb2_grpc.InventoryServiceServicer):
    """See the proto."""

    def __init__(self, state: State, pages: Pages) -> None:
        self._state = state
        self._pages = pages

    async def ListLocations(self, request: pb.ListLocationsRequest, context: Any) -> pb.ListLocationsResponse:  # noqa: N802 - the proto's name
        """See the proto."""
        customer = CustomerId(names.CUSTOMER.parse(request.parent, "parent")[0])
        call = await let_in(customer, DataClass.INVENTORY)
        page = self._pages.asked(call, request.page_size, request.page_token, "ListLocations", request.parent)
        _, messages, token = await page.fill(
            lambda after, limit: self._state.locations(customer, after=after, limit=limit),
            lambda location: location.id,
            lambda location: to_location(customer, location),
        )
        return pb.ListLocationsResponse(locations=messages, next_page_token=token)

    async def ListDevices(self, request: pb.ListDevicesRequest, context: Any) -> pb.ListDevicesResponse:  # noqa: N802 - the proto's name
        """See the proto."""
        customer = CustomerId(names.CUSTOMER.parse(request.parent, "parent")[0])
        call = await let_in(customer, DataClass.INVENTORY)
        page = self._pages.asked(call, request.page_size, request.page_token, "ListDevices", request.parent)
        devices, messages, token = await page.fill(
            lambda after, limit: self._state.devices(customer, after=after, limit=limit),
            lambda device: device.id,
            lambda device: to_device(customer, device),
        )
        hands_out(call, (customer, DataClass.INVENTORY), (device.id for device in devices))
        return pb.ListDevicesResponse(devices=messages, next_page_token=token)

    async def GetDevice(self, request: pb.GetDeviceRequest, context: Any) -> pb.GetDeviceResponse:  # noqa: N802 - the proto's name
        """See the proto."""
        owner, device_id = names.DEVICE.parse(request.name, "name")
        customer = CustomerId(owner)
        call = await let_in(customer, DataClass.INVENTORY)
        found = await self._state.device(customer, device_id)
        if not found:
            raise NotFound(f"there is no device {request.name}; InventoryService.ListDevices lists those there are")
        hands_out(call, (customer, DataClass.INVENTORY), (each.id for each in found))
        device, *ancestors = [to_device(customer, each) for each in found]
        return pb.GetDeviceResponse(device=device, ancestors=ancestors)

    async def ListSensors(self, request: pb.ListSensorsRequest, context: Any) -> pb.ListSensorsResponse:  # noqa: N802 - the proto's name
        """See the proto."""
        pattern = names.DEVICE if "/devices/" in request.parent else names.CUSTOMER
        owner, *device = pattern.parse(request.parent, "parent")
        customer, device_id = CustomerId(owner), device[0] if device else None
        call = await let_in(customer, DataClass.INVENTORY)
        page = self._pages.asked(call, request.page_size, request.page_token, "ListSensors", request.parent)
        sensors, messages, token = await page.fill(
            lambda after, limit: self._state.sensors(customer, device_id, after=after, limit=limit),
            lambda sensor: sensor.path,
            lambda sensor: to_sensor(customer, sensor),
        )
        hands_out(call, (customer, DataClass.INVENTORY), (sensor.device for sensor in sensors))
        return pb.ListSensorsResponse(sensors=messages, next_page_token=token)
