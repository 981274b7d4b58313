"""APC Smart-UPS (SMT, SMX, SRT, SMC) by Modbus TCP: the registers of Schneider's application note 176 (MPAO-98KJ7F).

Numbers are binary fractions. A text is filled up with zeros or blanks.
"""

from consentry_gateway.profiles.form import AlarmList, Meaning, Metric, Profile, Source
from consentry_gateway.profiles.quantities import BATTERY_TEMPERATURE, LOAD, PERCENT_OF_LOAD, meaning
from consentry_gateway.reading import conditions
from consentry_gateway.reading.model import DeviceType, Severity
from consentry_gateway.sources.modbus.registers import register

_NONE = (0xFFFF,)
_C = Severity.CRITICAL

_OUTPUT = {4: "off", 3: "bypass", 2: "on battery", 1: "online", -1: "unknown"}
_TEST = {1: "in progress", 3: "failed", 2: "passed", 5: "aborted", 4: "refused", 0: "pending", -1: "none yet"}


def _status(bit: int) -> str:
    return register(0, "uint32", bit=bit)


def _power(bit: int) -> str:
    return register(20, "uint32", bit=bit)


def _battery(bit: int) -> str:
    return register(22, bit=bit)


def _wrong(key: str, bit: str, what: Meaning) -> AlarmList:
    """Something is wrong while a bit is set."""
    return AlarmList(key=key, oid=bit, states=True, meanings={1: what, 0: None})


def _number(name: str, unit: str, start: int, bits: int, shown: str, *, kind: str = "uint16", **more: object) -> Metric:
    """A quantity that is told in 2**-bits of its unit."""
    absent = _NONE if kind == "uint16" else ()
    return Metric(name, unit, (Source(register(start, kind), 2.0**-bits, absent=absent),), shown, **more)  # type: ignore[arg-type]


APC_SMART_UPS = Profile(
    family="APC Smart-UPS by Modbus",
    device_type=DeviceType.UPS,
    source="modbus",
    object_ids=("apc-smart-ups",),
    probes=(register(532, "text16"), register(0, "uint32", bits=tuple(_OUTPUT)[:-1])),
    model=(register(532, "text16"),),
    serial=(register(564, "text8"),),
    metrics=(
        Metric("output.status", "", (Source(register(0, "uint32", bits=tuple(_OUTPUT)[:-1])),), "Output", _OUTPUT),
        Metric("ups.load.status", "", (Source(_status(21)),), "Load", {0: "normal", 1: "overload"}),
        Metric("battery.status", "", (Source(register(18, bit=1)),), "Battery", {0: "normal", 1: "low"}),
        Metric("battery.replace", "", (Source(_battery(2)),), "Replace battery", {0: "no", 1: "yes"}),
        Metric("ups.test.result", "", (Source(register(23, bits=tuple(_TEST)[:-1])),), "Self-test", _TEST),
        Metric("battery.runtime", "s", (Source(register(128, "uint32"), absent=(0xFFFFFFFF,)),), "Runtime"),
        _number("battery.charge", "%", 130, 9, "Charge"),
        _number("battery.voltage", "V", 131, 5, "Battery voltage", kind="int16"),
        _number("battery.temperature", "Cel", 135, 7, "Battery temperature", kind="int16", limit=BATTERY_TEMPERATURE),
        _number("ups.load", "%", 136, 8, "Load", limit=LOAD, believable=PERCENT_OF_LOAD),
        _number("output.current", "A", 140, 5, "Output current"),
        _number("output.voltage", "V", 142, 6, "Output voltage"),
        _number("output.frequency", "Hz", 144, 7, "Output frequency"),
        Metric("output.energy", "kW.h", (Source(register(145, "uint32"), 0.001, absent=(0xFFFFFFFF,)),), "Energy"),
        _number("input.voltage", "V", 151, 6, "Input voltage"),
        # What is below 0 are reasons why there is none.
        Metric(
            "ups.efficiency",
            "%",
            (Source(register(154, "int16"), 2.0**-7, absent=(-1, -2, -3, -4, -5, -6, -7, -8)),),
            "Efficiency",
        ),
        Metric("ups.power.nominal", "VA", (Source(register(588), absent=(0, *_NONE)),), "Nominal apparent power"),
        Metric("ups.realpower.nominal", "W", (Source(register(589), absent=(0, *_NONE)),), "Nominal power"),
    ),
    alarms=(
        _wrong("fault", _status(5), Meaning("UPS Fault", _C, "The UPS reports a general fault.")),
        _wrong("input", _status(6), Meaning("Input Out Of Range", message="The UPS cannot use its input.")),
        _wrong("hot", _power(4), Meaning("Overtemperature", _C, "The UPS is too hot.")),
        _wrong("fan", _power(10), Meaning("Fan Failure", message="A fan of the UPS has failed.")),
        _wrong("inverter", _power(13), Meaning("Inverter Fault", _C, "The inverter of the UPS has a fault.")),
        _wrong("missing", _battery(0), meaning(conditions.BATTERY_MISSING)),
        _wrong("hot-battery", _battery(3), Meaning("Battery Overtemperature", _C, "The battery is too hot.")),
        _wrong("charger", _battery(4), Meaning("Charger Fault", message="The charger has a fault.")),
    ),
)
