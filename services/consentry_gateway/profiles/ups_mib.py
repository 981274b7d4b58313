"""UPSs of any maker that speak the standard UPS-MIB (RFC 1628).

Agents fill what they do not measure with zeros: a column of zeros beside others that are not is none. A row of zeros is one,
when the mains have failed. Minutes of runtime are at least one; 0 says that it is not known.
"""

from consentry_gateway.profiles.form import AlarmList, Meaning, Metric, Profile, Source, Table, Total
from consentry_gateway.profiles.quantities import BATTERY_TEMPERATURE, LOAD, PERCENT_OF_LOAD, meaning
from consentry_gateway.reading import conditions
from consentry_gateway.reading.model import DeviceType, Severity

_UPS = "1.3.6.1.2.1.33.1"
_OUT = f"{_UPS}.4.4.1"

_BATTERY_STATUS = {1: "unknown", 2: "normal", 3: "low", 4: "depleted"}
_OUTPUT_STATUS = {1: "other", 2: "off", 3: "online", 4: "bypass", 5: "on battery", 6: "boost", 7: "trim"}
_ONLINE = (f"{_UPS}.4.1.0", 3)
_TEST = {1: "passed", 2: "passed with warnings", 3: "failed", 4: "aborted", 5: "in progress", 6: "none yet"}

_C, _W = Severity.CRITICAL, Severity.WARNING
_WELL_KNOWN: tuple[Meaning | None, ...] = (
    meaning(conditions.BATTERY_FAULT),
    meaning(conditions.POWER_FAILURE),
    meaning(conditions.LOW_BATTERY),
    Meaning("Low Battery", _C, "The battery is depleted.", "low-battery"),
    Meaning("Temperature Out Of Range"),
    Meaning("Input Out Of Range"),
    Meaning("Output Out Of Range"),
    meaning(conditions.OVERLOAD),
    meaning(conditions.BYPASS),
    Meaning("Bypass Out Of Range"),
    Meaning("Output Off", _W, "The output is off, as it was asked to be.", "output-off"),
    Meaning("UPS Off", _W, "The UPS is off, as it was asked to be."),
    Meaning("Charger Fault"),
    meaning(conditions.OUTPUT_OFF),
    Meaning("UPS Off", _C, "The UPS is off."),
    Meaning("Fan Failure"),
    Meaning("Fuse Failure"),
    Meaning("General Fault", _C),
    meaning(conditions.SELF_TEST),
    Meaning("Lost Component Communication", _W, "The agent does not hear the UPS.", "lost-ups.communication"),
    Meaning("Awaiting Power"),
    Meaning("Shutdown Pending"),
    Meaning("Shutdown Imminent", _C),
    None,  # a test in progress is no trouble
)

ALARMS = AlarmList(
    key="alarms",
    oid=f"{_UPS}.6.2.1.2",
    count=f"{_UPS}.6.1.0",
    meanings={f"{_UPS}.6.3.{number}": found for number, found in enumerate(_WELL_KNOWN, 1)},
    title="UPS Alarm",
)


def _beside_load(*others: str) -> tuple[str, ...]:
    return (f"{_OUT}.5", *others)


METRICS = (
    Metric("battery.status", "", (Source(f"{_UPS}.2.1.0"),), "Battery", _BATTERY_STATUS),
    Metric("battery.runtime", "s", (Source(f"{_UPS}.2.3.0", 60, absent=(0, -1)),), "Runtime"),
    Metric("battery.charge", "%", (Source(f"{_UPS}.2.4.0", absent=(-1,)),), "Charge"),
    Metric("battery.voltage", "V", (Source(f"{_UPS}.2.5.0", 0.1, absent=(0,)),), "Battery voltage"),
    Metric("battery.current", "A", (Source(f"{_UPS}.2.6.0", 0.1),), "Battery current"),
    Metric("battery.temperature", "Cel", (Source(f"{_UPS}.2.7.0"),), "Battery temperature", limit=BATTERY_TEMPERATURE),
    Metric("output.status", "", (Source(f"{_UPS}.4.1.0"),), "Output", _OUTPUT_STATUS),
    Metric("output.frequency", "Hz", (Source(f"{_UPS}.4.2.0", 0.1, beside=(f"{_OUT}.2",)),), "Output frequency"),
    Metric("input.bypass.frequency", "Hz", (Source(f"{_UPS}.5.1.0", 0.1, absent=(0,)),), "Bypass frequency"),
    Metric("ups.alarms", "1", (Source(f"{_UPS}.6.1.0"),), "Alarms present", believable=(0, 1_000)),
    Metric("ups.test.result", "", (Source(f"{_UPS}.7.3.0"),), "Self-test", _TEST),
    Metric("input.voltage.nominal", "V", (Source(f"{_UPS}.9.1.0"),), "Nominal input voltage", believable=(50, 1_000)),
    Metric("output.voltage.nominal", "V", (Source(f"{_UPS}.9.3.0"),), "Nominal output voltage", believable=(50, 1_000)),
    Metric("ups.power.nominal", "VA", (Source(f"{_UPS}.9.5.0"),), "Nominal apparent power", believable=(100, 10e6)),
    Metric("ups.realpower.nominal", "W", (Source(f"{_UPS}.9.6.0"),), "Nominal power", believable=(100, 10e6)),
)

UPS_MIB = Profile(
    family="UPS-MIB",
    device_type=DeviceType.UPS,
    probes=(f"{_UPS}.4.1.0",),
    model=(f"{_UPS}.1.2.0",),
    metrics=METRICS,
    tables=(
        Table(
            key="input",
            number=0,
            count=f"{_UPS}.3.2.0",
            metrics=(
                Metric(
                    "input{line}.frequency",
                    "Hz",
                    (Source(f"{_UPS}.3.3.1.2", 0.1, beside=(f"{_UPS}.3.3.1.3",)),),
                    "Input frequency{line}",
                ),
                Metric("input{line}.voltage", "V", (Source(f"{_UPS}.3.3.1.3", absent=(-1,)),), "Input voltage{line}"),
                Metric(
                    "input{line}.current",
                    "A",
                    (
                        # On line, what goes out has come in.
                        Source(f"{_UPS}.3.3.1.4", 0.1, when=_ONLINE, beside=_beside_load(f"{_OUT}.3", f"{_UPS}.3.3.1.5")),
                        Source(f"{_UPS}.3.3.1.4", 0.1, unless=_ONLINE),
                    ),
                    "Input current{line}",
                ),
                Metric(
                    "input{line}.realpower",
                    "W",
                    (
                        Source(f"{_UPS}.3.3.1.5", when=_ONLINE, beside=_beside_load(f"{_OUT}.4", f"{_UPS}.3.3.1.4")),
                        Source(f"{_UPS}.3.3.1.5", unless=_ONLINE, beside=(f"{_UPS}.3.3.1.4",)),
                    ),
                    "Input power{line}",
                ),
            ),
        ),
        Table(
            key="output",
            number=0,
            count=f"{_UPS}.4.3.0",
            metrics=(
                Metric("output{line}.voltage", "V", (Source(f"{_OUT}.2", absent=(-1,)),), "Output voltage{line}"),
                Metric(
                    "output{line}.current",
                    "A",
                    (Source(f"{_OUT}.3", 0.1, beside=_beside_load(f"{_OUT}.4")),),
                    "Output current{line}",
                ),
                Metric(
                    "output{line}.realpower",
                    "W",
                    (Source(f"{_OUT}.4", beside=_beside_load(f"{_OUT}.3")),),
                    "Output power{line}",
                ),
                Metric(
                    "output{line}.load",
                    "%",
                    (Source(f"{_OUT}.5", beside=(f"{_OUT}.3", f"{_OUT}.4")),),
                    "Output load{line}",
                    believable=PERCENT_OF_LOAD,
                ),
            ),
            # Network UPS Tools' names for the whole UPS. The most loaded line is the one that counts.
            totals=(
                Total("ups.realpower", "W", of="output{line}.realpower", display_name="Power"),
                Total("ups.load", "%", of="output{line}.load", greatest=True, display_name="Load", limit=LOAD),
            ),
        ),
        Table(
            key="bypass",
            number=0,
            count=f"{_UPS}.5.2.0",
            metrics=(
                Metric("input.bypass{line}.voltage", "V", (Source(f"{_UPS}.5.3.1.2", absent=(0, -1)),), "Bypass voltage{line}"),
            ),
        ),
    ),
    alarms=(ALARMS,),
)
