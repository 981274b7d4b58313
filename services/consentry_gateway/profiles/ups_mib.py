"""UPSs of any maker that speak the standard UPS-MIB (RFC 1628)."""

from collections.abc import Mapping
from dataclasses import replace

from consentry_gateway.model import DeviceType, Limit
from consentry_gateway.profiles.form import Metric, Profile, Source, Table, Total

_UPS = "1.3.6.1.2.1.33.1"

_BATTERY_STATUS = {1: "unknown", 2: "normal", 3: "low", 4: "depleted"}
_OUTPUT_STATUS = {1: "other", 2: "off", 3: "online", 4: "bypass", 5: "on battery", 6: "boost", 7: "trim"}

UPS_MIB = Profile(
    family="UPS-MIB",
    device_type=DeviceType.UPS,
    probes=(f"{_UPS}.4.1.0",),
    model=(f"{_UPS}.1.2.0",),
    # The MIB has no serial number. Eaton's network cards give it in their own tree, and it is asked for by its full OID.
    serial=("1.3.6.1.4.1.705.1.1.7.0",),
    metrics=(
        Metric("battery.status", "", (Source(f"{_UPS}.2.1.0"),), "Battery", _BATTERY_STATUS),
        Metric("battery.runtime", "s", (Source(f"{_UPS}.2.3.0", 60),), "Runtime"),
        Metric("battery.charge", "%", (Source(f"{_UPS}.2.4.0"),), "Charge"),
        Metric("battery.voltage", "V", (Source(f"{_UPS}.2.5.0", 0.1),), "Battery voltage"),
        Metric("battery.current", "A", (Source(f"{_UPS}.2.6.0", 0.1),), "Battery current"),
        Metric("battery.temperature", "Cel", (Source(f"{_UPS}.2.7.0"),), "Battery temperature", limit=Limit(40.0, 38.0)),
        Metric("output.status", "", (Source(f"{_UPS}.4.1.0"),), "Output", _OUTPUT_STATUS),
        Metric("output.frequency", "Hz", (Source(f"{_UPS}.4.2.0", 0.1),), "Output frequency"),
        Metric("ups.alarms", "1", (Source(f"{_UPS}.6.1.0"),), "Alarms present"),
    ),
    tables=(
        Table(
            key="input",
            count=f"{_UPS}.3.2.0",
            metrics=(
                Metric("input{line}.frequency", "Hz", (Source(f"{_UPS}.3.3.1.2", 0.1),), "Input frequency{line}"),
                Metric("input{line}.voltage", "V", (Source(f"{_UPS}.3.3.1.3"),), "Input voltage{line}"),
                Metric("input{line}.current", "A", (Source(f"{_UPS}.3.3.1.4", 0.1),), "Input current{line}"),
            ),
        ),
        Table(
            key="output",
            count=f"{_UPS}.4.3.0",
            metrics=(
                Metric("output{line}.voltage", "V", (Source(f"{_UPS}.4.4.1.2"),), "Output voltage{line}"),
                Metric("output{line}.current", "A", (Source(f"{_UPS}.4.4.1.3", 0.1),), "Output current{line}"),
                Metric("output{line}.realpower", "W", (Source(f"{_UPS}.4.4.1.4"),), "Output power{line}"),
                Metric("output{line}.load", "%", (Source(f"{_UPS}.4.4.1.5"),), "Output load{line}"),
            ),
            # Network UPS Tools' names for the whole UPS. The most loaded line is the one that counts.
            totals=(
                Total("ups.realpower", "W", of="output{line}.realpower", display_name="Power"),
                Total("ups.load", "%", of="output{line}.load", greatest=True, display_name="Load"),
            ),
        ),
    ),
)

_HUAWEI_SCALES: Mapping[str, float] = {
    f"{_UPS}.3.3.1.2": 0.01, f"{_UPS}.3.3.1.3": 0.1, f"{_UPS}.4.2.0": 0.01, f"{_UPS}.4.4.1.2": 0.1, f"{_UPS}.4.4.1.4": 100.0,
}  # fmt: skip


def _rescaled(metric: Metric, scales: Mapping[str, float]) -> Metric:
    return replace(
        metric, sources=tuple(replace(source, scale=scales.get(source.oid, source.scale)) for source in metric.sources)
    )


HUAWEI_UPS = replace(
    UPS_MIB,
    family="Huawei UPS",
    # Its card answers as any Linux does; what it is shows in the maker's own tree.
    object_ids=("1.3.6.1.4.1.8072.3.2.10",),
    probes=("1.3.6.1.4.1.2011.6.174.1.1.1.2.0", f"{_UPS}.4.1.0"),
    # It speaks UPS-MIB in units of its own: hundredths of hertz, tenths of volts, tenths of kilowatts.
    metrics=tuple(_rescaled(metric, _HUAWEI_SCALES) for metric in UPS_MIB.metrics),
    tables=tuple(
        replace(table, metrics=tuple(_rescaled(metric, _HUAWEI_SCALES) for metric in table.metrics)) for table in UPS_MIB.tables
    ),
)
