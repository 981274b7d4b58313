"""What happens to an alarm, over any story that a gateway may tell, against a reference that is told the same."""

from dataclasses import dataclass, replace
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from consentry_devices.domain.alarms import Alarm, AlarmEvent, EventKind, cleared, events
from consentry_rule import Instant

TOLD = st.builds(
    lambda activated, lasted, label, severity: Alarm(
        "a", "ups", label, "", severity, Instant(activated), None if lasted is None else Instant(activated + lasted)
    ),
    st.integers(1, 6).map(lambda n: n * 100),
    st.none() | st.sampled_from([0, 30, 60]),
    st.sampled_from(["Load", "Overload"]),
    st.sampled_from([3, 7]),
)


@dataclass
class Reference:
    """How an alarm stands, told as a list of what happened: (kind, time, label, severity, active)."""

    activated: int = 0
    over: int | None = None
    words: tuple[str, int] = ("", 0)
    count: int = -1

    def tell(self, told: Alarm, now: int, last: int) -> list[tuple[EventKind, int]]:
        words = (told.label, told.severity)
        if told.activate_time < self.activated:
            return []  # old
        if told.activate_time > self.activated:
            first = self.count < 0
            self.activated, self.over, self.words = told.activate_time, told.clear_time, words
            self.count += 1
            happened = [(EventKind.ACTIVATED if first else EventKind.REACTIVATED, int(told.activate_time))]
            return happened if told.clear_time is None else [*happened, (EventKind.CLEARED, int(told.clear_time))]
        if self.over is not None and told.clear_time is None:
            return []  # old too: it has been over since
        if (words, told.clear_time) == (self.words, self.over):
            return []
        ended = self.over is None and told.clear_time is not None
        self.words, self.over = words, told.clear_time
        return [(EventKind.CLEARED, int(told.clear_time or 0))] if ended else [(EventKind.CHANGED, max(now, last))]


@given(st.lists(st.tuples(TOLD, st.integers(0, 50)), max_size=25))
@settings(max_examples=400, deadline=None)
def test_any_story(story: list[tuple[Alarm, int]]) -> None:
    reference, life = Reference(), list[AlarmEvent]()
    now = 1_000
    for told, later in story:
        now += later
        known = life[-1] if life else None
        expected = reference.tell(told, now, known.time if known else 0)
        found = list(events(known, told, Instant(now)))
        assert [(event.kind, event.time) for event in found] == expected
        life += found
        if found:
            assert (life[-1].alarm.label, life[-1].alarm.severity) == reference.words
            assert (life[-1].alarm.activate_time, life[-1].alarm.clear_time) == (reference.activated, reference.over)
            assert life[-1].alarm.reactivation_count == reference.count
        assert list(events(life[-1] if life else None, told, Instant(now))) == []  # said twice, it happened once
    assert [event.number for event in life] == list(range(1, len(life) + 1))
    assert [event.kind for event in life[:1]] in ([], [EventKind.ACTIVATED])
    for before, after in pairwise(life):
        assert after.alarm.activate_time >= before.alarm.activate_time
        assert after.alarm.reactivation_count - before.alarm.reactivation_count == (after.kind is EventKind.REACTIVATED)
        assert (after.alarm.clear_time is None) is (
            after.kind in {EventKind.ACTIVATED, EventKind.REACTIVATED}
            or (after.kind is EventKind.CHANGED and before.alarm.clear_time is None)
        )


@given(TOLD.filter(lambda told: told.clear_time is None), st.integers(0, 2_000))
def test_the_end_with_its_device(told: Alarm, now: int) -> None:
    (active,) = events(None, told, Instant(0))
    end = cleared(active, Instant(now))
    assert (end.number, end.kind) == (2, EventKind.CLEARED)
    assert end.time == end.alarm.clear_time == max(now, told.activate_time)
    assert list(events(end, told, Instant(now))) == []
    assert [event.kind for event in events(end, replace(told, activate_time=Instant(9_999)), Instant(now))] == [
        EventKind.REACTIVATED
    ]
