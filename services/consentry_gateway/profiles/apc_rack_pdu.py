"""APC rack PDUs: generation 2 (rPDU2 in PowerNet-MIB, metered and switched AP8xxx) and generation 1 (rPDU, AP79xx).

Generation 2 speaks for up to four PDUs that are chained, by table index; the one that holds the network card is index 1.
"""

from consentry_gateway.model import DeviceType, Limit
from consentry_gateway.profiles.form import Metric, Profile, Source, Table

_APC = "1.3.6.1.4.1.318"
_PDU2 = f"{_APC}.1.1.26"
_PDU1 = f"{_APC}.1.1.12"

_LOAD_STATUS_2 = {1: "low", 2: "normal", 3: "near overload", 4: "overload"}
_LOAD_STATUS_1 = {1: "normal", 2: "low", 3: "near overload", 4: "overload"}

APC_RACK_PDU = Profile(
    family="APC rack PDU, generation 2",
    device_type=DeviceType.RACK_PDU,
    object_ids=(f"{_APC}.1.3.4",),
    probes=(f"{_PDU2}.2.1.8.1",),
    model=(f"{_PDU2}.2.1.8.1",),
    serial=(f"{_PDU2}.2.1.9.1",),
    metrics=(
        Metric("input.realpower", "W", (Source(f"{_PDU2}.4.3.1.5.1", 10),), "Power"),
        Metric("input.power", "VA", (Source(f"{_PDU2}.4.3.1.16.1", 10),), "Apparent power"),
        Metric("input.energy", "kW.h", (Source(f"{_PDU2}.4.3.1.9.1", 0.1),), "Energy"),
        Metric("load.status", "", (Source(f"{_PDU2}.4.3.1.4.1"),), "Load", _LOAD_STATUS_2),
    ),
    tables=(
        Table(
            key="phase",
            metrics=(
                Metric("input.L{index}.current", "A", (Source(f"{_PDU2}.6.3.1.5", 0.1),), "Current L{index}"),
                Metric("input.L{index}.voltage", "V", (Source(f"{_PDU2}.6.3.1.6"),), "Voltage L{index}"),
                Metric("input.L{index}.realpower", "W", (Source(f"{_PDU2}.6.3.1.7", 10),), "Power L{index}"),
                Metric("input.L{index}.load.status", "", (Source(f"{_PDU2}.6.3.1.4"),), "Load L{index}", _LOAD_STATUS_2),
            ),
        ),
        Table(
            key="bank",
            part=DeviceType.OUTLET_GROUP,
            display_name="Bank {index}",
            metrics=(
                Metric("current", "A", (Source(f"{_PDU2}.8.3.1.5", 0.1),), "Current"),
                Metric("load.status", "", (Source(f"{_PDU2}.8.3.1.4"),), "Load", _LOAD_STATUS_2),
            ),
        ),
        Table(
            key="probe",
            part=DeviceType.ENVIRONMENTAL_SENSOR,
            display_name="Probe {index}",
            label=f"{_PDU2}.10.2.2.1.3",
            metrics=(
                Metric(
                    "ambient.temperature", "Cel", (Source(f"{_PDU2}.10.2.2.1.8", 0.1),), "Temperature", limit=Limit(35.0, 33.0)
                ),
                Metric("ambient.humidity", "%", (Source(f"{_PDU2}.10.2.2.1.10"),), "Humidity"),
            ),
        ),
    ),
)

APC_RACK_PDU_GEN1 = Profile(
    family="APC rack PDU, generation 1",
    device_type=DeviceType.RACK_PDU,
    object_ids=(f"{_APC}.1.3.4",),
    probes=(f"{_PDU1}.1.5.0",),
    model=(f"{_PDU1}.1.5.0",),
    serial=(f"{_PDU1}.1.6.0",),
    metrics=(
        Metric("input.realpower", "W", (Source(f"{_PDU1}.1.16.0"),), "Power"),
        Metric("input.voltage", "V", (Source(f"{_PDU1}.1.15.0"),), "Voltage"),
    ),
    tables=(
        Table(
            key="load",
            display_name="{index}",
            metrics=(
                Metric("load.{index}.current", "A", (Source(f"{_PDU1}.2.3.1.1.2", 0.1),), "Current {index}"),
                Metric("load.{index}.status", "", (Source(f"{_PDU1}.2.3.1.1.3"),), "Load {index}", _LOAD_STATUS_1),
            ),
        ),
    ),
)
