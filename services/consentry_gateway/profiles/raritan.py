"""Raritan PX2, PX3, PX4 and what others build of them (PDU2-MIB).

Everything is a sensor: which kind stands at the end of its index, by how many digits its number is shifted in another table,
and the unit judges it by limits of its own. One that is not available says so, too.
"""

from consentry_gateway.profiles.form import Metric, Profile, Source, Table
from consentry_gateway.profiles.quantities import JUDGED, ROOM_HUMIDITY, ROOM_TEMPERATURE
from consentry_gateway.reading.model import DeviceType, Limit

_PX = "1.3.6.1.4.1.13742.6"
_UNIT = (("unit", 0),)
_KINDS = {  # by number: the quantity, its unit, its scale, what it is called
    1: ("current", "A", 1.0, "Current"),
    4: ("voltage", "V", 1.0, "Voltage"),
    5: ("realpower", "W", 1.0, "Power"),
    6: ("power", "VA", 1.0, "Apparent power"),
    7: ("powerfactor", "1", 1.0, "Power factor"),
    8: ("energy", "kW.h", 0.001, "Energy"),
}
_CELSIUS, _PERCENT = 7, 9


def _sensors(measured: str, digits: str, before: str, after: str, kinds: tuple[int, ...]) -> tuple[Metric, ...]:
    metrics = []
    for kind in kinds:
        quantity, unit, scale, shown = _KINDS[kind]
        found = Source(f"{_PX}.{measured}.4", scale, at=str(kind), digits=f"{_PX}.{digits}", unless=(f"{_PX}.{measured}.2", 2))
        state = Source(f"{_PX}.{measured}.3", at=str(kind), unless=(f"{_PX}.{measured}.2", 2))
        metrics.append(
            Metric(f"{before}{quantity}", unit, (found,), f"{shown}{after}", believable=(-1, 1) if kind == 7 else None)
        )
        if quantity in {"current", "voltage"}:
            metrics.append(Metric(f"{before}{quantity}.status", "", (state,), f"{shown}{after}", JUDGED))
    return tuple(metrics)


def _probe(name: str, unit: str, kind: int, shown: str, limit: Limit) -> tuple[Metric, ...]:
    """A quantity of the probes that measure in a unit."""
    kind_of, gone = (f"{_PX}.3.6.3.1.16", kind), (f"{_PX}.5.5.3.1.2", 2)
    value = Source(f"{_PX}.5.5.3.1.4", digits=f"{_PX}.3.6.3.1.17", when=kind_of, unless=gone)
    return (
        Metric(name, unit, (value,), shown, limit=limit),
        Metric(f"{name}.status", "", (Source(f"{_PX}.5.5.3.1.3", when=kind_of, unless=gone),), shown, JUDGED),
    )


RARITAN = Profile(
    family="Raritan rack PDU",
    device_type=DeviceType.RACK_PDU,
    object_ids=("1.3.6.1.4.1.13742",),
    probes=(f"{_PX}.3.2.1.1.3.1",),
    model=(f"{_PX}.3.2.1.1.3.1",),
    serial=(f"{_PX}.3.2.1.1.4.1",),
    tables=(
        Table(
            key="unit",
            part=DeviceType.RACK_PDU,
            itself="1",
            display_name="Unit {index}",
            label=f"{_PX}.3.2.2.1.13",
            model=f"{_PX}.3.2.1.1.3",
            serial=f"{_PX}.3.2.1.1.4",
        ),
        Table(
            key="inlet",
            within=_UNIT,
            number=1,
            line=".{index}",
            metrics=_sensors("5.2.3.1", "3.3.4.1.7", "input{line}.", "{line}", (1, 4, 5, 6, 7, 8)),
        ),
        Table(
            key="pole",
            within=_UNIT,
            number=2,
            metrics=_sensors("5.2.4.1", "3.3.6.1.7", "input.L{index}.", " L{index}", (1, 4, 5, 6)),
        ),
        Table(
            key="breaker",
            part=DeviceType.OUTLET_GROUP,
            within=_UNIT,
            number=1,
            display_name="Breaker {index}",
            metrics=(
                *_sensors("5.3.3.1", "3.4.4.1.7", "", "", (1,)),
                Metric("breaker.status", "", (Source(f"{_PX}.5.3.3.1.3", at="15"),), "Breaker", {0: "open", 1: "closed"}),
            ),
        ),
        Table(
            key="outlet",
            part=DeviceType.OUTLET_GROUP,
            within=_UNIT,
            number=1,
            display_name="Outlet {index}",
            metrics=(
                *_sensors("5.4.3.1", "3.5.4.1.7", "", "", (1, 4, 5, 8)),
                Metric("status", "", (Source(f"{_PX}.5.4.3.1.3", at="14"),), "Outlet", {7: "on", 8: "off"}),
            ),
        ),
        Table(
            key="probe",
            part=DeviceType.ENVIRONMENTAL_SENSOR,
            within=_UNIT,
            number=1,
            display_name="Probe {index}",
            metrics=(
                *_probe("ambient.temperature", "Cel", _CELSIUS, "Temperature", ROOM_TEMPERATURE),
                *_probe("ambient.humidity", "%", _PERCENT, "Humidity", ROOM_HUMIDITY),
            ),
        ),
    ),
)
