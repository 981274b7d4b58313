"""Eaton UPSs: MG-SNMP (network cards, by sysObjectID 705.1), XUPS (534.1), and RFC 1628 for what both leave out.

The finest comes first: MG-SNMP counts volts in tenths, XUPS knows watts and the state of the output. What MG-SNMP says of
current into the UPS is left out: some cards count it in amperes and not in tenths, and the others know it too.
"""

from consentry_gateway.profiles.form import AlarmList, Limits, Meaning, Metric, Profile, Source, Table, Total
from consentry_gateway.profiles.quantities import LOAD, PERCENT_OF_LOAD, ROOM_HUMIDITY, ROOM_TEMPERATURE, meaning, says
from consentry_gateway.profiles.ups_mib import UPS_MIB
from consentry_gateway.reading import conditions
from consentry_gateway.reading.model import DeviceType, Severity

_MG = "1.3.6.1.4.1.705.1"
_YES, _NO = 1, 2

_ABM = {
    1: "charging",
    2: "discharging",
    3: "floating",
    4: "resting",
    5: "unknown",
    6: "disconnected",
    7: "under test",
    8: "check",
}
_SOURCE = {
    1: "other",
    2: "off",
    3: "online",
    4: "bypass",
    5: "on battery",
    6: "boost",
    7: "trim",
    8: "parallel capacity",
    9: "parallel redundant",
    10: "high efficiency",
    11: "maintenance bypass",
    12: "energy saver",
}
_C = Severity.CRITICAL


def _alarms(tree: str) -> AlarmList:
    known: dict[int, Meaning | None] = {
        3: meaning(conditions.POWER_FAILURE),
        4: meaning(conditions.LOW_BATTERY),
        5: None,  # that the mains are back
        6: None,  # that the battery is good again
        7: meaning(conditions.OVERLOAD),
        8: Meaning("Internal Failure", _C),
        9: Meaning("Low Battery", _C, "The battery is discharged.", "low-battery"),
        10: Meaning("Inverter Failure", _C),
        11: meaning(conditions.BYPASS),
        12: Meaning("Bypass Not Available"),
        13: meaning(conditions.OUTPUT_OFF),
        14: Meaning("Input Failure"),
        15: Meaning("Building Alarm"),
        16: Meaning("Shutdown Imminent", _C),
        17: None,  # that the inverter carries the load
        20: Meaning("Breaker Open"),
        23: meaning(conditions.BATTERY_FAULT),
        24: Meaning("Output Off", Severity.WARNING, "The output is off, as it was asked to be.", "output-off"),
        25: meaning(conditions.SELF_TEST),
        26: Meaning(
            "Lost Component Communication", Severity.WARNING, "The agent does not hear the UPS.", "lost-ups.communication"
        ),
        27: Meaning("Shutdown Pending"),
        28: None,  # that a test is in progress
        29: Meaning("Ambient Temperature Out Of Range"),
    }
    return AlarmList(
        key="xups",
        oid=f"{tree}.7.2.1.2",
        count=f"{tree}.7.1.0",
        title="UPS Alarm",
        meanings={f"{tree}.7.{number}": found for number, found in known.items()},
    )


def xups(tree: str, family: str, beside: tuple[Profile, ...]) -> Profile:
    """The profile of everything that has XUPS's numbers below a tree of its own."""
    out = f"{tree}.4.4.1"
    return Profile(
        family=family,
        device_type=DeviceType.UPS,
        probes=(f"{tree}.4.5.0",),
        model=(f"{tree}.1.2.0",),
        serial=(f"{tree}.1.6.0",),
        metrics=(
            Metric("battery.runtime", "s", (Source(f"{tree}.2.1.0", absent=(65_535, -1)),), "Runtime"),
            Metric("battery.voltage", "V", (Source(f"{tree}.2.2.0", absent=(0,)),), "Battery voltage"),
            Metric("battery.current", "A", (Source(f"{tree}.2.3.0"),), "Battery current"),
            Metric("battery.charge", "%", (Source(f"{tree}.2.4.0", absent=(-1,)),), "Charge"),
            Metric("battery.charger.status", "", (Source(f"{tree}.2.5.0"),), "Charger", _ABM),
            Metric("input.frequency", "Hz", (Source(f"{tree}.3.1.0", 0.1),), "Input frequency"),
            Metric("output.frequency", "Hz", (Source(f"{tree}.4.2.0", 0.1),), "Output frequency"),
            Metric("ups.load", "%", (Source(f"{tree}.4.1.0"),), "Load", limit=LOAD, believable=PERCENT_OF_LOAD),
            Metric("output.status", "", (Source(f"{tree}.4.5.0"),), "Output", _SOURCE),
            Metric(
                "ambient.temperature",
                "Cel",
                (Source(f"{tree}.6.1.0"),),
                "Temperature",
                limit=ROOM_TEMPERATURE,
                limits=Limits(high=(Source(f"{tree}.6.3.0"),), hysteresis=2.0),
            ),
            Metric("ambient.humidity", "%", (Source(f"{tree}.6.4.0"),), "Humidity", limit=ROOM_HUMIDITY),
        ),
        tables=(
            Table(
                key="input",
                number=0,
                count=f"{tree}.3.3.0",
                metrics=(
                    Metric("input{line}.voltage", "V", (Source(f"{tree}.3.4.1.2"),), "Input voltage{line}"),
                    Metric(
                        "input{line}.current",
                        "A",
                        (Source(f"{tree}.3.4.1.3", beside=(f"{tree}.4.1.0",)),),
                        "Input current{line}",
                    ),
                    Metric(
                        "input{line}.realpower",
                        "W",
                        (Source(f"{tree}.3.4.1.4", beside=(f"{tree}.4.1.0",)),),
                        "Input power{line}",
                    ),
                ),
            ),
            Table(
                key="output",
                number=0,
                count=f"{tree}.4.3.0",
                metrics=(
                    Metric("output{line}.voltage", "V", (Source(f"{out}.2"),), "Output voltage{line}"),
                    Metric("output{line}.current", "A", (Source(f"{out}.3", beside=(f"{out}.4",)),), "Output current{line}"),
                    Metric("output{line}.realpower", "W", (Source(f"{out}.4", beside=(f"{out}.3",)),), "Output power{line}"),
                    Metric("output{line}.load", "%", (Source(f"{out}.8"),), "Output load{line}", believable=PERCENT_OF_LOAD),
                    Metric("output{line}.power", "VA", (Source(f"{out}.9"),), "Output apparent power{line}"),
                ),
                totals=(
                    Total("ups.realpower", "W", of="output{line}.realpower", display_name="Power"),
                    Total("ups.power", "VA", of="output{line}.power", display_name="Apparent power"),
                ),
            ),
        ),
        alarms=(
            _alarms(tree),
            says("battery-failure", f"{tree}.2.7.0", {_YES: conditions.BATTERY_FAULT, _NO: None}),
            says("battery-not-present", f"{tree}.2.8.0", {_YES: conditions.BATTERY_MISSING, _NO: None}),
            says("battery-aged", f"{tree}.2.9.0", {_YES: conditions.REPLACE_BATTERY, _NO: None}),
            says("battery-low", f"{tree}.2.10.0", {_YES: conditions.LOW_BATTERY, _NO: None}),
        ),
        beside=beside,
    )


XUPS = xups("1.3.6.1.4.1.534.1", "Eaton UPS (XUPS)", (UPS_MIB,))
HPE_UPS = xups("1.3.6.1.4.1.232.165.3", "HPE UPS", (UPS_MIB,))

MG_SNMP = Profile(
    family="Eaton UPS (MG-SNMP)",
    device_type=DeviceType.UPS,
    probes=(f"{_MG}.5.1.0",),
    model=("1.3.6.1.4.1.534.1.1.2.0", "1.3.6.1.2.1.33.1.1.2.0", f"{_MG}.1.1.0"),
    serial=(f"{_MG}.1.7.0",),
    metrics=(
        Metric("battery.runtime", "s", (Source(f"{_MG}.5.1.0", absent=(65_535,)),), "Runtime"),
        Metric("battery.charge", "%", (Source(f"{_MG}.5.2.0"),), "Charge"),
        Metric("battery.voltage", "V", (Source(f"{_MG}.5.5.0", 0.1, absent=(0,)),), "Battery voltage"),
    ),
    tables=(
        Table(
            key="input",
            number=0,
            count=f"{_MG}.6.1.0",
            metrics=(
                Metric("input{line}.voltage", "V", (Source(f"{_MG}.6.2.1.2", 0.1),), "Input voltage{line}"),
                Metric("input{line}.frequency", "Hz", (Source(f"{_MG}.6.2.1.3", 0.1),), "Input frequency{line}"),
            ),
        ),
        Table(
            key="output",
            number=0,
            count=f"{_MG}.7.1.0",
            metrics=(
                Metric("output{line}.voltage", "V", (Source(f"{_MG}.7.2.1.2", 0.1),), "Output voltage{line}"),
                Metric("output{line}.load", "%", (Source(f"{_MG}.7.2.1.4"),), "Output load{line}", believable=PERCENT_OF_LOAD),
                Metric(
                    "output{line}.current",
                    "A",
                    (Source(f"{_MG}.7.2.1.5", 0.1, beside=(f"{_MG}.7.2.1.4",)),),
                    "Output current{line}",
                ),
            ),
            totals=(Total("ups.load", "%", of="output{line}.load", greatest=True, display_name="Load", limit=LOAD),),
        ),
    ),
    alarms=(
        says("battery-fault", f"{_MG}.5.9.0", {_YES: conditions.BATTERY_FAULT, _NO: None}),
        says("battery-replacement", f"{_MG}.5.11.0", {_YES: conditions.REPLACE_BATTERY, _NO: None}),
        says("low-battery", f"{_MG}.5.14.0", {_YES: conditions.LOW_BATTERY, _NO: None}),
        says("on-battery", f"{_MG}.7.3.0", {_YES: conditions.POWER_FAILURE, _NO: None}),
        says("on-bypass", f"{_MG}.7.4.0", {_YES: conditions.BYPASS, _NO: None}),
        says("overload", f"{_MG}.7.10.0", {_YES: conditions.OVERLOAD, _NO: None}),
    ),
    beside=(XUPS, UPS_MIB),
)
