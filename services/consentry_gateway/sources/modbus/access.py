"""How a device is reached by Modbus TCP. Modbus knows no passwords, and no device says what it is: the map has to be named.

source = "modbus"
map = "schneider-pm5000"           # which registers it has, and what they mean: a profile's name
unit = 1                           # behind a gateway of a serial line: the device's number there; 1 when left out
"""

from collections.abc import Mapping
from dataclasses import dataclass

from consentry_gateway.agents.entry import Entry
from consentry_gateway.agents.extras import need
from consentry_gateway.profiles import PROFILES, Profile

PORT = 502


@dataclass(frozen=True, slots=True)
class ModbusAccess:
    """Which device it is, and what its registers mean."""

    map: str
    unit: int = 1


def maps() -> Mapping[str, Profile]:
    """The profiles of Modbus devices by the name of their map."""
    return {name: profile for profile in PROFILES if profile.source == "modbus" for name in profile.object_ids}


def read_modbus_access(entry: Entry) -> ModbusAccess:
    """The fields of an agent's table that say how to reach it. SettingError when one of them is wrong."""
    need(entry, "pymodbus", "modbus")
    unit = entry.number("unit", 1, 0, 255)
    if unit != int(unit or 0):
        raise entry.wrong("unit", "must be a whole number")
    return ModbusAccess(entry.one_of("map", {name: name for name in maps()}), int(unit or 0))
