"""APC UPSs, by PowerNet-MIB. Most quantities come twice: as a whole number, and finer in tenths."""

from consentry_gateway.model import DeviceType, Limit
from consentry_gateway.profiles.form import Metric, Profile, Source

_APC = "1.3.6.1.4.1.318"
_UPS = f"{_APC}.1.1.1"

_BATTERY_STATUS = {1: "unknown", 2: "normal", 3: "low", 4: "fault", 5: "not present"}
_OUTPUT_STATUS = {
    2: "online",
    3: "on battery",
    4: "boost",
    5: "sleeping",
    6: "bypass",
    7: "off",
    8: "rebooting",
    9: "bypass",
    10: "bypass",
    11: "sleeping",
    12: "trim",
    13: "online",
    14: "on battery",
    15: "on battery",
    16: "bypass",
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

APC_UPS = Profile(
    family="APC UPS",
    device_type=DeviceType.UPS,
    object_ids=(f"{_APC}.1.3",),
    probes=(f"{_UPS}.1.1.1.0",),
    model=(f"{_UPS}.1.1.1.0",),
    serial=(f"{_UPS}.1.2.3.0",),
    metrics=(
        Metric("ups.load", "%", (Source(f"{_UPS}.4.3.3.0", 0.1), Source(f"{_UPS}.4.2.3.0")), "Load"),
        Metric("ups.realpower", "W", (Source(f"{_UPS}.4.2.8.0"),), "Power"),
        Metric("ups.power", "VA", (Source(f"{_UPS}.4.2.9.0"),), "Apparent power"),
        Metric(
            "ups.temperature", "Cel", (Source(f"{_UPS}.2.3.2.0", 0.1), Source(f"{_UPS}.2.2.2.0")), "Temperature",
            limit=Limit(45.0, 42.0),
        ),
        Metric("battery.charge", "%", (Source(f"{_UPS}.2.3.1.0", 0.1), Source(f"{_UPS}.2.2.1.0")), "Charge"),
        Metric("battery.runtime", "s", (Source(f"{_UPS}.2.2.3.0", 0.01),), "Runtime"),
        Metric("battery.voltage", "V", (Source(f"{_UPS}.2.3.4.0", 0.1), Source(f"{_UPS}.2.2.8.0")), "Battery voltage"),
        Metric("battery.current", "A", (Source(f"{_UPS}.2.3.5.0", 0.1), Source(f"{_UPS}.2.2.9.0")), "Battery current"),
        Metric("battery.status", "", (Source(f"{_UPS}.2.1.1.0"),), "Battery", _BATTERY_STATUS),
        Metric("battery.replace", "", (Source(f"{_UPS}.2.2.4.0"),), "Replace battery", {1: "no", 2: "yes"}),
        Metric("input.voltage", "V", (Source(f"{_UPS}.3.3.1.0", 0.1), Source(f"{_UPS}.3.2.1.0")), "Input voltage"),
        Metric("input.frequency", "Hz", (Source(f"{_UPS}.3.3.4.0", 0.1), Source(f"{_UPS}.3.2.4.0")), "Input frequency"),
        Metric("input.transfer.reason", "", (Source(f"{_UPS}.3.2.5.0"),), "Transfer reason", _TRANSFER_REASON),
        Metric("output.voltage", "V", (Source(f"{_UPS}.4.3.1.0", 0.1), Source(f"{_UPS}.4.2.1.0")), "Output voltage"),
        Metric("output.frequency", "Hz", (Source(f"{_UPS}.4.3.2.0", 0.1), Source(f"{_UPS}.4.2.2.0")), "Output frequency"),
        Metric("output.current", "A", (Source(f"{_UPS}.4.3.4.0", 0.1), Source(f"{_UPS}.4.2.4.0")), "Output current"),
        Metric("output.status", "", (Source(f"{_UPS}.4.1.1.0"),), "Output", _OUTPUT_STATUS),
    ),
)  # fmt: skip
