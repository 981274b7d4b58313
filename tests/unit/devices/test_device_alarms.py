"""What happens to an alarm: the table of `consentry_devices.domain.alarms`, line by line."""

from dataclasses import replace

import pytest

from consentry_devices.domain.alarms import Alarm, AlarmEvent, EventKind, events
from consentry_rule import Instant

NOW = Instant(1_000)
ACTIVE = Alarm("a", "ups", "Power Failure", "", 7, Instant(100))
CLEARED = replace(ACTIVE, clear_time=Instant(200))
LATER = replace(ACTIVE, activate_time=Instant(300))
LATER_CLEARED = replace(LATER, clear_time=Instant(400))
EARLIER = replace(ACTIVE, activate_time=Instant(50))
OTHER_WORDS = replace(ACTIVE, label="Power Failure (battery)")
ACTIVATED, CHANGED, CLEAR, REACTIVATED = EventKind

Seen = list[tuple[EventKind, int]]


@pytest.mark.parametrize(
    ("known", "told", "expected"),
    [
        (None, ACTIVE, [(ACTIVATED, 100)]),
        (None, CLEARED, [(ACTIVATED, 100), (CLEAR, 200)]),
        (ACTIVE, ACTIVE, []),
        (ACTIVE, OTHER_WORDS, [(CHANGED, 1_000)]),
        (ACTIVE, CLEARED, [(CLEAR, 200)]),
        (ACTIVE, LATER, [(REACTIVATED, 300)]),
        (ACTIVE, LATER_CLEARED, [(REACTIVATED, 300), (CLEAR, 400)]),
        (ACTIVE, EARLIER, []),
        (CLEARED, CLEARED, []),
        (CLEARED, ACTIVE, []),
        (CLEARED, replace(CLEARED, label="Power Failure Cleared"), [(CHANGED, 1_000)]),
        (CLEARED, LATER, [(REACTIVATED, 300)]),
        (CLEARED, LATER_CLEARED, [(REACTIVATED, 300), (CLEAR, 400)]),
    ],
)
def test_the_table(known: Alarm | None, told: Alarm, expected: Seen) -> None:
    before = None if known is None else AlarmEvent(5, ACTIVATED, Instant(100), replace(known, reactivation_count=2))
    found = list(events(before, told, NOW))
    assert [(event.kind, event.time) for event in found] == expected
    first = 1 if before is None else 6
    assert [event.number for event in found] == list(range(first, first + len(found)))
    if found:
        came_back = sum(event.kind is REACTIVATED for event in found)
        count = came_back if before is None else 2 + came_back
        assert found[-1].alarm == replace(told, reactivation_count=count)
        assert all(event.alarm.clear_time is None for event in found[:-1])
