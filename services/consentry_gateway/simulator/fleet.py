"""What the demo customer has: a site with one machine room, two racks, two UPSs, four rack PDUs, cooling and sensors.

UPS A feeds the first PDU of each rack, UPS B the second.
"""

from collections.abc import Iterator

from consentry_gateway.reading.model import (
    Device,
    DeviceId,
    DeviceType,
    Limit,
    Location,
    LocationId,
    LocationKind,
    Sensor,
    SensorId,
    slug,
)

SITE, BUILDING, ROOM = LocationId("demo-site"), LocationId("demo-building"), LocationId("demo-room")
RACKS = (LocationId("rack-a"), LocationId("rack-b"))

LOCATIONS = (
    Location(SITE, "Demo site", LocationKind.SITE),
    Location(BUILDING, "Main building", LocationKind.BUILDING, SITE),
    Location(ROOM, "Machine room", LocationKind.ROOM, BUILDING),
    Location(RACKS[0], "Rack A", LocationKind.RACK, ROOM),
    Location(RACKS[1], "Rack B", LocationKind.RACK, ROOM),
)

UPSS = tuple(
    Device(DeviceId(f"ups-{mark}"), f"UPS {mark.upper()}", DeviceType.UPS, "Demo UPS 8000", f"DU8K-{number:04}", None, ROOM)
    for number, mark in enumerate("ab", 1)
)
FRAMES_PER_UPS = 2
PDUS = tuple(
    Device(
        DeviceId(f"{rack}-pdu-{number}"), f"{rack.replace('-', ' ').title()} PDU {number}", DeviceType.RACK_PDU,
        "Demo PDU 16A", f"DP16-{place:02}{number:02}", None, rack,
    )
    for place, rack in enumerate(RACKS, 1)
    for number in (1, 2)
)  # fmt: skip
BANKS_PER_PDU = 2
COOLING = Device(DeviceId("cooling-1"), "Cooling unit 1", DeviceType.COOLING_UNIT, "Demo Cooler 20", "DC20-0001", None, ROOM)
PROBES = tuple(
    Device(DeviceId(name), shown, DeviceType.ENVIRONMENTAL_SENSOR, "Demo Probe TH", f"DT-{number:04}", None, place)
    for number, (name, shown, place) in enumerate(
        (("rack-a-inlet", "Rack A inlet", RACKS[0]), ("rack-b-inlet", "Rack B inlet", RACKS[1]), ("room", "Room", ROOM)), 1
    )
)

ROOM_LIMIT = Limit(30.0, 28.0)


def parts(device: Device) -> Iterator[Device]:
    """The devices that a device is made of."""
    if device.type is DeviceType.UPS:
        for number in range(1, FRAMES_PER_UPS + 1):
            yield Device(
                DeviceId(f"{device.id}-frame-{number}"), f"Battery frame {number}", DeviceType.BATTERY_FRAME,
                "Demo Frame 192V", f"{device.serial_number}-{number}", device.id, device.location,
            )  # fmt: skip
    if device.type is DeviceType.RACK_PDU:
        for number in range(1, BANKS_PER_PDU + 1):
            yield Device(
                DeviceId(f"{device.id}-bank-{number}"), f"Bank {number}", DeviceType.OUTLET_GROUP,
                parent=device.id, location=device.location,
            )  # fmt: skip


def sensor(device: Device, metric: str, unit: str = "", limit: Limit | None = None) -> Sensor:
    """A sensor of a device, called after its metric."""
    shown = metric.replace(".", " ").capitalize()
    return Sensor(device.id, SensorId(slug(metric)), shown, metric, unit, limit)
