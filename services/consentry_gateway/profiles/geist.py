"""Geist (now Vertiv) environmental monitors, GEIST-V4-MIB: one sensor inside, others on a wire.

Temperatures are tenths of the unit that the monitor is set to.
"""

from consentry_gateway.model import DeviceType, Limit
from consentry_gateway.profiles.form import Metric, Profile, Source, Table

_GEIST = "1.3.6.1.4.1.21239"
_V4 = f"{_GEIST}.5.1"
_UNITS = f"{_V4}.1.7.0"
_FAHRENHEIT, _CELSIUS = (_UNITS, 0), (_UNITS, 1)
_LIMIT = Limit(35.0, 33.0)


def _temperature(name: str, column: str, display_name: str, limit: Limit | None) -> Metric:
    celsius = Source(column, 0.1, when=_CELSIUS)
    fahrenheit = Source(column, 0.1 * 5 / 9, -32 * 5 / 9, when=_FAHRENHEIT)
    return Metric(name, "Cel", (celsius, fahrenheit), display_name, limit=limit)


GEIST = Profile(
    family="Geist environmental monitor",
    device_type=DeviceType.ENVIRONMENTAL_SENSOR,
    object_ids=(_GEIST,),
    probes=(_UNITS,),
    model=(f"{_V4}.1.8.0", f"{_V4}.1.1.0"),
    serial=(f"{_V4}.1.10.0",),
    tables=(
        # The sensor inside is the device itself.
        Table(
            key="internal",
            metrics=(
                _temperature("ambient.temperature", f"{_V4}.2.1.5", "Temperature", _LIMIT),
                Metric("ambient.humidity", "%", (Source(f"{_V4}.2.1.6"),), "Humidity"),
                _temperature("ambient.dewpoint", f"{_V4}.2.1.7", "Dew point", None),
            ),
        ),
        Table(
            key="remote",
            part=DeviceType.ENVIRONMENTAL_SENSOR,
            display_name="Sensor {index}",
            label=f"{_V4}.4.1.3",
            serial=f"{_V4}.4.1.2",
            metrics=(_temperature("ambient.temperature", f"{_V4}.4.1.5", "Temperature", _LIMIT),),
        ),
    ),
)
