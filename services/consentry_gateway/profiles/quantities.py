"""What several families have in common: limits where the device has none of its own, and what lists of alarms mean."""

from collections.abc import Mapping

from consentry_gateway.profiles.form import AlarmList, Key, Meaning
from consentry_gateway.reading.conditions import Condition
from consentry_gateway.reading.model import Limit

ROOM_TEMPERATURE = Limit(35.0, 33.0, 10.0, 12.0)
"""Air that is drawn in by equipment: what manufacturers of servers allow."""
ROOM_HUMIDITY = Limit(80.0, 75.0, 8.0, 10.0)
BATTERY_TEMPERATURE = Limit(40.0, 38.0)
UPS_TEMPERATURE = Limit(45.0, 42.0)
LOAD = Limit(100.0, 95.0)
"""Percent of what it can carry."""
COUNT = Limit(0.5, 0.5)
"""Of what there should be none."""

PERCENT_OF_LOAD = (0.0, 300.0)
"""A load can be more than 100 %."""

JUDGED = {2: "below minimum", 3: "below low", 4: "normal", 5: "above high", 6: "above maximum"}
HEARD = {2: "ok", 3: "lost"}


def meaning(condition: Condition) -> Meaning:
    """An entry of a list that says the same as a state."""
    return Meaning(condition.label, condition.severity, condition.message, condition.id)


def says(key: str, oid: str, table: Mapping[Key, Condition | None]) -> AlarmList:
    """A scalar that says of one thing whether it is wrong."""
    meanings: dict[Key, Meaning | None] = {state: meaning(found) if found else None for state, found in table.items()}
    return AlarmList(key=key, oid=oid, states=True, meanings=meanings)
