"""APC UPSs, by PowerNet-MIB: Smart-UPS, Symmetra, Galaxy with network cards NMC1 to NMC3, and the probes on those cards.

Most quantities come twice: as a whole number, and finer in tenths. What the UPS has not is -1, 255 or the greatest number.
"""

from consentry_gateway.profiles.form import AlarmList, Meaning, Metric, Profile, Source, Table
from consentry_gateway.profiles.quantities import (
    COUNT,
    HEARD,
    LOAD,
    PERCENT_OF_LOAD,
    ROOM_HUMIDITY,
    ROOM_TEMPERATURE,
    UPS_TEMPERATURE,
    meaning,
)
from consentry_gateway.profiles.ups_mib import UPS_MIB
from consentry_gateway.reading import conditions
from consentry_gateway.reading.model import DeviceType, Severity

_APC = "1.3.6.1.4.1.318"
_UPS = f"{_APC}.1.1.1"
_NONE = (-1,)
_BYTE = (-1, 255)
_TENTHS = (-1, 2550)

_BATTERY_STATUS = {1: "unknown", 2: "normal", 3: "low", 4: "fault", 5: "not present"}
_OUTPUT_STATUS = {
    1: "unknown",
    2: "online",
    3: "on battery",
    4: "boost",
    5: "sleeping",
    6: "bypass",
    7: "off",
    8: "rebooting",
    9: "bypass",
    10: "bypass by fault",
    11: "sleeping",
    12: "trim",
    13: "eco mode",
    14: "hot standby",
    15: "self-test",
    16: "bypass by fault",
    17: "static bypass standby",
    18: "power saving",
    19: "spot mode",
    20: "e-conversion",
    21: "charger spot mode",
    22: "inverter spot mode",
    23: "active load",
    24: "battery discharge spot mode",
    25: "inverter standby",
    26: "charger only",
    27: "distributed energy reserve",
    28: "self-test",
}
_TRANSFER_REASON = {
    1: "none",
    2: "high input voltage",
    3: "brownout",
    4: "blackout",
    5: "small momentary sag",
    6: "deep momentary sag",
    7: "small momentary spike",
    8: "large momentary spike",
    9: "self-test",
    10: "input voltage changes fast",
}
_FLAGS = AlarmList(
    key="flags",
    oid=f"{_UPS}.11.1.1.0",
    flags=True,
    # Whether it runs on battery, for whatever reason, says output.status.
    meanings={
        3: meaning(conditions.LOW_BATTERY),
        5: meaning(conditions.REPLACE_BATTERY),
        9: meaning(conditions.OVERLOAD),
        14: meaning(conditions.BYPASS_FAULT),
        15: meaning(conditions.BYPASS_FAULT),
        16: meaning(conditions.BYPASS_FAULT),
        25: Meaning("Charger Fault", message="The battery is not charged: the charger has a fault."),
        33: meaning(conditions.BATTERY_MISSING),
        50: Meaning("Hardware Fault", Severity.CRITICAL, "The UPS reports a fault of its hardware."),
        53: Meaning("Emergency Power Off", Severity.CRITICAL, "The emergency power off is active."),
    },
)


def _phases(inputs: str) -> dict[int | str, str]:
    return {f"{inputs}.{phase}": str(phase) for phase in (1, 2, 3)}


APC_PROBES = Profile(
    family="APC probes on a network card",
    device_type=DeviceType.UPS,
    tables=(
        Table(
            key="probe",
            part=DeviceType.ENVIRONMENTAL_SENSOR,
            display_name="Probe {index}",
            label=f"{_APC}.1.1.10.2.3.2.1.2",
            metrics=(
                Metric(
                    "ambient.temperature",
                    "Cel",
                    (
                        Source(f"{_APC}.1.1.10.2.3.2.1.4", when=(f"{_APC}.1.1.10.2.3.2.1.5", 1), absent=_NONE),
                        Source(
                            f"{_APC}.1.1.10.2.3.2.1.4", 5 / 9, -32 * 5 / 9, when=(f"{_APC}.1.1.10.2.3.2.1.5", 2), absent=_NONE
                        ),
                    ),
                    "Temperature",
                    limit=ROOM_TEMPERATURE,
                ),
                Metric(
                    "ambient.humidity",
                    "%",
                    (Source(f"{_APC}.1.1.10.2.3.2.1.6", absent=_NONE),),
                    "Humidity",
                    limit=ROOM_HUMIDITY,
                ),
            ),
        ),
        Table(
            key="sensor",
            part=DeviceType.ENVIRONMENTAL_SENSOR,
            display_name="Sensor {index}",
            label=f"{_APC}.1.1.25.1.2.1.3",
            metrics=(
                Metric(
                    "ambient.temperature",
                    "Cel",
                    (Source(f"{_APC}.1.1.25.1.2.1.6", absent=_NONE),),
                    "Temperature",
                    limit=ROOM_TEMPERATURE,
                ),
                Metric(
                    "ambient.humidity", "%", (Source(f"{_APC}.1.1.25.1.2.1.7", absent=_NONE),), "Humidity", limit=ROOM_HUMIDITY
                ),
                Metric("unit.status", "", (Source(f"{_APC}.1.1.25.1.2.1.9"),), "Sensor", {1: "normal", 2: "alarm", 3: "fault"}),
                Metric("communication", "", (Source(f"{_APC}.1.1.25.1.2.1.10"),), "Sensor", HEARD),
            ),
        ),
    ),
)

APC_UPS = Profile(
    family="APC UPS",
    device_type=DeviceType.UPS,
    object_ids=(f"{_APC}.1.3",),
    probes=(f"{_UPS}.1.1.1.0",),
    model=(f"{_UPS}.1.1.1.0",),
    serial=(f"{_UPS}.1.2.3.0",),
    metrics=(
        Metric(
            "ups.load",
            "%",
            (Source(f"{_UPS}.4.3.3.0", 0.1, absent=_TENTHS), Source(f"{_UPS}.4.2.3.0", absent=_BYTE)),
            "Load",
            limit=LOAD,
            believable=PERCENT_OF_LOAD,
        ),
        Metric(
            "ups.realpower",
            "W",
            (Source(f"{_UPS}.4.2.8.0", absent=_NONE, beside=(f"{_UPS}.4.2.3.0", f"{_UPS}.4.3.3.0")),),
            "Power",
        ),
        Metric(
            "ups.power",
            "VA",
            (Source(f"{_UPS}.4.2.9.0", absent=_NONE, beside=(f"{_UPS}.4.2.3.0", f"{_UPS}.4.3.3.0")),),
            "Apparent power",
        ),
        Metric(
            "ups.temperature",
            "Cel",
            (Source(f"{_UPS}.2.3.2.0", 0.1, absent=_TENTHS), Source(f"{_UPS}.2.2.2.0", absent=_BYTE)),
            "Temperature",
            limit=UPS_TEMPERATURE,
        ),
        Metric(
            "battery.charge",
            "%",
            (Source(f"{_UPS}.2.3.1.0", 0.1, absent=_TENTHS), Source(f"{_UPS}.2.2.1.0", absent=_BYTE)),
            "Charge",
        ),
        Metric("battery.runtime", "s", (Source(f"{_UPS}.2.2.3.0", 0.01, absent=(4_294_967_295,)),), "Runtime"),
        Metric(
            "battery.voltage",
            "V",
            (Source(f"{_UPS}.2.3.4.0", 0.1, absent=_NONE), Source(f"{_UPS}.2.2.8.0", absent=_NONE)),
            "Battery voltage",
        ),
        Metric("battery.current", "A", (Source(f"{_UPS}.2.3.5.0", 0.1), Source(f"{_UPS}.2.2.9.0")), "Battery current"),
        Metric("battery.status", "", (Source(f"{_UPS}.2.1.1.0"),), "Battery", _BATTERY_STATUS),
        Metric("battery.replace", "", (Source(f"{_UPS}.2.2.4.0"),), "Replace battery", {1: "no", 2: "yes"}),
        Metric(
            "battery.packs.bad",
            "1",
            (Source(f"{_UPS}.2.2.6.0", absent=_NONE),),
            "Bad battery packs",
            limit=COUNT,
            believable=(0, 1_000),
        ),
        Metric(
            "input.voltage",
            "V",
            (Source(f"{_UPS}.3.3.1.0", 0.1, absent=_NONE), Source(f"{_UPS}.3.2.1.0", absent=_NONE)),
            "Input voltage",
        ),
        Metric(
            "input.frequency",
            "Hz",
            (Source(f"{_UPS}.3.3.4.0", 0.1, absent=_NONE), Source(f"{_UPS}.3.2.4.0", absent=_NONE)),
            "Input frequency",
        ),
        Metric("input.transfer.reason", "", (Source(f"{_UPS}.3.2.5.0"),), "Transfer reason", _TRANSFER_REASON),
        Metric(
            "output.voltage",
            "V",
            (Source(f"{_UPS}.4.3.1.0", 0.1, absent=_NONE), Source(f"{_UPS}.4.2.1.0", absent=_NONE)),
            "Output voltage",
        ),
        Metric(
            "output.frequency",
            "Hz",
            (Source(f"{_UPS}.4.3.2.0", 0.1, absent=_NONE), Source(f"{_UPS}.4.2.2.0", absent=_NONE)),
            "Output frequency",
        ),
        Metric(
            "output.current",
            "A",
            (Source(f"{_UPS}.4.3.4.0", 0.1, absent=_NONE), Source(f"{_UPS}.4.2.4.0", absent=_NONE)),
            "Output current",
        ),
        Metric("output.energy", "kW.h", (Source(f"{_UPS}.4.3.6.0", 0.01, absent=_NONE),), "Energy"),
        Metric("output.status", "", (Source(f"{_UPS}.4.1.1.0"), Source(f"{_UPS}.4.1.3.0")), "Output", _OUTPUT_STATUS),
        Metric("ups.communication", "", (Source(f"{_UPS}.8.1.0"),), "UPS", {1: "ok", 2: "lost"}),
        Metric(
            "ups.test.result",
            "",
            (Source(f"{_UPS}.7.2.3.0"),),
            "Self-test",
            {1: "passed", 2: "failed", 3: "invalid", 4: "in progress"},
        ),
    ),
    tables=(
        # By input or output, and phase. The second input is the bypass.
        Table(
            key="input",
            names=_phases("1"),
            metrics=(
                Metric("input{line}.voltage", "V", (Source(f"{_UPS}.9.2.3.1.3", absent=_NONE),), "Input voltage{line}"),
                Metric("input{line}.current", "A", (Source(f"{_UPS}.9.2.3.1.6", 0.1, absent=_NONE),), "Input current{line}"),
                Metric("input{line}.realpower", "W", (Source(f"{_UPS}.9.2.3.1.9", absent=_NONE),), "Input power{line}"),
            ),
        ),
        Table(
            key="output",
            names=_phases("1"),
            metrics=(
                Metric("output{line}.voltage", "V", (Source(f"{_UPS}.9.3.3.1.3", absent=_NONE),), "Output voltage{line}"),
                Metric("output{line}.current", "A", (Source(f"{_UPS}.9.3.3.1.4", 0.1, absent=_NONE),), "Output current{line}"),
                Metric("output{line}.power", "VA", (Source(f"{_UPS}.9.3.3.1.7", absent=_NONE),), "Output apparent power{line}"),
                Metric(
                    "output{line}.load",
                    "%",
                    (Source(f"{_UPS}.9.3.3.1.10", absent=_NONE),),
                    "Output load{line}",
                    limit=LOAD,
                    believable=PERCENT_OF_LOAD,
                ),
            ),
        ),
    ),
    alarms=(_FLAGS,),
    beside=(APC_PROBES, UPS_MIB),
)
