"""CyberPower: UPSs with an RMCARD (CPS-MIB) and its environment sensor, and rack PDUs of the second generation (ePDU2)."""

from consentry_gateway.profiles.form import Metric, Profile, Source, Table
from consentry_gateway.profiles.quantities import (
    LOAD,
    PERCENT_OF_LOAD,
    ROOM_HUMIDITY,
    ROOM_TEMPERATURE,
    UPS_TEMPERATURE,
    says,
)
from consentry_gateway.profiles.ups_mib import UPS_MIB
from consentry_gateway.reading import conditions
from consentry_gateway.reading.model import DeviceType

_CPS = "1.3.6.1.4.1.3808.1.1"
_UPS, _ENV, _PDU2 = f"{_CPS}.1", f"{_CPS}.4", f"{_CPS}.6"
_NONE = (-1,)

_BATTERY_STATUS = {1: "unknown", 2: "normal", 3: "low", 4: "not present"}
_OUTPUT_STATUS = {
    1: "unknown",
    2: "online",
    3: "on battery",
    4: "boost",
    5: "sleeping",
    6: "off",
    7: "rebooting",
    8: "eco mode",
    9: "bypass",
    10: "trim",
    11: "overload",
}
_LOAD_STATUS = {1: "normal", 2: "low", 3: "near overload", 4: "overload"}

CYBERPOWER_UPS = Profile(
    family="CyberPower UPS",
    device_type=DeviceType.UPS,
    object_ids=("1.3.6.1.4.1.3808",),
    probes=(f"{_UPS}.4.1.1.0",),
    model=(f"{_UPS}.1.1.1.0",),
    serial=(f"{_UPS}.1.2.3.0",),
    metrics=(
        Metric("battery.status", "", (Source(f"{_UPS}.2.1.1.0"),), "Battery", _BATTERY_STATUS),
        Metric("battery.charge", "%", (Source(f"{_UPS}.2.2.1.0", absent=_NONE),), "Charge"),
        Metric("battery.voltage", "V", (Source(f"{_UPS}.2.2.2.0", 0.1, absent=(-1, 0)),), "Battery voltage"),
        Metric("ups.temperature", "Cel", (Source(f"{_UPS}.2.2.3.0", absent=(0, 255)),), "Temperature", limit=UPS_TEMPERATURE),
        Metric("battery.runtime", "s", (Source(f"{_UPS}.2.2.4.0", 0.01, absent=(4_294_967_295,)),), "Runtime"),
        Metric("input.voltage", "V", (Source(f"{_UPS}.3.2.1.0", 0.1, absent=_NONE),), "Input voltage"),
        Metric("input.frequency", "Hz", (Source(f"{_UPS}.3.2.4.0", 0.1, absent=_NONE),), "Input frequency"),
        Metric("output.status", "", (Source(f"{_UPS}.4.1.1.0"),), "Output", _OUTPUT_STATUS),
        Metric("output.voltage", "V", (Source(f"{_UPS}.4.2.1.0", 0.1, absent=_NONE),), "Output voltage"),
        Metric("ups.load", "%", (Source(f"{_UPS}.4.2.3.0", absent=(-1, 255)),), "Load", limit=LOAD, believable=PERCENT_OF_LOAD),
        Metric(
            "output.current",
            "A",
            (Source(f"{_UPS}.4.2.4.0", 0.1, absent=_NONE, beside=(f"{_UPS}.4.2.3.0",)),),
            "Output current",
        ),
        Metric("ups.realpower", "W", (Source(f"{_UPS}.4.2.5.0", absent=_NONE, beside=(f"{_UPS}.4.2.3.0",)),), "Power"),
        Metric(
            "ambient.temperature",
            "Cel",
            (Source(f"{_ENV}.2.1.0", 0.1 * 5 / 9, -32 * 5 / 9, absent=(-1, 0)),),
            "Ambient temperature",
            limit=ROOM_TEMPERATURE,
        ),
        Metric("ambient.humidity", "%", (Source(f"{_ENV}.3.1.0", absent=(-1, 0)),), "Ambient humidity", limit=ROOM_HUMIDITY),
    ),
    alarms=(says("replace", f"{_UPS}.2.2.5.0", {1: None, 2: conditions.REPLACE_BATTERY}),),
    beside=(UPS_MIB,),
)

_UNITS = (("unit", f"{_PDU2}.3.4.1.2"),)

CYBERPOWER_PDU = Profile(
    family="CyberPower rack PDU",
    device_type=DeviceType.RACK_PDU,
    object_ids=("1.3.6.1.4.1.3808",),
    probes=(f"{_PDU2}.3.4.1.4.1",),
    model=(f"{_CPS}.3.1.5.0",),
    serial=(f"{_CPS}.3.1.6.0",),
    tables=(
        Table(
            key="unit",
            part=DeviceType.RACK_PDU,
            number=f"{_PDU2}.3.4.1.2",
            itself="1",
            display_name="Unit {index}",
            label=f"{_PDU2}.3.4.1.3",
        ),
        Table(
            key="whole",
            within=_UNITS,
            metrics=(
                Metric("load.status", "", (Source(f"{_PDU2}.3.4.1.4"),), "Load", _LOAD_STATUS),
                Metric("input.realpower", "W", (Source(f"{_PDU2}.3.4.1.18", absent=_NONE),), "Power"),
                Metric("input.power", "VA", (Source(f"{_PDU2}.3.4.1.15", absent=_NONE),), "Apparent power"),
                Metric(
                    "input.powerfactor",
                    "1",
                    (Source(f"{_PDU2}.3.4.1.16", 0.01, absent=_NONE),),
                    "Power factor",
                    believable=(0, 1),
                ),
            ),
        ),
        Table(
            key="phase",
            within=(("unit", f"{_PDU2}.4.4.1.2"),),
            number=f"{_PDU2}.4.4.1.3",
            metrics=(
                Metric("input.L{index}.load.status", "", (Source(f"{_PDU2}.4.4.1.4"),), "Load L{index}", _LOAD_STATUS),
                Metric("input.L{index}.current", "A", (Source(f"{_PDU2}.4.4.1.5", 0.1, absent=_NONE),), "Current L{index}"),
                Metric("input.L{index}.voltage", "V", (Source(f"{_PDU2}.4.4.1.6", 0.1, absent=_NONE),), "Voltage L{index}"),
                Metric("input.L{index}.realpower", "W", (Source(f"{_PDU2}.4.4.1.7", absent=_NONE),), "Power L{index}"),
            ),
        ),
    ),
)
