"""Liebert of Vertiv: cooling units (PEX, DS, CRV, ...) and UPSs (GXT5, NX) with an IntelliSlot card, LIEBERT-GP MIBs.

Which air a temperature is of, and which input a voltage is of, says a column with an OID. Newer units tell all they have as
rows of label, value and unit, as texts; the labels that are known here are read. The only serial number there is that of the
card.
"""

from consentry_gateway.profiles.form import AlarmList, Limits, Metric, Profile, Source, Table
from consentry_gateway.profiles.ups_mib import UPS_MIB
from consentry_gateway.reading.model import DeviceType, Limit

_LGP = "1.3.6.1.4.1.476.1.42"
_T, _RH, _STATE, _POWER, _LABELLED = (f"{_LGP}.3.{part}" for part in ("4.1", "4.2", "4.3", "5", "9.20.1"))
_NONE = (-1, 2_147_483_647, -2_147_483_648)

_AIR = {
    f"{_T}.1.1": "control",
    f"{_T}.1.2": "return",
    f"{_T}.1.3": "supply",
    f"{_T}.1.11.1": "compressor.1",
    f"{_T}.1.11.2": "compressor.2",
}
_HUMID = {f"{_RH}.1.1": "control", f"{_RH}.1.2": "return"}
_ON = {1: "on", 2: "off", 3: "standby"}
_TEMPERATURES = {
    "Supply Air Temperature": "supply.temperature",
    "Return Air Temperature": "return.temperature",
    "Air Temperature Control Sensor": "control.temperature",
    "Outside Air Temperature": "outside.temperature",
}
_HUMIDITIES = {"Return Humidity": "return.humidity", "Supply Humidity": "supply.humidity"}
_PERCENTAGES = {"Fan Speed": "fan.speed", "Cooling Capacity": "cooling.capacity"}


def _labelled(names: dict[str, str], unit: str, limit: Limit | None = None) -> Table:
    """Rows of label, value and unit; a value carries its unit in a column, or else within its text."""
    fahrenheit = (f"{_LABELLED}.30", ("deg F", "F", "°F"))
    sources: tuple[Source, ...] = (Source(f"{_LABELLED}.20", unless=fahrenheit),)
    if unit == "Cel":
        sources += (Source(f"{_LABELLED}.20", 5 / 9, -32 * 5 / 9, when=fahrenheit),)
    return Table(
        key=f"labelled-{unit.lower()}",
        number=f"{_LABELLED}.10",
        names=names,
        metrics=(Metric("{index}", unit, sources, "{index}", limit=limit),),
    )


# What an entry means stands in it as an OID; the message tells it.
_ALARMS = AlarmList(key="conditions", oid=f"{_LGP}.3.2.3.1.2", count=f"{_LGP}.3.2.2.0")

LIEBERT_COOLING = Profile(
    family="Liebert cooling unit",
    device_type=DeviceType.COOLING_UNIT,
    object_ids=(_LGP,),
    probes=(f"{_STATE}.1.0",),
    model=(f"{_LGP}.2.4.2.1.4.1", f"{_LGP}.2.1.2.0"),
    metrics=(
        Metric("unit.mode", "", (Source(f"{_STATE}.1.0"),), "Unit", _ON),
        Metric("cooling.status", "", (Source(f"{_STATE}.2.0"),), "Cooling", _ON),
        Metric("fan.status", "", (Source(f"{_STATE}.7.0"),), "Fan", _ON),
        Metric("cooling.capacity", "%", (Source(f"{_STATE}.9.0", absent=_NONE),), "Cooling capacity"),
        Metric("fan.speed", "%", (Source(f"{_STATE}.16.0", absent=_NONE),), "Fan"),
    ),
    tables=(
        Table(
            key="air",
            number=f"{_T}.3.3.1.2",
            names=_AIR,
            metrics=(
                Metric(
                    "{index}.temperature",
                    "Cel",
                    (Source(f"{_T}.3.3.1.50", 0.1, absent=_NONE), Source(f"{_T}.3.3.1.3", absent=_NONE)),
                    "Temperature {index}",
                    limits=Limits(
                        high=(Source(f"{_T}.3.3.1.4", absent=_NONE),),
                        low=(Source(f"{_T}.3.3.1.5", absent=_NONE),),
                        hysteresis=1.0,
                    ),
                ),
            ),
        ),
        Table(
            key="humidity",
            number=f"{_RH}.2.3.1.2",
            names=_HUMID,
            metrics=(
                Metric(
                    "{index}.humidity",
                    "%",
                    (Source(f"{_RH}.2.3.1.3", absent=_NONE),),
                    "Humidity {index}",
                    # Its lowest limit may be 1 %, which is none.
                    limits=Limits(
                        high=(Source(f"{_RH}.2.3.1.4", absent=_NONE),),
                        low=(Source(f"{_RH}.2.3.1.5", absent=_NONE),),
                        hysteresis=2.0,
                    ),
                ),
            ),
        ),
        _labelled(_TEMPERATURES, "Cel"),
        _labelled(_HUMIDITIES, "%"),
        _labelled(_PERCENTAGES, "%"),
    ),
    alarms=(_ALARMS,),
)

LIEBERT_UPS = Profile(
    family="Liebert UPS",
    device_type=DeviceType.UPS,
    object_ids=(_LGP,),
    probes=(f"{_POWER}.1.18.0",),
    model=(f"{_LGP}.2.4.2.1.4.1", f"{_LGP}.2.1.2.0"),
    metrics=(
        Metric("battery.runtime", "s", (Source(f"{_POWER}.1.18.0", 60, absent=(*_NONE, 65_535)),), "Runtime"),
        Metric("battery.charge", "%", (Source(f"{_POWER}.1.19.0", absent=_NONE),), "Charge"),
    ),
    alarms=(_ALARMS,),
    beside=(UPS_MIB,),
)
