"""Huawei UPSs (UPS5000, with the maker's own tree).

They speak UPS-MIB too, but in units of their own and as a mean of the phases. So the standard tree tells only what it cannot
get wrong: states and alarms.
"""

from dataclasses import replace

from consentry_gateway.profiles.form import Metric, Profile, Source, Total
from consentry_gateway.profiles.quantities import BATTERY_TEMPERATURE, LOAD, PERCENT_OF_LOAD
from consentry_gateway.profiles.ups_mib import UPS_MIB
from consentry_gateway.reading.model import DeviceType

_OWN = "1.3.6.1.4.1.2011.6.174.1"
_NONE = (4_294_967_295, 2_147_483_647, -1)


def _lines(metric: str, unit: str, shown: str, *, column: str, first: int, scale: float) -> tuple[Metric, ...]:
    """Three quantities that stand side by side in a row, one for each phase."""
    wide = PERCENT_OF_LOAD if unit == "%" else None
    return tuple(
        Metric(
            metric.format(line),
            unit,
            (Source(f"{_OWN}.{column}.{first + line - 1}.1", scale, absent=_NONE),),
            f"{shown} L{line}",
            believable=wide,
        )
        for line in (1, 2, 3)
    )


_STATES = replace(
    UPS_MIB,
    family="UPS-MIB, states alone",
    metrics=tuple(metric for metric in UPS_MIB.metrics if metric.texts or metric.name == "ups.alarms"),
    tables=(),
)

HUAWEI_UPS = Profile(
    family="Huawei UPS",
    device_type=DeviceType.UPS,
    # Its card answers as any Linux does; what it is shows in the maker's own tree.
    object_ids=("1.3.6.1.4.1.8072.3.2.10", "1.3.6.1.4.1.2011"),
    probes=(f"{_OWN}.1.1.2.0",),
    model=("1.3.6.1.2.1.33.1.1.2.0", f"{_OWN}.1.1.2.0"),
    serial=(f"{_OWN}.2.100.1.5.1",),
    metrics=(
        *_lines("input.L{}.voltage", "V", "Input voltage", column="3.100.1", first=1, scale=0.1),
        Metric("input.frequency", "Hz", (Source(f"{_OWN}.3.100.1.4.1", 0.01, absent=_NONE),), "Input frequency"),
        *_lines("input.L{}.current", "A", "Input current", column="3.100.1", first=5, scale=0.1),
        *_lines("output.L{}.voltage", "V", "Output voltage", column="4.100.1", first=1, scale=0.1),
        *_lines("output.L{}.current", "A", "Output current", column="4.100.1", first=4, scale=0.1),
        Metric("output.frequency", "Hz", (Source(f"{_OWN}.4.100.1.7.1", 0.01, absent=_NONE),), "Output frequency"),
        *_lines("output.L{}.realpower", "W", "Output power", column="4.100.1", first=8, scale=100),
        *_lines("output.L{}.power", "VA", "Output apparent power", column="4.100.1", first=11, scale=100),
        *_lines("output.L{}.load", "%", "Output load", column="4.100.1", first=14, scale=0.1),
        *_lines("input.bypass.L{}.voltage", "V", "Bypass voltage", column="5.100.1", first=1, scale=0.1),
        Metric("input.bypass.frequency", "Hz", (Source(f"{_OWN}.5.100.1.4.1", 0.01, absent=_NONE),), "Bypass frequency"),
        Metric("battery.voltage", "V", (Source(f"{_OWN}.6.100.1.1.1", 0.1, absent=_NONE),), "Battery voltage"),
        Metric("battery.charge", "%", (Source(f"{_OWN}.6.100.1.3.1", absent=_NONE),), "Charge"),
        Metric("battery.runtime", "s", (Source(f"{_OWN}.6.100.1.4.1", absent=_NONE),), "Runtime"),
        Metric(
            "battery.temperature",
            "Cel",
            (Source(f"{_OWN}.6.100.1.6.1", 0.1, absent=_NONE),),
            "Battery temperature",
            limit=BATTERY_TEMPERATURE,
        ),
    ),
    totals=(
        Total("ups.realpower", "W", of="output.L?.realpower", display_name="Power"),
        Total("ups.power", "VA", of="output.L?.power", display_name="Apparent power"),
        Total("ups.load", "%", of="output.L?.load", greatest=True, display_name="Load", limit=LOAD),
    ),
    beside=(_STATES,),
)
