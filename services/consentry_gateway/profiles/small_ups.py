"""UPSs of Phoenixtec and whom it builds for (PPC-MIB, 935), and Emerson's with a tree of the same make (13400.2.1).

Their standard tree, where they have one, counts no watts and amperes: nothing but states and the battery is taken from it.
"""

from dataclasses import replace

from consentry_gateway.profiles.form import Metric, Profile, Source
from consentry_gateway.profiles.quantities import LOAD, PERCENT_OF_LOAD, UPS_TEMPERATURE
from consentry_gateway.profiles.ups_mib import UPS_MIB
from consentry_gateway.reading.model import DeviceType

_PPC = "1.3.6.1.4.1.935.1.1.1"
_EMERSON = "1.3.6.1.4.1.13400.2.1.3.1"
_OUTPUT_STATUS = {
    1: "unknown",
    2: "online",
    3: "on battery",
    4: "boost",
    5: "sleeping",
    6: "bypass",
    7: "rebooting",
    8: "standby",
    9: "trim",
}


def _common(tree: str, frequency: str) -> tuple[Metric, ...]:
    return (
        Metric("battery.charge", "%", (Source(f"{tree}.2.2.1.0"),), "Charge"),
        Metric("input.voltage", "V", (Source(f"{tree}.3.2.1.0", 0.1),), "Input voltage"),
        Metric("input.frequency", "Hz", (Source(f"{tree}.3.2.{frequency}.0", 0.1),), "Input frequency"),
        Metric("output.voltage", "V", (Source(f"{tree}.4.2.1.0", 0.1),), "Output voltage"),
        Metric("output.frequency", "Hz", (Source(f"{tree}.4.2.2.0", 0.1),), "Output frequency"),
        Metric("ups.load", "%", (Source(f"{tree}.4.2.3.0"),), "Load", limit=LOAD, believable=PERCENT_OF_LOAD),
    )


PHOENIXTEC = Profile(
    family="Phoenixtec UPS",
    device_type=DeviceType.UPS,
    object_ids=("1.3.6.1.4.1.935",),
    probes=(f"{_PPC}.4.1.1.0",),
    model=(f"{_PPC}.1.1.1.0",),
    serial=(f"{_PPC}.1.2.3.0",),
    metrics=(
        *_common(_PPC, "4"),
        Metric("output.status", "", (Source(f"{_PPC}.4.1.1.0"),), "Output", _OUTPUT_STATUS),
        Metric("ups.temperature", "Cel", (Source(f"{_PPC}.2.2.3.0", 0.1),), "Temperature", limit=UPS_TEMPERATURE),
    ),
    beside=(replace(UPS_MIB, tables=()),),
)

EMERSON_UPS = Profile(
    family="Emerson UPS",
    device_type=DeviceType.UPS,
    object_ids=("1.3.6.1.4.1.13400",),
    probes=(f"{_EMERSON}.4.2.3.0",),
    model=("1.3.6.1.4.1.13400.2.1.2.1.1.1.0",),
    metrics=(
        *_common(_EMERSON, "6"),
        Metric("battery.voltage", "V", (Source(f"{_EMERSON}.2.2.2.0", 0.1),), "Battery voltage"),
        Metric("output.current", "A", (Source(f"{_EMERSON}.4.2.4.0", 0.1),), "Output current"),
    ),
)
