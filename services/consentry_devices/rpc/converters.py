"""From the domain to the API: ids become names, instants timestamps. The way back, for what gateways send, is `frames.py`."""

from collections.abc import Iterable

from consentry.devices.v1 import alarms_pb2, gap_pb2, inventory_pb2, telemetry_pb2
from consentry_core.protocol.follow_wire import data_classes_to_wire
from consentry_core.protocol.times import optional_timestamp, to_timestamp
from consentry_core.values import names
from consentry_devices.domain.alarms import Alarm, AlarmEvent
from consentry_devices.domain.frames import Loss
from consentry_devices.domain.inventory import Device, InventoryChange, Location, Sensor
from consentry_devices.domain.limits import GATEWAYS_OF_CUSTOMER
from consentry_devices.domain.state import Reading
from consentry_devices.rpc.inventory_part import pieces
from consentry_rule import CustomerId, DataClass, Instant


def to_location(customer: CustomerId, location: Location) -> inventory_pb2.Location:
    """See `Location`."""
    return inventory_pb2.Location(
        name=names.LOCATION.format(customer, location.id),
        display_name=location.display_name,
        kind=inventory_pb2.Location.Kind.ValueType(location.kind),
        parent=location.parent and names.LOCATION.format(customer, location.parent),
    )


def to_device(customer: CustomerId, device: Device) -> inventory_pb2.Device:
    """See `Device`."""
    return inventory_pb2.Device(
        name=names.DEVICE.format(customer, device.id),
        display_name=device.display_name,
        type=inventory_pb2.Device.Type.ValueType(device.type),
        model_name=device.model_name,
        serial_number=device.serial_number,
        parent=device.parent and names.DEVICE.format(customer, device.parent),
        location=device.location and names.LOCATION.format(customer, device.location),
        gateways=device.gateways[:GATEWAYS_OF_CUSTOMER],
    )


def to_sensor(customer: CustomerId, sensor: Sensor) -> inventory_pb2.Sensor:
    """See `Sensor`."""
    return inventory_pb2.Sensor(
        name=names.SENSOR.format(customer, sensor.device, sensor.id),
        display_name=sensor.display_name,
        metric=sensor.metric,
        unit=sensor.unit,
    )


def to_inventory_change(customer: CustomerId, change: InventoryChange) -> inventory_pb2.InventoryChange:
    """See `InventoryChange`."""
    return inventory_pb2.InventoryChange(
        time=to_timestamp(change.time),
        locations=[to_location(customer, location) for location in change.locations],
        devices=[to_device(customer, device) for device in change.devices],
        sensors=[to_sensor(customer, sensor) for sensor in change.sensors],
        deleted_locations=[names.LOCATION.format(customer, location) for location in change.deleted_locations],
        deleted_devices=[names.DEVICE.format(customer, device) for device in change.deleted_devices],
        deleted_sensors=[names.SENSOR.format(customer, device, sensor) for device, sensor in change.deleted_sensors],
    )


def to_alarm(customer: CustomerId, alarm: Alarm) -> alarms_pb2.Alarm:
    """See `Alarm`."""
    return alarms_pb2.Alarm(
        name=names.ALARM.format(customer, alarm.id),
        device=names.DEVICE.format(customer, alarm.device),
        label=alarm.label,
        message=alarm.message,
        severity=alarms_pb2.Alarm.Severity.ValueType(alarm.severity),
        activate_time=to_timestamp(alarm.activate_time),
        clear_time=optional_timestamp(alarm.clear_time),
        reactivation_count=alarm.reactivation_count,
    )


def to_alarm_event(customer: CustomerId, event: AlarmEvent) -> alarms_pb2.AlarmEvent:
    """See `AlarmEvent`."""
    return alarms_pb2.AlarmEvent(
        number=event.number,
        kind=alarms_pb2.AlarmEvent.Kind.ValueType(event.kind.value),
        time=to_timestamp(event.time),
        alarm=to_alarm(customer, event.alarm),
    )


def to_reading(customer: CustomerId, reading: Reading) -> telemetry_pb2.Reading:
    """See `Reading`."""
    message = telemetry_pb2.Reading(
        device=names.DEVICE.format(customer, reading.device),
        sensor=names.SENSOR.format(customer, reading.device, reading.sensor),
        time=to_timestamp(reading.time),
    )
    if isinstance(reading.value, str):
        message.text = reading.value
    else:
        message.value = reading.value
    return message


class WireEncoder:
    """See `consentry_devices.domain.frames.Encoder`."""

    def inventory_changes(self, customer: CustomerId, change: InventoryChange) -> Iterable[bytes]:
        """See `Encoder.inventory_changes`."""
        whole = to_inventory_change(customer, change).SerializeToString(deterministic=True)
        return [piece for piece, _ in pieces(whole)]

    def alarm_event(self, customer: CustomerId, event: AlarmEvent) -> bytes:
        """See `Encoder.alarm_event`."""
        return to_alarm_event(customer, event).SerializeToString(deterministic=True)

    def loss(self, customer: CustomerId, gateway: str, loss: Loss) -> bytes:
        """See `Encoder.loss`."""
        gap = gap_pb2.Gap(
            customer=names.CUSTOMER.format(customer),
            cause=gap_pb2.Gap.CAUSE_GATEWAY_LOST,
            data_classes=data_classes_to_wire(frozenset({DataClass.TELEMETRY})),
            start_time=to_timestamp(loss.start),
            end_time=to_timestamp(Instant(loss.end + 1)),  # a gap's end is left out of it
            gateway=gateway,
        )
        return gap.SerializeToString(deterministic=True)
