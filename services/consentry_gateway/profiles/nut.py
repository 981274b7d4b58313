"""What Network UPS Tools knows of any UPS or PDU that it has a driver for: its variables, whose names are ours as well.

`ups.status` is a set of flags (OL CHRG, OB DISCHRG LB). The source gives each an address: its own name stands there while it is
set, "no" while it is not, and nothing while the driver says neither online nor on battery, nor off or bypass.
"""

from collections.abc import Iterator

from consentry_gateway.profiles.form import AlarmList, Limits, Meaning, Metric, Profile, Source, Table
from consentry_gateway.profiles.quantities import (
    BATTERY_TEMPERATURE,
    COUNT,
    LOAD,
    PERCENT_OF_LOAD,
    ROOM_HUMIDITY,
    ROOM_TEMPERATURE,
    UPS_TEMPERATURE,
)
from consentry_gateway.reading.model import DeviceType, Limit, Severity

IDENTITY = "device.type.0"
STATUS_KNOWN = "ups.status.known.0"
FLAGS = ("OL", "OB", "LB", "RB", "CHRG", "DISCHRG", "BYPASS", "CAL", "OFF", "OVER", "TRIM", "BOOST", "FSD")
NORMAL_FLAGS = frozenset({"OL", "OB", "OFF", "BYPASS"})
"""A status with none of them (WAIT, or nothing) is that of a driver that does not know yet."""

_UNKNOWN = {"unknown": "unknown"}
_TEST = {
    "Done and passed": "passed",
    "Done and warning": "passed with warnings",
    "Done and error": "failed",
    "Aborted": "aborted",
    "In progress": "in progress",
    "No test initiated": "none yet",
}


def _flags(*flags: str) -> tuple[Source, ...]:
    return (*(Source(f"ups.status.{flag}.0") for flag in flags), Source(STATUS_KNOWN))


def _yes(name: str, flag: str, shown: str) -> Metric:
    return Metric(name, "", _flags(flag), shown, {flag: "yes", "no": "no", **_UNKNOWN})


def _plain(name: str, unit: str, shown: str, *, limit: Limit | None = None, percent: bool = False) -> Metric:
    return Metric(name, unit, (Source(f"{name}.0"),), shown, limit=limit, believable=PERCENT_OF_LOAD if percent else None)


def _lines() -> Iterator[Metric]:
    for number in (1, 2, 3):
        for side, shown in (("input", "Input"), ("output", "Output")):
            line = f"{side}.L{number}"
            voltage = (Source(f"{line}-N.voltage.0"), Source(f"{line}.voltage.0"))
            yield Metric(f"{line}.voltage", "V", voltage, f"{shown} voltage L{number}")
            yield _plain(f"{line}.current", "A", f"{shown} current L{number}")
            yield _plain(f"{line}.realpower", "W", f"{shown} power L{number}")
            load = (Source(f"{line}.power.percent.0"),)
            yield Metric(f"{line}.load", "%", load, f"{shown} load L{number}", believable=PERCENT_OF_LOAD)


_STATES = (
    Metric(
        "output.status",
        "",
        _flags("OFF", "BYPASS", "OB", "BOOST", "TRIM", "OL"),
        "Output",
        {"OFF": "off", "BYPASS": "bypass", "OB": "on battery", "BOOST": "boost", "TRIM": "trim", "OL": "online", **_UNKNOWN},
    ),
    Metric(
        "battery.status",
        "",
        _flags("LB", "DISCHRG", "CHRG"),
        "Battery",
        {"LB": "low", "DISCHRG": "discharging", "CHRG": "charging", "known": "normal", **_UNKNOWN},
    ),
    _yes("battery.replace", "RB", "Replace battery"),
    _yes("battery.calibration", "CAL", "Calibration"),
    Metric("ups.load.status", "", _flags("OVER"), "Load", {"OVER": "overload", "no": "normal", **_UNKNOWN}),
    Metric("ups.test.result", "", (Source("ups.test.result.0"),), "Self-test", _TEST),
)

_QUANTITIES = (
    _plain("input.voltage", "V", "Input voltage"),
    _plain("input.frequency", "Hz", "Input frequency"),
    _plain("input.current", "A", "Input current"),
    _plain("input.realpower", "W", "Input power"),
    _plain("input.power", "VA", "Input apparent power"),
    _plain("input.load", "%", "Input load", percent=True),
    Metric("input.powerfactor", "1", (Source("input.powerfactor.0"),), "Power factor", believable=(-1, 1)),
    _plain("input.voltage.nominal", "V", "Nominal input voltage"),
    _plain("input.bypass.voltage", "V", "Bypass voltage"),
    _plain("input.bypass.frequency", "Hz", "Bypass frequency"),
    _plain("output.voltage", "V", "Output voltage"),
    _plain("output.frequency", "Hz", "Output frequency"),
    _plain("output.current", "A", "Output current"),
    _plain("output.voltage.nominal", "V", "Nominal output voltage"),
    *_lines(),
    Metric(
        "ambient.temperature",
        "Cel",
        (Source("ambient.temperature.0"),),
        "Ambient temperature",
        limit=ROOM_TEMPERATURE,
        limits=Limits((Source("ambient.temperature.high.0"),), (Source("ambient.temperature.low.0"),), 2),
    ),
    Metric(
        "ambient.humidity",
        "%",
        (Source("ambient.humidity.0"),),
        "Ambient humidity",
        limit=ROOM_HUMIDITY,
        limits=Limits((Source("ambient.humidity.high.0"),), (Source("ambient.humidity.low.0"),), 2),
    ),
)

_UPS_QUANTITIES = (
    _plain("battery.charge", "%", "Charge"),
    _plain("battery.runtime", "s", "Runtime"),
    _plain("battery.voltage", "V", "Battery voltage"),
    _plain("battery.current", "A", "Battery current"),
    _plain("battery.temperature", "Cel", "Battery temperature", limit=BATTERY_TEMPERATURE),
    Metric("battery.packs.bad", "1", (Source("battery.packs.bad.0"),), "Bad packs", limit=COUNT, believable=(0, 1_000)),
    _plain("ups.load", "%", "Load", limit=LOAD, percent=True),
    _plain("ups.realpower", "W", "Power"),
    _plain("ups.power", "VA", "Apparent power"),
    _plain("ups.realpower.nominal", "W", "Nominal power"),
    _plain("ups.power.nominal", "VA", "Nominal apparent power"),
    _plain("ups.temperature", "Cel", "Temperature", limit=UPS_TEMPERATURE),
    _plain("ups.efficiency", "%", "Efficiency"),
)

_OUTLETS = Table(
    key="outlet",
    part=DeviceType.OUTLET_GROUP,
    display_name="Outlet {index}",
    label="outlet.desc",
    metrics=(
        Metric("status", "", (Source("outlet.status"),), "Outlet", {"on": "on", "off": "off"}),
        Metric("voltage", "V", (Source("outlet.voltage"),), "Voltage"),
        Metric("current", "A", (Source("outlet.current"),), "Current"),
        Metric("realpower", "W", (Source("outlet.realpower"),), "Power"),
        Metric("power", "VA", (Source("outlet.power"),), "Apparent power"),
    ),
)

_PROBES = Table(
    key="probe",
    part=DeviceType.ENVIRONMENTAL_SENSOR,
    display_name="Probe {index}",
    label="ambient.name",
    metrics=(
        Metric(
            "ambient.temperature",
            "Cel",
            (Source("ambient.temperature"),),
            "Temperature",
            limit=ROOM_TEMPERATURE,
            limits=Limits((Source("ambient.temperature-high"),), (Source("ambient.temperature-low"),), 2),
        ),
        Metric(
            "ambient.humidity",
            "%",
            (Source("ambient.humidity"),),
            "Humidity",
            limit=ROOM_HUMIDITY,
            limits=Limits((Source("ambient.humidity-high"),), (Source("ambient.humidity-low"),), 2),
        ),
    ),
)

_ALARMS = (
    AlarmList(
        key="shutdown",
        oid="ups.status.FSD.0",
        states=True,
        meanings={"FSD": Meaning("Shutdown Imminent", Severity.CRITICAL, "The load is about to be shut down."), "no": None},
    ),
    AlarmList(key="alarm", oid="ups.alarm.0", meanings={"ALARM": Meaning("UPS Alarm")}, title="UPS Alarm"),
)

NUT_PDU = Profile(
    family="PDU through Network UPS Tools",
    device_type=DeviceType.RACK_PDU,
    source="nut",
    object_ids=("pdu",),
    probes=("driver.name.0",),
    model=("device.model.0", "ups.model.0"),
    serial=("device.serial.0", "ups.serial.0"),
    metrics=_QUANTITIES,
    tables=(_OUTLETS, _PROBES),
    alarms=(_ALARMS[1],),
)

NUT_UPS = Profile(
    family="UPS through Network UPS Tools",
    device_type=DeviceType.UPS,
    source="nut",
    probes=("ups.status.0",),
    model=("device.model.0", "ups.model.0"),
    serial=("device.serial.0", "ups.serial.0"),
    metrics=(*_STATES, *_UPS_QUANTITIES, *_QUANTITIES),
    tables=(_OUTLETS, _PROBES),
    alarms=_ALARMS,
)
