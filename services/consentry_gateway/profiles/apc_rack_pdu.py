"""APC rack PDUs: generation 2 (rPDU2 in PowerNet-MIB: AP8xxx, AP9xxx, AP7xxxB) and generation 1 (rPDU: AP78xx, AP79xx).

Generation 2 speaks for up to four PDUs that are chained. Its rows say in a column which unit they are of, and in another which
phase, bank, outlet or probe of it. Unit 1 holds the network card: it is the agent's device, the others are parts of it. The
unit judges its load itself; the limits that it has been given would say no more than its `load.status`.
"""

from dataclasses import replace

from consentry_gateway.profiles.form import Metric, Profile, Source, Table
from consentry_gateway.profiles.quantities import HEARD, JUDGED, ROOM_HUMIDITY, ROOM_TEMPERATURE
from consentry_gateway.reading.model import DeviceType

_APC = "1.3.6.1.4.1.318"
_PDU2 = f"{_APC}.1.1.26"
_PDU1 = f"{_APC}.1.1.12"

_LOAD_STATUS_2 = {1: "low", 2: "normal", 3: "near overload", 4: "overload"}
_LOAD_STATUS_1 = {1: "normal", 2: "low", 3: "near overload", 4: "overload"}
_SUPPLY = {1: "ok", 2: "failed"}
_NONE = (-1,)


def _unit(table: str) -> tuple[tuple[str, str], ...]:
    return (("unit", f"{_PDU2}.{table}.2"),)


_UNIT = Table(
    key="unit",
    part=DeviceType.RACK_PDU,
    number=f"{_PDU2}.2.1.2",
    itself="1",
    display_name="Unit {index}",
    label=f"{_PDU2}.2.1.3",
    model=f"{_PDU2}.2.1.8",
    serial=f"{_PDU2}.2.1.9",
)
_WHOLE = Table(
    key="whole",
    within=_unit("4.3.1"),
    metrics=(
        Metric("input.realpower", "W", (Source(f"{_PDU2}.4.3.1.5", 10, absent=_NONE),), "Power"),
        Metric("input.power", "VA", (Source(f"{_PDU2}.4.3.1.16", 10, absent=_NONE),), "Apparent power"),
        Metric("input.energy", "kW.h", (Source(f"{_PDU2}.4.3.1.9", 0.1, absent=_NONE),), "Energy"),
        Metric(
            "input.powerfactor", "1", (Source(f"{_PDU2}.4.3.1.17", 0.01, absent=_NONE),), "Power factor", believable=(-1, 1)
        ),
        Metric("load.status", "", (Source(f"{_PDU2}.4.3.1.4"),), "Load", _LOAD_STATUS_2),
        Metric("supply.status", "", (Source(f"{_PDU2}.4.3.1.12"),), "Power supply", _SUPPLY),
    ),
)
_PHASE = Table(
    key="phase",
    within=_unit("6.3.1"),
    number=f"{_PDU2}.6.3.1.3",
    metrics=(
        Metric("input.L{index}.current", "A", (Source(f"{_PDU2}.6.3.1.5", 0.1, absent=_NONE),), "Current L{index}"),
        Metric("input.L{index}.voltage", "V", (Source(f"{_PDU2}.6.3.1.6", absent=_NONE),), "Voltage L{index}"),
        Metric("input.L{index}.realpower", "W", (Source(f"{_PDU2}.6.3.1.7", 10, absent=_NONE),), "Power L{index}"),
        Metric("input.L{index}.load.status", "", (Source(f"{_PDU2}.6.3.1.4"),), "Load L{index}", _LOAD_STATUS_2),
    ),
)
_BANK = Table(
    key="bank",
    part=DeviceType.OUTLET_GROUP,
    within=_unit("8.3.1"),
    number=f"{_PDU2}.8.3.1.3",
    display_name="Bank {index}",
    metrics=(
        Metric("current", "A", (Source(f"{_PDU2}.8.3.1.5", 0.1, absent=_NONE),), "Current"),
        Metric("load.status", "", (Source(f"{_PDU2}.8.3.1.4"),), "Load", _LOAD_STATUS_2),
    ),
)


def _outlets(table: str, bank: str, *metrics: Metric) -> Table:
    return Table(
        key="outlet",
        part=DeviceType.OUTLET_GROUP,
        within=(*_unit(table), ("bank", f"{_PDU2}.{bank}")),
        number=f"{_PDU2}.{table}.4",
        display_name="Outlet {index}",
        label=f"{_PDU2}.{table}.3",
        metrics=metrics,
    )


_PROBE = Table(
    key="probe",
    part=DeviceType.ENVIRONMENTAL_SENSOR,
    within=_unit("10.2.2.1"),
    number=f"{_PDU2}.10.2.2.1.4",
    display_name="Probe {index}",
    label=f"{_PDU2}.10.2.2.1.3",
    metrics=(
        Metric(
            "ambient.temperature",
            "Cel",
            (Source(f"{_PDU2}.10.2.2.1.8", 0.1, absent=_NONE),),
            "Temperature",
            limit=ROOM_TEMPERATURE,
        ),
        Metric("ambient.temperature.status", "", (Source(f"{_PDU2}.10.2.2.1.9"),), "Temperature", JUDGED),
        Metric("ambient.humidity", "%", (Source(f"{_PDU2}.10.2.2.1.10", absent=_NONE),), "Humidity", limit=ROOM_HUMIDITY),
        Metric("ambient.humidity.status", "", (Source(f"{_PDU2}.10.2.2.1.11"),), "Humidity", JUDGED),
        Metric("communication", "", (Source(f"{_PDU2}.10.2.2.1.6"),), "Probe", HEARD),
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
        Metric("input.realpower", "W", (Source(f"{_PDU1}.1.16.0", absent=_NONE),), "Power"),
        Metric("input.voltage", "V", (Source(f"{_PDU1}.1.15.0", absent=_NONE),), "Voltage"),
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

APC_RACK_PDU = Profile(
    family="APC rack PDU, generation 2",
    device_type=DeviceType.RACK_PDU,
    object_ids=(f"{_APC}.1.3.4",),
    probes=(f"{_PDU2}.2.1.8.1",),
    model=(f"{_PDU2}.2.1.8.1",),
    serial=(f"{_PDU2}.2.1.9.1",),
    tables=(
        _UNIT,
        _WHOLE,
        _PHASE,
        _BANK,
        _outlets("9.2.3.1", "9.2.4.1.5", Metric("status", "", (Source(f"{_PDU2}.9.2.3.1.5"),), "Outlet", {1: "off", 2: "on"})),
        _outlets(
            "9.4.3.1",
            "9.4.2.1.5",
            Metric("current", "A", (Source(f"{_PDU2}.9.4.3.1.6", 0.1, absent=_NONE),), "Current"),
            Metric("realpower", "W", (Source(f"{_PDU2}.9.4.3.1.7", absent=_NONE),), "Power"),
            Metric("energy", "kW.h", (Source(f"{_PDU2}.9.4.3.1.11", 0.1, absent=_NONE),), "Energy"),
            Metric("load.status", "", (Source(f"{_PDU2}.9.4.3.1.5"),), "Load", _LOAD_STATUS_2),
        ),
        _PROBE,
    ),
    # Some of the second generation tell their power and voltage by the first one's numbers alone.
    beside=(replace(APC_RACK_PDU_GEN1, tables=()),),
)
