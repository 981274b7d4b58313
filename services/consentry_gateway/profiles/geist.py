"""Geist (now Vertiv) monitors, GEIST-V4-MIB: one sensor inside, others on a wire; and rack PDUs with the IMD card.

Temperatures are tenths of the unit that the monitor is set to. Below zero they are negative, so that nothing means "none" here.
"""

from consentry_gateway.profiles.form import Metric, Profile, Source, Table
from consentry_gateway.profiles.quantities import ROOM_HUMIDITY, ROOM_TEMPERATURE
from consentry_gateway.reading.model import DeviceType, Limit

_GEIST = "1.3.6.1.4.1.21239"


def _temperature(units: str, name: str, column: str, display_name: str, limit: Limit | None) -> Metric:
    celsius = Source(column, 0.1, when=(units, 1))
    fahrenheit = Source(column, 0.1 * 5 / 9, -32 * 5 / 9, when=(units, 0))
    return Metric(name, "Cel", (celsius, fahrenheit), display_name, limit=limit)


def _available(table: str, metric: Metric) -> Metric:
    """A quantity of a probe that says of itself whether it is there."""
    gone = (f"{table}.4", 0)
    sources = tuple(Source(source.oid, source.scale, source.offset, source.when, gone) for source in metric.sources)
    return Metric(metric.name, metric.unit, sources, metric.display_name, limit=metric.limit)


_V4 = f"{_GEIST}.5.1"
_V4_UNITS = f"{_V4}.1.7.0"

GEIST = Profile(
    family="Geist environmental monitor",
    device_type=DeviceType.ENVIRONMENTAL_SENSOR,
    object_ids=(_GEIST,),
    probes=(_V4_UNITS,),
    model=(f"{_V4}.1.8.0", f"{_V4}.1.1.0"),
    serial=(f"{_V4}.1.10.0",),
    tables=(
        # The sensor inside is the device itself.
        Table(
            key="internal",
            metrics=(
                _temperature(_V4_UNITS, "ambient.temperature", f"{_V4}.2.1.5", "Temperature", ROOM_TEMPERATURE),
                Metric("ambient.humidity", "%", (Source(f"{_V4}.2.1.6"),), "Humidity", limit=ROOM_HUMIDITY),
                _temperature(_V4_UNITS, "ambient.dewpoint", f"{_V4}.2.1.7", "Dew point", None),
            ),
        ),
        Table(
            key="remote",
            part=DeviceType.ENVIRONMENTAL_SENSOR,
            display_name="Sensor {index}",
            label=f"{_V4}.4.1.3",
            serial=f"{_V4}.4.1.2",
            metrics=(_temperature(_V4_UNITS, "ambient.temperature", f"{_V4}.4.1.5", "Temperature", ROOM_TEMPERATURE),),
        ),
    ),
)

_PDU = f"{_GEIST}.5.2"
_PDU_UNITS = f"{_PDU}.1.7.0"
_PHASE, _THD, _TEMP = f"{_PDU}.3.2.1", f"{_PDU}.9.1", f"{_PDU}.4.1"

GEIST_PDU = Profile(
    family="Vertiv rack PDU (Geist IMD)",
    device_type=DeviceType.RACK_PDU,
    object_ids=(_GEIST,),
    probes=(_PDU_UNITS,),
    model=(f"{_PDU}.1.8.0", f"{_PDU}.1.1.0"),
    serial=(f"{_PDU}.1.10.0",),
    tables=(
        Table(
            key="whole",
            metrics=(
                Metric("input{line}.realpower", "W", (Source(f"{_PDU}.3.1.1.9"),), "Power"),
                Metric("input{line}.power", "VA", (Source(f"{_PDU}.3.1.1.10"),), "Apparent power"),
                Metric("input{line}.energy", "kW.h", (Source(f"{_PDU}.3.1.1.12", 0.001),), "Energy"),
            ),
            line=".{index}",
        ),
        Table(
            key="phase",
            metrics=(
                Metric("input.L{index}.voltage", "V", (Source(f"{_PHASE}.4", 0.1),), "Voltage L{index}"),
                Metric("input.L{index}.current", "A", (Source(f"{_PHASE}.8", 0.01),), "Current L{index}"),
                Metric("input.L{index}.realpower", "W", (Source(f"{_PHASE}.12"),), "Power L{index}"),
            ),
        ),
        Table(
            key="breaker",
            part=DeviceType.OUTLET_GROUP,
            display_name="Breaker {index}",
            metrics=(Metric("current", "A", (Source(f"{_PDU}.3.3.1.4", 0.01),), "Current"),),
        ),
        Table(
            key="climate",
            part=DeviceType.ENVIRONMENTAL_SENSOR,
            display_name="Sensor {index}",
            label=f"{_THD}.3",
            serial=f"{_THD}.2",
            metrics=(
                _available(_THD, _temperature(_PDU_UNITS, "ambient.temperature", f"{_THD}.5", "Temperature", ROOM_TEMPERATURE)),
                _available(_THD, Metric("ambient.humidity", "%", (Source(f"{_THD}.6"),), "Humidity", limit=ROOM_HUMIDITY)),
                _available(_THD, _temperature(_PDU_UNITS, "ambient.dewpoint", f"{_THD}.7", "Dew point", None)),
            ),
        ),
        Table(
            key="remote",
            part=DeviceType.ENVIRONMENTAL_SENSOR,
            display_name="Sensor {index}",
            label=f"{_TEMP}.3",
            serial=f"{_TEMP}.2",
            metrics=(
                _available(
                    _TEMP, _temperature(_PDU_UNITS, "ambient.temperature", f"{_TEMP}.5", "Temperature", ROOM_TEMPERATURE)
                ),
            ),
        ),
    ),
)
