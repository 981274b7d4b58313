"""What the states and quantities of a device mean for its alarms: the table. Data, no I/O.

A metric is looked up by its whole name or by its end (`input.L1.load.status` by `load.status`). In `id` stands `{sensor}` for
the sensor, `{of}` for the quantity that a `... .status` judges; in messages `{name}` stands for what the sensor is called.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from consentry_gateway.reading.model import Severity

_WARNING, _CRITICAL = Severity.WARNING, Severity.CRITICAL


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that can be wrong: which alarm it is, its name, and what is said while it lasts and when it is over."""

    id: str
    label: str
    message: str
    over: str
    severity: Severity = Severity.WARNING


POWER_FAILURE = Condition(
    "power-failure", "Power Failure", "Running on battery: the input power has failed.", "Input power is back.", _CRITICAL
)
LOW_BATTERY = Condition(
    "low-battery", "Low Battery", "The battery will not last much longer.", "The battery has recovered.", _CRITICAL
)
BATTERY_FAULT = Condition(
    "battery-fault", "Battery Fault", "The battery has a fault.", "The battery has no fault any more.", _CRITICAL
)
BATTERY_MISSING = Condition(
    "battery-missing", "Battery Missing", "No battery is connected.", "A battery is connected.", _CRITICAL
)
REPLACE_BATTERY = Condition("replace-battery", "Replace Battery", "The battery must be replaced.", "The battery is good again.")
BYPASS = Condition("bypass", "On Bypass", "The load is on bypass and not protected.", "The load is protected again.")
BYPASS_FAULT = Condition(
    "bypass", "On Bypass", "A fault has put the load on bypass: it is not protected.", "The load is protected again.", _CRITICAL
)
OUTPUT_OFF = Condition("output-off", "Output Off", "The output is off.", "The output is on again.", _CRITICAL)
OVERLOAD = Condition(
    "overload", "Overload", "The load is above what it can carry.", "The load is within its limits again.", _CRITICAL
)
LOST = Condition(
    "lost-{sensor}", "Lost Component Communication", "{name}: nothing is heard of it any more.", "{name} is heard of again."
)
SUPPLY = Condition("{sensor}", "Power Supply Failed", "{name} has failed.", "{name} works again.", _CRITICAL)
SELF_TEST = Condition("self-test", "Self-Test Failed", "The last self-test has failed.", "The last self-test was passed.")
BREAKER = Condition(
    "{sensor}", "Breaker Open", "{name} is open: what hangs on it has no power.", "{name} is closed.", _CRITICAL
)
FAULT = Condition("{sensor}", "Device Fault", "{name}: the device reports a fault.", "{name}: the fault is gone.", _CRITICAL)
ALARM = Condition("{sensor}", "Device Alarm", "{name}: the device reports an alarm.", "{name}: the alarm is over.")

_NEAR = Condition("{sensor}", "Near Overload", "{name} is close to its limit.", "{name} is within its limits again.")
_OVER = Condition("{sensor}", "Overload", "{name} is above its limit.", "{name} is within its limits again.", _CRITICAL)


def _judged(quantity: str) -> Mapping[str, Condition]:
    """A device's own judgement of a quantity, whose limits it has been given."""
    high, low = f"High {quantity}", f"Low {quantity}"
    above = Condition("high-{of}", high, "{name}: above its limit.", "{name}: within its limits again.")
    below = Condition("low-{of}", low, "{name}: below its limit.", "{name}: within its limits again.")
    much = {"above maximum": _CRITICAL, "below minimum": _CRITICAL}
    table = {"above high": above, "above maximum": above, "below low": below, "below minimum": below}
    return {
        text: Condition(found.id, found.label, found.message, found.over, much.get(text, _WARNING))
        for text, found in table.items()
    }


STATES: Mapping[str, Mapping[str, Condition]] = {
    "output.status": {
        "on battery": POWER_FAILURE, "bypass": BYPASS, "maintenance bypass": BYPASS, "bypass by fault": BYPASS_FAULT,
        "off": OUTPUT_OFF, "overload": OVERLOAD,
    },
    "battery.status": {
        "low": LOW_BATTERY, "depleted": LOW_BATTERY, "fault": BATTERY_FAULT, "not present": BATTERY_MISSING,
        "replace": REPLACE_BATTERY,
    },
    "battery.replace": {"yes": REPLACE_BATTERY},
    "load.status": {"near overload": _NEAR, "overload": _OVER},
    "communication": {"lost": LOST},
    "supply.status": {"failed": SUPPLY},
    "test.result": {"failed": SELF_TEST},
    "breaker.status": {"open": BREAKER},
    "unit.status": {"fault": FAULT, "alarm": ALARM, "off": OUTPUT_OFF},
    "temperature.status": _judged("Temperature"),
    "humidity.status": _judged("Humidity"),
    "voltage.status": _judged("Voltage"),
    "current.status": _judged("Current"),
    "airflow.status": _judged("Airflow"),
    "power.status": _judged("Power"),
}  # fmt: skip
"""By metric: what is wrong while it says so. A state that is not named here means that none of these is."""

UNKNOWN = "unknown"
"""The state of which the device itself says that it does not know it: everything stays as it was."""

QUANTITIES: Mapping[str, tuple[str, str, Severity]] = {
    "temperature": ("High Temperature", "Low Temperature", _WARNING),
    "humidity": ("High Humidity", "Low Humidity", _WARNING),
    "voltage": ("Overvoltage", "Undervoltage", _WARNING),
    "load": ("Overload", "Low Load", _CRITICAL),
    "current": ("Overload", "Low Current", _CRITICAL),
    "bad": ("Battery Fault", "Battery Fault", _CRITICAL),
    "realpower": ("Overload", "Low Power", _CRITICAL),
}
"""By the last word of a metric: what being above and below its limits is called, and how bad the first is."""


def states_of(metric: str) -> Mapping[str, Condition]:
    """What the states of a metric mean; nothing for most metrics."""
    parts = metric.split(".")
    for start in range(len(parts)):
        found = STATES.get(".".join(parts[start:]))
        if found is not None:
            return found
    return {}
