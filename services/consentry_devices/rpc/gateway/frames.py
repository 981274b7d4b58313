"""Frames as gateways send them, checked as far as a frame can be by itself, into frames as the appender takes them.

Nothing that comes in is trusted: names must be the customer's own, blocks are kept only in their canonical form, and what
stands around a block (device, times, counts) is written here, from our own reading of it.
"""

import hashlib
from collections.abc import Iterable, Sequence

from consentry.devices.v1 import alarms_pb2, gateway_pb2, inventory_pb2
from consentry_core.protocol.times import from_timestamp
from consentry_core.values import names
from consentry_core.values.errors import InvalidArgument, PermissionDenied
from consentry_core.values.names import NamePattern
from consentry_core.values.reasons import ErrorReason
from consentry_devices.blocks import columns
from consentry_devices.blocks.intake import take
from consentry_devices.domain import limits
from consentry_devices.domain.alarms import Alarm
from consentry_devices.domain.frames import Frame, Loss, TelemetryBlock
from consentry_devices.domain.inventory import Device, InventoryChange, Location, Sensor
from consentry_devices.domain.limits import check_count, check_text, check_time
from consentry_rule import CustomerId, Instant

_DIGEST_BYTES = 16


def to_frame(message: gateway_pb2.PublishRequest.Frame, customer: CustomerId, now: Instant) -> Frame:
    """The frame. InvalidArgument for what can never be stored, PermissionDenied for what is another customer's."""
    if message.number < 1:
        raise InvalidArgument("frame.number", "must count up from 1", reason=ErrorReason.FRAME_OUT_OF_ORDER)
    check_count(len(message.alarms), "frame.alarms", limits.ALARMS_PER_FRAME)
    check_count(len(message.telemetry), "frame.telemetry", limits.BLOCKS_PER_FRAME)
    message.DiscardUnknownFields()
    content = message.SerializeToString(deterministic=True)
    return Frame(
        number=message.number,
        digest=hashlib.sha256(content).digest()[:_DIGEST_BYTES],  # processors have instructions for it
        size=len(content),
        time=now,
        inventory=_to_inventory(message.inventory, customer, now),
        alarms=tuple(_to_alarm(alarm, customer, now, f"frame.alarms[{i}]") for i, alarm in enumerate(message.alarms)),
        telemetry=tuple(_to_blocks(message, customer, now)),
        historical=message.historical,
        loss=_to_loss(message.loss, now) if message.HasField("loss") else None,
    )


def _own(pattern: NamePattern, name: str, customer: CustomerId, field: str) -> Sequence[str]:
    """The ids in a name, the customer's left out."""
    owner, *ids = pattern.parse(name, field)
    if owner != customer:
        raise PermissionDenied(
            f"{field}: a gateway publishes its own customer's things only; this token is for customers/{customer}",
            reason=ErrorReason.FOREIGN_CUSTOMER,
            metadata={"field": field, "customer": f"customers/{customer}"},
        )
    return ids


def _own_or_none(pattern: NamePattern, name: str, customer: CustomerId, field: str) -> str:
    return _own(pattern, name, customer, field)[0] if name else ""


def _to_inventory(told: inventory_pb2.InventoryChange, customer: CustomerId, now: Instant) -> InventoryChange:
    at = "frame.inventory"
    told_of = len(told.locations) + len(told.devices) + len(told.sensors)
    deleted = len(told.deleted_locations) + len(told.deleted_devices) + len(told.deleted_sensors)
    check_count(told_of + deleted, at, limits.INVENTORY_PER_FRAME)

    def gone(pattern: NamePattern, found: Sequence[str], field: str) -> tuple[Sequence[str], ...]:
        return tuple(_own(pattern, name, customer, f"{at}.{field}[{i}]") for i, name in enumerate(found))

    return InventoryChange(
        now,
        tuple(_to_location(location, customer, f"{at}.locations[{i}]") for i, location in enumerate(told.locations)),
        tuple(_to_device(device, customer, f"{at}.devices[{i}]") for i, device in enumerate(told.devices)),
        tuple(_to_sensor(sensor, customer, f"{at}.sensors[{i}]") for i, sensor in enumerate(told.sensors)),
        tuple(location for (location,) in gone(names.LOCATION, told.deleted_locations, "deleted_locations")),
        tuple(device for (device,) in gone(names.DEVICE, told.deleted_devices, "deleted_devices")),
        tuple((device, sensor) for device, sensor in gone(names.SENSOR, told.deleted_sensors, "deleted_sensors")),
    )


def _to_location(location: inventory_pb2.Location, customer: CustomerId, at: str) -> Location:
    return Location(
        _own(names.LOCATION, location.name, customer, f"{at}.name")[0],
        check_text(location.display_name, f"{at}.display_name"),
        _known(location.kind, inventory_pb2.Location.Kind.values(), f"{at}.kind"),
        _own_or_none(names.LOCATION, location.parent, customer, f"{at}.parent"),
    )


def _to_device(device: inventory_pb2.Device, customer: CustomerId, at: str) -> Device:
    return Device(
        _own(names.DEVICE, device.name, customer, f"{at}.name")[0],
        check_text(device.display_name, f"{at}.display_name"),
        _known(device.type, inventory_pb2.Device.Type.values(), f"{at}.type"),
        check_text(device.model_name, f"{at}.model_name"),
        check_text(device.serial_number, f"{at}.serial_number"),
        _own_or_none(names.DEVICE, device.parent, customer, f"{at}.parent"),
        _own_or_none(names.LOCATION, device.location, customer, f"{at}.location"),
    )


def _to_sensor(sensor: inventory_pb2.Sensor, customer: CustomerId, at: str) -> Sensor:
    device, sensor_id = _own(names.SENSOR, sensor.name, customer, f"{at}.name")
    return Sensor(
        device,
        sensor_id,
        check_text(sensor.display_name, f"{at}.display_name"),
        check_text(sensor.metric, f"{at}.metric"),
        check_text(sensor.unit, f"{at}.unit"),
    )


def _to_alarm(alarm: alarms_pb2.Alarm, customer: CustomerId, now: Instant, at: str) -> Alarm:
    severities = [severity for severity in alarms_pb2.Alarm.Severity.values() if severity]  # all but UNSPECIFIED
    activated = check_time(from_timestamp(alarm.activate_time, f"{at}.activate_time"), f"{at}.activate_time", now)
    cleared = None
    if alarm.HasField("clear_time"):
        cleared = check_time(from_timestamp(alarm.clear_time, f"{at}.clear_time"), f"{at}.clear_time", now)
        if cleared < activated:
            raise InvalidArgument(f"{at}.clear_time", "must not be before activate_time", reason=ErrorReason.TIME_INVALID)
    if not alarm.label:
        raise InvalidArgument(f"{at}.label", "must say what the condition is", reason=ErrorReason.LABEL_MISSING)
    return Alarm(
        _own(names.ALARM, alarm.name, customer, f"{at}.name")[0],
        _own(names.DEVICE, alarm.device, customer, f"{at}.device")[0],
        check_text(alarm.label, f"{at}.label"),
        check_text(alarm.message, f"{at}.message", limits.TEXT_CHARACTERS),
        _known(alarm.severity, severities, f"{at}.severity"),
        activated,
        cleared,
    )


def _to_loss(loss: gateway_pb2.PublishRequest.Loss, now: Instant) -> Loss:
    at = "frame.loss"
    start = check_time(from_timestamp(loss.start_time, f"{at}.start_time"), f"{at}.start_time", now)
    end = check_time(from_timestamp(loss.end_time, f"{at}.end_time"), f"{at}.end_time", now)
    if end < start:
        raise InvalidArgument(f"{at}.end_time", "must not be before start_time", reason=ErrorReason.TIME_INVALID)
    return Loss(start, end)


def _to_blocks(message: gateway_pb2.PublishRequest.Frame, customer: CustomerId, now: Instant) -> Sequence[TelemetryBlock]:
    fields = [f"frame.telemetry[{index}]" for index in range(len(message.telemetry))]
    devices = [
        _own(names.DEVICE, told.device, customer, f"{at}.device")[0] for told, at in zip(message.telemetry, fields, strict=True)
    ]
    blocks = [columns.canonical(told.block) for told in message.telemetry]
    for block, at in zip(blocks, fields, strict=True):
        check_count(len(block), f"{at}.block", limits.BLOCK_BYTES)
    taken = take(blocks, now, [f"{at}.block" for at in fields])
    return [
        TelemetryBlock(
            device,
            of.sensors,
            columns.enclose(told.device, block, of.count, of.span, historical=message.historical),
            *of.span,
            of.newest,
            of.count,
        )
        for told, device, block, of in zip(message.telemetry, devices, blocks, taken, strict=True)
    ]


def _known(value: int, values: Iterable[int], field: str) -> int:
    if value not in values:
        raise InvalidArgument(
            field, f"must be one of the values that the API names, not {value}", reason=ErrorReason.VALUE_UNKNOWN
        )
    return value
