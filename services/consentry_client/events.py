"""What a watch of the feed tells. Every event carries the `cursor` to go on after."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias, assert_never

from google.protobuf.timestamp_pb2 import Timestamp

from consentry.devices.v1 import alarms_pb2, feed_pb2, gap_pb2, inventory_pb2
from consentry_client.readings import DeviceReadings, Reading, datetime_of
from consentry_client.requests import timestamp
from consentry_core.protocol.data_classes import data_classes_to_wire, known_data_classes
from consentry_rule import DataClass

_NANOS = 10**9


@dataclass(frozen=True, slots=True)
class Telemetry:
    """Readings, each device's as one table. `folded_count`: how many are not here, because newer ones of their sensors are."""

    cursor: str
    devices: tuple[DeviceReadings, ...]
    folded_count: int = 0

    def readings(self) -> Iterator[Reading]:
        """All of them as rows."""
        for device in self.devices:
            yield from device.readings()


@dataclass(frozen=True, slots=True)
class InventoryChange:
    """Locations, devices and sensors, as they are from here on."""

    cursor: str
    change: inventory_pb2.InventoryChange

    @property
    def locations(self) -> Sequence[inventory_pb2.Location]:
        """New or changed."""
        return self.change.locations

    @property
    def devices(self) -> Sequence[inventory_pb2.Device]:
        """New or changed."""
        return self.change.devices

    @property
    def sensors(self) -> Sequence[inventory_pb2.Sensor]:
        """New or changed."""
        return self.change.sensors

    @property
    def deleted(self) -> Sequence[str]:
        """Gone, by name: locations, devices, sensors."""
        return (*self.change.deleted_locations, *self.change.deleted_devices, *self.change.deleted_sensors)


@dataclass(frozen=True, slots=True)
class AlarmChange:
    """What happened to an alarm; in a snapshot, where it stands."""

    cursor: str
    event: alarms_pb2.AlarmEvent

    @property
    def alarm(self) -> alarms_pb2.Alarm:
        """The alarm as it is from here on."""
        return self.event.alarm


@dataclass(frozen=True, slots=True)
class CustomerAdded:
    """A customer is covered from here on, with these classes of data. Said again when the classes change."""

    cursor: str
    customer: str
    data_classes: frozenset[DataClass]


@dataclass(frozen=True, slots=True)
class CustomerRemoved:
    """The feed tells nothing more of a customer from here on: `CONSENT_REVOKED`, `SUBSCRIPTION_EXPIRED`, ..."""

    cursor: str
    customer: str
    reason: str


@dataclass(frozen=True, slots=True)
class Synced:
    """Everything up to the opening of the stream has been told; what follows is news. Said again after resuming."""

    cursor: str


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Nothing happened; the service's clock says `time_unix_nano`."""

    cursor: str
    time_unix_nano: int

    @property
    def time(self) -> datetime:
        """The service's clock."""
        return datetime_of(self.time_unix_nano)


@dataclass(frozen=True, slots=True)
class Gap:
    """Data is missing at this point of the feed.

    `cause`: `NOT_COVERED` meanwhile, `NOT_KEPT` any longer, or `GATEWAY_LOST`, and then `gateway` says by which.
    `data_classes`: what may be missing; none: any. Of the times from `start_time_unix_nano` on, up to and without
    `end_time_unix_nano`, in ns since the Unix epoch, UTC; None: not known.
    """

    cursor: str
    customer: str
    cause: str
    data_classes: frozenset[DataClass] = frozenset()
    start_time_unix_nano: int | None = None
    end_time_unix_nano: int | None = None
    gateway: str = ""

    @property
    def start_time(self) -> datetime | None:
        """From here on, to the microsecond, in UTC."""
        return None if self.start_time_unix_nano is None else datetime_of(self.start_time_unix_nano)

    @property
    def end_time(self) -> datetime | None:
        """Up to here."""
        return None if self.end_time_unix_nano is None else datetime_of(self.end_time_unix_nano)


Event: TypeAlias = Telemetry | InventoryChange | AlarmChange | CustomerAdded | CustomerRemoved | Synced | Heartbeat | Gap


def event_of(message: feed_pb2.WatchResponse) -> Event | None:
    """The event of a message; None for a kind that a newer service knows and this client does not."""
    cursor = message.cursor
    match message.WhichOneof("event"):
        case "telemetry":
            devices = tuple(DeviceReadings(device) for device in message.telemetry.devices)
            return Telemetry(cursor, devices, message.telemetry.folded_count)
        case "inventory_change":
            return InventoryChange(cursor, message.inventory_change)
        case "alarm_change":
            return AlarmChange(cursor, message.alarm_change)
        case "customer_added":
            added = message.customer_added
            return CustomerAdded(cursor, added.customer, known_data_classes(added.data_classes))
        case "customer_removed":
            return CustomerRemoved(cursor, message.customer_removed.customer, message.customer_removed.reason)
        case "synced":
            return Synced(cursor)
        case "heartbeat":
            return Heartbeat(cursor, _unix_nano(message.heartbeat.time))
        case "gap":
            return gap_of(message.gap, cursor)
        case _:
            return None


def message_of(event: Event) -> feed_pb2.WatchResponse:
    """The message that an event was made of."""
    w = feed_pb2.WatchResponse
    message = w(cursor=event.cursor)
    match event:
        case Telemetry():
            devices = (device.message for device in event.devices)
            message.telemetry.CopyFrom(w.Telemetry(devices=devices, folded_count=event.folded_count))
            message.telemetry.SetInParent()
        case InventoryChange():
            message.inventory_change.CopyFrom(event.change)
        case AlarmChange():
            message.alarm_change.CopyFrom(event.event)
        case CustomerAdded():
            classes = data_classes_to_wire(event.data_classes)
            message.customer_added.CopyFrom(w.CustomerAdded(customer=event.customer, data_classes=classes))
        case CustomerRemoved():
            message.customer_removed.CopyFrom(w.CustomerRemoved(customer=event.customer, reason=event.reason))
        case Synced():
            message.synced.SetInParent()
        case Heartbeat():
            message.heartbeat.time.CopyFrom(timestamp(event.time_unix_nano))
        case Gap():
            message.gap.CopyFrom(_gap_message(event))
        case _:
            assert_never(event)
    return message


def gap_of(message: gap_pb2.Gap, cursor: str = "") -> Gap:
    """A gap in the feed, or in history."""
    return Gap(
        cursor,
        message.customer,
        _cause(message.cause),
        known_data_classes(message.data_classes),
        _unix_nano(message.start_time) if message.HasField("start_time") else None,
        _unix_nano(message.end_time) if message.HasField("end_time") else None,
        message.gateway,
    )


def _gap_message(gap: Gap) -> gap_pb2.Gap:
    return gap_pb2.Gap(
        customer=gap.customer,
        cause=gap_pb2.Gap.Cause.Value(f"CAUSE_{gap.cause}"),
        data_classes=data_classes_to_wire(gap.data_classes),
        start_time=None if gap.start_time_unix_nano is None else timestamp(gap.start_time_unix_nano),
        end_time=None if gap.end_time_unix_nano is None else timestamp(gap.end_time_unix_nano),
        gateway=gap.gateway,
    )


def _unix_nano(time: Timestamp) -> int:
    return time.seconds * _NANOS + time.nanos


def _cause(cause: gap_pb2.Gap.Cause.ValueType) -> str:
    try:
        return gap_pb2.Gap.Cause.Name(cause).removeprefix("CAUSE_")
    except ValueError:  # a newer service's
        return "UNSPECIFIED"
