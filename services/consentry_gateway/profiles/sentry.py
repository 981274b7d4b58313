"""ServerTech Sentry4 rack PDUs (PRO1, PRO2). Every index begins with the unit's number, and most go on with the cord's.

A temperature of -410 and a humidity of -1 are none.
"""

from consentry_gateway.profiles.form import Metric, Profile, Source, Table
from consentry_gateway.profiles.quantities import ROOM_HUMIDITY, ROOM_TEMPERATURE
from consentry_gateway.reading.model import DeviceType

_S4 = "1.3.6.1.4.1.1718.4.1"
_NONE = (-1,)
_UNIT = (("unit", 0),)
_SCALE = f"{_S4}.9.1.10.0"
_STATUS = {
    0: "normal",
    1: "disabled",
    2: "purged",
    5: "reading",
    6: "settling",
    7: "not found",
    8: "fault",
    9: "fault",
    10: "fault",
    11: "fault",
    12: "fault",
    13: "fault",
    14: "alarm",
    15: "alarm",
    16: "alarm",
    17: "alarm",
    18: "alarm",
    19: "alarm",
    20: "alarm",
    21: "fault",
    22: "fault",
    23: "fault",
}
_STATE = {0: "unknown", 1: "on", 2: "off"}

SENTRY4 = Profile(
    family="ServerTech Sentry4 rack PDU",
    device_type=DeviceType.RACK_PDU,
    object_ids=("1.3.6.1.4.1.1718",),
    probes=(f"{_S4}.2.2.1.5.1",),
    model=(f"{_S4}.2.2.1.5.1",),
    serial=(f"{_S4}.2.2.1.4.1",),
    tables=(
        Table(
            key="unit",
            part=DeviceType.RACK_PDU,
            itself="1",
            display_name="Unit {index}",
            model=f"{_S4}.2.2.1.5",
            serial=f"{_S4}.2.2.1.4",
        ),
        Table(
            key="cord",
            part=DeviceType.OUTLET_GROUP,
            within=_UNIT,
            number=1,
            display_name="Cord {index}",
            label=f"{_S4}.3.2.1.3",
            metrics=(
                Metric("unit.status", "", (Source(f"{_S4}.3.3.1.2"),), "Cord", _STATUS),
                Metric("input.realpower", "W", (Source(f"{_S4}.3.3.1.3", absent=_NONE),), "Power"),
                Metric("input.power", "VA", (Source(f"{_S4}.3.3.1.5", absent=_NONE),), "Apparent power"),
                Metric("input.energy", "kW.h", (Source(f"{_S4}.3.3.1.10", 0.1, absent=_NONE),), "Energy"),
            ),
        ),
        Table(
            key="line",
            within=(*_UNIT, ("cord", 1)),
            number=2,
            metrics=(
                Metric("input.L{index}.current", "A", (Source(f"{_S4}.4.3.1.3", 0.01, absent=_NONE),), "Current L{index}"),
            ),
        ),
        Table(
            key="phase",
            within=(*_UNIT, ("cord", 1)),
            number=2,
            metrics=(
                Metric("phase.{index}.voltage", "V", (Source(f"{_S4}.5.3.1.3", 0.1, absent=_NONE),), "Voltage, phase {index}"),
                Metric("phase.{index}.current", "A", (Source(f"{_S4}.5.3.1.6", 0.01, absent=_NONE),), "Current, phase {index}"),
                Metric("phase.{index}.realpower", "W", (Source(f"{_S4}.5.3.1.8", absent=_NONE),), "Power, phase {index}"),
            ),
        ),
        Table(
            key="branch",
            part=DeviceType.OUTLET_GROUP,
            within=(*_UNIT, ("cord", 1)),
            number=2,
            display_name="Branch {index}",
            metrics=(Metric("current", "A", (Source(f"{_S4}.7.3.1.3", 0.01, absent=_NONE),), "Current"),),
        ),
        Table(
            key="outlet",
            part=DeviceType.OUTLET_GROUP,
            within=(*_UNIT, ("cord", 1)),
            number=2,
            display_name="Outlet {index}",
            label=f"{_S4}.8.2.1.3",
            metrics=(
                Metric("status", "", (Source(f"{_S4}.8.3.1.1"),), "Outlet", _STATE),
                Metric("current", "A", (Source(f"{_S4}.8.3.1.3", 0.01, absent=_NONE),), "Current"),
                Metric("realpower", "W", (Source(f"{_S4}.8.3.1.7", absent=_NONE),), "Power"),
                Metric("energy", "kW.h", (Source(f"{_S4}.8.3.1.14", 0.001, absent=_NONE),), "Energy"),
            ),
        ),
        Table(
            key="temperature",
            part=DeviceType.ENVIRONMENTAL_SENSOR,
            within=_UNIT,
            number=1,
            display_name="Temperature sensor {index}",
            label=f"{_S4}.9.2.1.3",
            metrics=(
                Metric(
                    "ambient.temperature",
                    "Cel",
                    (
                        Source(f"{_S4}.9.3.1.1", 0.1, absent=(-410,), unless=(_SCALE, 1)),
                        Source(f"{_S4}.9.3.1.1", 0.1 * 5 / 9, -32 * 5 / 9, absent=(-410,), when=(_SCALE, 1)),
                    ),
                    "Temperature",
                    limit=ROOM_TEMPERATURE,
                ),
            ),
        ),
        Table(
            key="humidity",
            part=DeviceType.ENVIRONMENTAL_SENSOR,
            within=_UNIT,
            number=1,
            display_name="Humidity sensor {index}",
            label=f"{_S4}.10.2.1.3",
            metrics=(
                Metric("ambient.humidity", "%", (Source(f"{_S4}.10.3.1.1", absent=_NONE),), "Humidity", limit=ROOM_HUMIDITY),
            ),
        ),
    ),
)
