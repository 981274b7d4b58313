"""Whatever speaks Redfish: chassis with their power and temperatures, by the names of the properties in DMTF's schemas.

Columns are `KIND.PROPERTY`; the source says what it reads as which kind. The health of a chassis, fan or power supply is its
state.
"""

from consentry_gateway.profiles.form import Limits, Metric, Profile, Source, Table
from consentry_gateway.reading.model import DeviceType

_HEALTH = {"OK": "ok", "Warning": "alarm", "Critical": "fault"}
_SUPPLY = {"OK": "ok", "Warning": "degraded", "Critical": "failed"}
_CHASSIS = (("chassis", 0),)


def _limits(kind: str, hysteresis: float) -> Limits:
    """The service's own: where the first of them begins to be wrong."""
    upper = ("UpperThresholdNonCritical", "UpperThresholdCritical")
    lower = ("LowerThresholdNonCritical", "LowerThresholdCritical")
    newer_upper = ("Thresholds.UpperCaution.Reading", "Thresholds.UpperCritical.Reading")
    newer_lower = ("Thresholds.LowerCaution.Reading", "Thresholds.LowerCritical.Reading")
    return Limits(
        tuple(Source(f"{kind}.{name}") for name in (*upper, *newer_upper)),
        tuple(Source(f"{kind}.{name}") for name in (*lower, *newer_lower)),
        hysteresis,
    )


def _of(kind: str, *metrics: Metric) -> Table:
    return Table(key=kind, within=_CHASSIS, number=-1, metrics=metrics)


REDFISH = Profile(
    family="Redfish service",
    device_type=DeviceType.UNSPECIFIED,
    source="redfish",
    probes=("service.RedfishVersion.0",),
    tables=(
        Table(
            key="chassis",
            part=DeviceType.UNSPECIFIED,
            itself="main",
            label="chassis.Name",
            model="chassis.Model",
            serial="chassis.SerialNumber",
            metrics=(
                Metric("unit.status", "", (Source("chassis.Status.Health"),), "Chassis", _HEALTH),
                Metric("chassis.power", "", (Source("chassis.PowerState"),), "Power", {"On": "on", "Off": "off"}),
            ),
        ),
        _of(
            "temperature",
            Metric(
                "{index}.temperature",
                "Cel",
                (Source("temperature.ReadingCelsius"), Source("temperature.Reading")),
                "Temperature {index}",
                limits=_limits("temperature", 2),
            ),
        ),
        _of(
            "humidity",
            Metric("{index}.humidity", "%", (Source("humidity.Reading"),), "Humidity {index}", limits=_limits("humidity", 2)),
        ),
        _of(
            "fan",
            Metric(
                "{index}.fan.speed",
                "/min",
                (
                    Source("fan.Reading", when=("fan.ReadingUnits", ("RPM", "{rev}/min"))),
                    Source("fan.SpeedPercent.SpeedRPM"),
                ),
                "Fan {index}",
                believable=(0, 100_000),
            ),
            Metric(
                "{index}.fan.duty",
                "%",
                (Source("fan.Reading", when=("fan.ReadingUnits", ("Percent", "%"))), Source("fan.SpeedPercent.Reading")),
                "Fan {index}",
            ),
            Metric("{index}.fan.unit.status", "", (Source("fan.Status.Health"),), "Fan {index}", _HEALTH),
        ),
        Table(
            key="control",
            within=_CHASSIS,
            number=-1,
            line=".{index}",
            metrics=(Metric("input{line}.realpower", "W", (Source("control.PowerConsumedWatts"),), "Power{line}"),),
        ),
        _of("power", Metric("{index}.realpower", "W", (Source("power.Reading"),), "Power {index}", limits=_limits("power", 5))),
        _of("current", Metric("{index}.current", "A", (Source("current.Reading"),), "Current {index}")),
        _of("energy", Metric("{index}.energy", "kW.h", (Source("energy.Reading"),), "Energy {index}")),
        _of(
            "supply",
            Metric("{index}.supply.status", "", (Source("supply.Status.Health"),), "Power supply {index}", _SUPPLY),
            Metric("{index}.supply.voltage", "V", (Source("supply.LineInputVoltage"),), "Input voltage {index}"),
            Metric("{index}.supply.realpower", "W", (Source("supply.PowerInputWatts"),), "Input power {index}"),
            Metric(
                "{index}.supply.output.realpower",
                "W",
                (Source("supply.PowerOutputWatts"), Source("supply.LastPowerOutputWatts")),
                "Output power {index}",
            ),
        ),
        _of(
            "voltage",
            Metric(
                "{index}.voltage",
                "V",
                (Source("voltage.ReadingVolts"), Source("voltage.Reading")),
                "Voltage {index}",
                limits=_limits("voltage", 0.05),
            ),
        ),
    ),
)
