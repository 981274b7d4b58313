"""Schneider PowerLogic meters of the series PM5000 (PM5100 to PM5700), by Modbus TCP: their public register list.

The list numbers registers from 1; addresses here are from 0, as on the wire. What is not wired up is told as NaN.
"""

from consentry_gateway.profiles.form import Metric, Profile, Source
from consentry_gateway.reading.model import DeviceType
from consentry_gateway.sources.modbus.registers import register


def _float(name: str, unit: str, start: int, shown: str, scale: float = 1.0) -> Metric:
    return Metric(name, unit, (Source(register(start, "float32"), scale),), shown)


SCHNEIDER_PM5000 = Profile(
    family="Schneider PM5000 meter",
    device_type=DeviceType.PDU,
    source="modbus",
    object_ids=("schneider-pm5000",),
    probes=(register(69, "text20"), register(3009, "float32")),  # the manufacturer's name
    model=(register(49, "text20"), register(29, "text20")),
    serial=(register(129, "decimal32"),),
    metrics=(
        *(_float(f"input.L{line}.current", "A", 2997 + 2 * line, f"Current L{line}") for line in (1, 2, 3)),
        _float("input.N.current", "A", 3005, "Current N"),
        _float("input.L1-L2.voltage", "V", 3019, "Voltage L1-L2"),
        _float("input.L2-L3.voltage", "V", 3021, "Voltage L2-L3"),
        _float("input.L3-L1.voltage", "V", 3023, "Voltage L3-L1"),
        *(_float(f"input.L{line}.voltage", "V", 3025 + 2 * line, f"Voltage L{line}") for line in (1, 2, 3)),
        *(_float(f"input.L{line}.realpower", "W", 3051 + 2 * line, f"Power L{line}", 1_000) for line in (1, 2, 3)),
        _float("input.realpower", "W", 3059, "Power", 1_000),
        _float("input.power", "VA", 3075, "Apparent power", 1_000),
        _float("input.frequency", "Hz", 3109, "Frequency"),
        Metric("input.energy", "kW.h", (Source(register(3203, "int64"), 0.001),), "Energy"),
    ),
)
