"""APC in-row cooling (PowerNet-MIB): RC (chilled water), SC (direct expansion), RP, and their alarms as texts."""

from consentry_gateway.profiles.form import AlarmList, Metric, Profile, Source
from consentry_gateway.profiles.quantities import ROOM_TEMPERATURE
from consentry_gateway.reading.model import DeviceType

_APC = "1.3.6.1.4.1.318"
_RC, _RP = f"{_APC}.1.1.13.3.2.2.2", f"{_APC}.1.1.13.3.3.1.2.2"
_NONE = (-1, -10, 32_767, -32_768)
_MODES = {1: "standby", 2: "on", 3: "idle", 4: "maintenance"}

_ALARMS = AlarmList(key="alarms", oid=f"{_APC}.1.1.13.3.1.2.1.3", title="Cooling Alarm")


def _t(name: str, oid: str, shown: str) -> Metric:
    limit = ROOM_TEMPERATURE if name.startswith("inlet") else None
    return Metric(name, "Cel", (Source(oid, 0.1, absent=_NONE),), shown, limit=limit)


INROW_RC = Profile(
    family="APC in-row cooling, RC",
    device_type=DeviceType.COOLING_UNIT,
    object_ids=(f"{_APC}.1.3",),
    probes=(f"{_RC}.7.0",),
    model=(f"{_APC}.1.1.13.3.1.1.1.0",),
    metrics=(
        Metric("unit.mode", "", (Source(f"{_RC}.1.0"),), "Unit", _MODES),
        Metric("cooling.output", "W", (Source(f"{_RC}.2.0", 100, absent=(-1,)),), "Cooling output"),
        Metric("air.flow", "L/s", (Source(f"{_RC}.5.0", 0.01, absent=(-1,)),), "Air flow", believable=(0, 10_000)),
        _t("inlet.temperature", f"{_RC}.7.0", "Rack inlet temperature"),
        _t("supply.temperature", f"{_RC}.9.0", "Supply air temperature"),
        _t("return.temperature", f"{_RC}.11.0", "Return air temperature"),
        Metric("fan.speed", "%", (Source(f"{_RC}.16.0", 0.1, absent=(-1,)),), "Fan"),
        _t("water.supply.temperature", f"{_RC}.24.0", "Entering fluid temperature"),
        _t("water.return.temperature", f"{_RC}.26.0", "Leaving fluid temperature"),
    ),
    alarms=(_ALARMS,),
)

INROW_RP = Profile(
    family="APC in-row cooling, RP",
    device_type=DeviceType.COOLING_UNIT,
    object_ids=(f"{_APC}.1.3",),
    probes=(f"{_RP}.3.0",),
    metrics=(
        _t("inlet.temperature", f"{_RP}.3.0", "Rack inlet temperature"),
        _t("supply.temperature", f"{_RP}.5.0", "Supply air temperature"),
        _t("return.temperature", f"{_RP}.7.0", "Return air temperature"),
        Metric("fan.speed", "%", (Source(f"{_RP}.12.0", 0.1, absent=(-1,)),), "Fan"),
        Metric("cooling.demand", "W", (Source(f"{_RP}.13.0", 100, absent=(-1,)),), "Cooling demand"),
        Metric("cooling.output", "W", (Source(f"{_RP}.14.0", 100, absent=(-1,)),), "Cooling output"),
    ),
    alarms=(_ALARMS,),
)
