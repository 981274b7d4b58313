"""Eaton rack PDUs, G3 (EATON-EPDU-MIB), and HPE's of the same make (G2).

Several can be chained: the first number of every index is the unit's. What a row of the input measures (one phase, L1 to L3,
between two of them) stands in a column. Thresholds are the unit's own, and it judges by them. A negative number is none.
"""

from consentry_gateway.profiles.form import Metric, Profile, Source, Table
from consentry_gateway.profiles.quantities import ROOM_HUMIDITY, ROOM_TEMPERATURE
from consentry_gateway.reading.model import DeviceType

_NONE = (-1,)
_JUDGED = {0: "normal", 1: "below low", 2: "below minimum", 3: "above high", 4: "above maximum"}
_VOLTAGES = {1: "", 2: ".L1", 3: ".L2", 4: ".L3", 5: ".L1-L2", 6: ".L2-L3", 7: ".L3-L1"}
_CURRENTS = {1: "", 2: ".N", 3: ".L1", 4: ".L2", 5: ".L3"}
_POSITIVE = (0.0, 1_000_000.0)
_UNIT = (("unit", 0),)


def _epdu(tree: str, family: str, first: str) -> Profile:
    celsius, fahrenheit = (f"{tree}.1.2.1.9", 0), (f"{tree}.1.2.1.9", 1)
    return Profile(
        family=family,
        device_type=DeviceType.RACK_PDU,
        probes=(f"{tree}.1.2.1.2.{first}",),
        model=(f"{tree}.1.2.1.2.{first}",),
        serial=(f"{tree}.1.2.1.4.{first}",),
        tables=(
            Table(
                key="unit",
                part=DeviceType.RACK_PDU,
                itself=first,
                display_name="Unit {index}",
                label=f"{tree}.1.2.1.6",
                model=f"{tree}.1.2.1.2",
                serial=f"{tree}.1.2.1.4",
            ),
            Table(
                key="total",
                within=_UNIT,
                number=1,
                line=".{index}",
                metrics=(
                    Metric(
                        "input{line}.power", "VA", (Source(f"{tree}.3.5.1.3"),), "Apparent power{line}", believable=_POSITIVE
                    ),
                    Metric("input{line}.realpower", "W", (Source(f"{tree}.3.5.1.4"),), "Power{line}", believable=_POSITIVE),
                    Metric("input{line}.energy", "kW.h", (Source(f"{tree}.3.5.1.5", 0.001),), "Energy{line}"),
                ),
            ),
            Table(
                key="voltage",
                within=_UNIT,
                number=f"{tree}.3.2.1.2",
                names=_VOLTAGES,
                metrics=(
                    Metric("input{index}.voltage", "V", (Source(f"{tree}.3.2.1.3", 0.001, absent=_NONE),), "Voltage{index}"),
                    Metric("input{index}.voltage.status", "", (Source(f"{tree}.3.2.1.4"),), "Voltage{index}", _JUDGED),
                ),
            ),
            Table(
                key="current",
                within=_UNIT,
                number=f"{tree}.3.3.1.2",
                names=_CURRENTS,
                metrics=(
                    Metric("input{index}.current", "A", (Source(f"{tree}.3.3.1.4", 0.001, absent=_NONE),), "Current{index}"),
                    Metric("input{index}.current.status", "", (Source(f"{tree}.3.3.1.5"),), "Current{index}", _JUDGED),
                ),
            ),
            Table(
                key="group",
                part=DeviceType.OUTLET_GROUP,
                within=_UNIT,
                number=1,
                display_name="Group {index}",
                label=f"{tree}.5.1.1.3",
                metrics=(
                    Metric("voltage", "V", (Source(f"{tree}.5.3.1.3", 0.001, absent=_NONE),), "Voltage"),
                    Metric("current", "A", (Source(f"{tree}.5.4.1.3", 0.001, absent=_NONE),), "Current"),
                    Metric("current.status", "", (Source(f"{tree}.5.4.1.4"),), "Current", _JUDGED),
                    Metric("realpower", "W", (Source(f"{tree}.5.5.1.3"),), "Power", believable=_POSITIVE),
                    Metric("energy", "kW.h", (Source(f"{tree}.5.5.1.4", 0.001),), "Energy"),
                    Metric("breaker.status", "", (Source(f"{tree}.5.1.1.5"),), "Breaker", {1: "closed", 2: "open"}),
                ),
            ),
            Table(
                key="outlet",
                part=DeviceType.OUTLET_GROUP,
                within=_UNIT,
                number=1,
                display_name="Outlet {index}",
                label=f"{tree}.6.1.1.3",
                metrics=(
                    Metric("current", "A", (Source(f"{tree}.6.4.1.3", 0.001, absent=_NONE),), "Current"),
                    Metric("current.status", "", (Source(f"{tree}.6.4.1.4"),), "Current", _JUDGED),
                    Metric("realpower", "W", (Source(f"{tree}.6.5.1.3"),), "Power", believable=_POSITIVE),
                    Metric(
                        "status", "", (Source(f"{tree}.6.6.1.2"),), "Outlet", {0: "off", 1: "on", 2: "going off", 3: "going on"}
                    ),
                ),
            ),
            Table(
                key="probe",
                part=DeviceType.ENVIRONMENTAL_SENSOR,
                within=_UNIT,
                number=1,
                display_name="Probe {index}",
                metrics=(
                    Metric(
                        "ambient.temperature",
                        "Cel",
                        (
                            Source(f"{tree}.7.1.1.4", 0.1, unless=fahrenheit),
                            Source(f"{tree}.7.1.1.4", 0.1 * 5 / 9, -32 * 5 / 9, unless=celsius, when=fahrenheit),
                        ),
                        "Temperature",
                        limit=ROOM_TEMPERATURE,
                    ),
                    Metric(
                        "ambient.humidity",
                        "%",
                        (Source(f"{tree}.7.2.1.4", 0.1, absent=_NONE),),
                        "Humidity",
                        limit=ROOM_HUMIDITY,
                    ),
                ),
            ),
        ),
    )


EATON_EPDU = _epdu("1.3.6.1.4.1.534.6.6.7", "Eaton rack PDU (G3)", "0")
HPE_PDU = _epdu("1.3.6.1.4.1.232.165.7", "HPE rack PDU (G2)", "1")
