"""A walk through a Redfish service: its chassis, and what each says of power and temperatures.

What is found stands under columns that a profile names: `temperature.ReadingCelsius` is the property ReadingCelsius of all that
is read as a temperature, at the index `CHASSIS.NAME`. Older services have Thermal and Power, newer ones subsystems and
Sensors, many have both: then what the older ones have is read from them, in two requests instead of dozens.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

from consentry_gateway.reading.model import slug
from consentry_gateway.reading.raw import LONGEST_TEXT, Raw
from consentry_gateway.sources.polling import AgentSilent
from consentry_gateway.sources.redfish.session import Json, Unread

Get = Callable[[object], Awaitable[Json | None]]
"""What a link leads to; None when it is not there."""

MAIN = "main"
"""The index of the chassis that is the agent's own."""
MOST_CHASSIS = 16
MOST_MEMBERS = 128
"""Of one collection, and of one list."""
_MOST_PAGES = 8
MOST_ANSWERS = 20_000

_NOT_THERE = {"Absent", "Disabled", "UnavailableOffline", "StandbyOffline"}
_THERMAL = {"Temperatures": "temperature", "Fans": "fan"}
_POWER = {"PowerControl": "control", "PowerSupplies": "supply", "Voltages": "voltage"}
_SENSORS = {
    "Temperature": "temperature",
    "Rotational": "fan",
    "Humidity": "humidity",
    "Power": "power",
    "Voltage": "voltage",
    "Current": "current",
    "EnergykWh": "energy",
}


class Tree:
    """One walk. `columns` are those that are wanted. What comes of it: answers, and which columns could not be read and why.

    `own` is the id of the chassis that is the agent's own device, once it is known: none takes its place while it is not there.
    """

    def __init__(self, get: Get, columns: Iterable[str], own: str = "") -> None:
        self._get = get
        self.own = own
        self._wanted: dict[str, list[tuple[str, list[str]]]] = {}
        for column in columns:
            kind, _, path = column.partition(".")
            self._wanted.setdefault(kind, []).append((column, path.split(".")))
        self._taken: set[str] = set()
        self.answers: dict[str, Raw] = {}
        self.unread: dict[str, str] = {}

    async def walk(self, root: Json) -> None:
        """Read everything. AgentSilent when not even the chassis can be listed."""
        for name in ("RedfishVersion", "Product", "Vendor"):
            if isinstance(root.get(name), str):
                self.answers[f"service.{name}.0"] = root[name][:LONGEST_TEXT]
        try:
            found = [chassis async for chassis in self._members(root.get("Chassis"), MOST_CHASSIS)]
        except Unread as error:
            raise AgentSilent(f"its chassis cannot be read: {error}") from error
        chassis = [each for each in found if each is not None]
        if len(chassis) < len(found):  # nor is it certain which one is whose
            self._miss(self._wanted, "one could not be read")
            return
        if not self.own:
            outermost = [each for each in chassis if not _dig(each, ["Links", "ContainedBy"])]
            self.own = next((str(each.get("Id")) for each in outermost or chassis), "")
        named = {str(each.get("Id")): each for each in reversed(chassis)}
        for each in chassis:
            name = MAIN if each is named.get(self.own) else self._key("chassis", MAIN, each)
            self._put("chassis", name, each)
            await asyncio.gather(self._thermal(name, each), self._power(name, each))
            await self._sensors(name, each)

    async def _thermal(self, chassis: str, of: Json) -> None:
        if "Thermal" in of:
            await self._lists(chassis, of["Thermal"], _THERMAL)
        elif "ThermalSubsystem" in of:
            await self._subsystem(chassis, of["ThermalSubsystem"], "Fans", "fan")

    async def _power(self, chassis: str, of: Json) -> None:
        if "Power" in of:
            await self._lists(chassis, of["Power"], _POWER)
        elif "PowerSubsystem" in of:
            await self._subsystem(chassis, of["PowerSubsystem"], "PowerSupplies", "supply")

    async def _lists(self, chassis: str, link: object, kinds: dict[str, str]) -> None:
        """The lists within one resource."""
        try:
            resource = await self._get(link) or {}
        except Unread as error:
            self._miss(kinds.values(), str(error))
            return
        for name, kind in kinds.items():
            items = resource.get(name)
            for item in items[:MOST_MEMBERS] if isinstance(items, list) else ():
                if isinstance(item, dict):
                    self._put(kind, f"{chassis}.{self._key(kind, chassis, item)}", item)

    async def _subsystem(self, chassis: str, link: object, name: str, kind: str) -> None:
        """The members of one collection of a subsystem."""
        try:
            resource = await self._get(link) or {}
            async for item in self._members(resource.get(name), MOST_MEMBERS):
                if item is None:
                    self._miss((kind,), "one of its members could not be read")
                else:
                    self._put(kind, f"{chassis}.{self._key(kind, chassis, item)}", item)
        except Unread as error:
            self._miss((kind,), str(error))

    async def _sensors(self, chassis: str, of: Json) -> None:
        """What stands in the sensors alone."""
        if "Sensors" not in of or ("Thermal" in of and "Power" in of):
            return
        had = {"temperature", "fan"} if "Thermal" in of else {"fan"} if "ThermalSubsystem" in of else set()
        had |= {"power", "voltage"} if "Power" in of else set()
        kinds = {said: kind for said, kind in _SENSORS.items() if kind not in had}
        try:
            async for item in self._members(of["Sensors"], MOST_MEMBERS):
                if item is None:
                    self._miss(kinds.values(), "a sensor could not be read")
                elif item.get("ReadingType") in kinds:
                    kind = kinds[item["ReadingType"]]
                    self._put(kind, f"{chassis}.{self._key(kind, chassis, item)}", item)
        except Unread as error:
            self._miss(kinds.values(), str(error))

    async def _members(self, link: object, most: int) -> AsyncIterator[Json | None]:
        """The members of a collection; None for one that could not be read. Unread when the collection cannot be."""
        if link is None:
            return
        links: list[object] = []
        for _ in range(_MOST_PAGES):
            page = await self._get(link)
            if page is None:
                break
            members = page.get("Members")
            links += members[: most - len(links)] if isinstance(members, list) else []
            following = page.get("Members@odata.nextLink")
            if not isinstance(following, str) or len(links) >= most:
                break
            link = {"@odata.id": following}
        for member in await asyncio.gather(*(self._member(each) for each in links)):
            if member != {}:
                yield member

    async def _member(self, link: object) -> Json | None:
        """A member; empty when it is gone by now, None when it could not be read."""
        if isinstance(link, dict) and len(link) > 1:
            return link  # the service has expanded it
        try:
            return await self._get(link) or {}
        except Unread:
            return None

    def _key(self, kind: str, chassis: str, item: Json) -> str:
        """A name for an index: what the item is called, and a number behind it where several are called the same."""
        names = ("Id", "Name") if kind == "chassis" else ("Name", "FanName", "MemberId", "Id")
        called = next((item[name] for name in names if isinstance(item.get(name), str)), "")
        plain = (slug(called).replace(".", "-").replace("_", "-")[:40].strip("-")) or kind
        key, number = plain, 1
        while f"{kind} {chassis} {key}" in self._taken:
            number += 1
            key = f"{plain}-{number}"
        self._taken.add(f"{kind} {chassis} {key}")
        return key

    def _put(self, kind: str, index: str, item: Json) -> None:
        if _dig(item, ["Status", "State"]) in _NOT_THERE:
            return
        if len(self.answers) > MOST_ANSWERS:
            self._miss(self._wanted, f"it has more than {MOST_ANSWERS} properties")
            return
        for column, path in self._wanted.get(kind, ()):
            value = _dig(item, path)
            if isinstance(value, str):
                self.answers[f"{column}.{index}"] = value[:LONGEST_TEXT]
            elif isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15:
                self.answers[f"{column}.{index}"] = value

    def _miss(self, kinds: Iterable[str], why: str) -> None:
        for kind in kinds:
            self.unread.update((column, f"{kind}: {why}") for column, _ in self._wanted.get(kind, ()))


def _dig(item: Json, path: list[str]) -> Any:
    at: Any = item
    for name in path:
        at = at.get(name) if isinstance(at, dict) else None
    return at
