"""Of what came only the newest is told, everything else is counted, and no cut changes that."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consentry_devices.blocks import columns
from consentry_devices.feed import folding
from consentry_devices.feed.cursor import Place
from consentry_devices.feed.folding import Folded, Folding
from consentry_devices.log.entries import Entry, Kind
from consentry_rule import CustomerId, DataClass, Instant

NORTH, SOUTH = CustomerId("north"), CustomerId("south")
Rows = list[tuple[str, int, float | str]]


def entry(seq: int, rows: Rows, *, customer: CustomerId = NORTH, device: str = "ups", late: bool = False) -> Entry:
    """A block of readings: sensor, time, value."""
    table = columns.of_rows((sensor, Instant(time), value) for sensor, time, value in rows)
    payload = columns.encode(f"customers/{customer}/devices/{device}", table, historical=late)
    times = table.span()
    return Entry(seq, customer, DataClass.TELEMETRY, Kind.TELEMETRY, device, *times, Instant(seq * 10), late, payload)


def rows_of(message: Folded) -> list[tuple[str, str, int, float | str]]:
    """Device, sensor, time, value."""
    found: list[tuple[str, str, int, float | str]] = []
    for block in message.blocks:
        name, table = columns.read_telemetry(block)
        device = name.removeprefix("customers/").replace("/devices/", "/")
        numbers = zip(table.indexes.tolist(), table.times.tolist(), table.values.tolist(), strict=True)
        found += [(device, table.sensors[index], time, value) for index, time, value in numbers]
        found += [(device, table.sensors[text.sensor], text.time, text.text) for text in table.texts]
    return found


def everything_open(_: CustomerId) -> Instant | None:
    return Instant(0)


def look(fold: Folding, *entries: Entry) -> None:
    for each in entries:
        if not fold.place.is_past(each):
            fold.add(each, each.payload)
        fold.moved_to(each.seq, each.take_time)


def take(fold: Folding, at: int = 0) -> Folded:
    message = fold.take(everything_open, Instant(at))
    assert message is not None
    return message


def started(seq: int = 0) -> Folding:
    return Folding(Place.at(seq, Instant(0)))


def test_the_newest_of_each_sensor_is_told_and_the_rest_is_counted() -> None:
    fold = started()
    look(fold, entry(1, [("load", 1, 1.0), ("load", 2, 2.0), ("state", 1, "on")]), entry(2, [("load", 3, 3.0)]))
    assert fold.place == Place(2, 0, Instant(0)), "nothing that is pending has been dealt with"
    message = take(fold, 20)
    assert sorted(rows_of(message)) == [("north/ups", "load", 3, 3.0), ("north/ups", "state", 1, "on")]
    assert message.folded_count == 2
    assert message.accesses == {(NORTH, DataClass.TELEMETRY)}
    assert fold.place == Place.at(2, Instant(20))
    assert fold.take(everything_open, Instant(20)) is None


def test_what_is_late_or_older_than_what_was_told_is_folded_away_and_counted_with_the_next() -> None:
    fold = started()
    look(fold, entry(1, [("load", 10, 1.0)]))
    take(fold)
    look(fold, entry(2, [("load", 5, 2.0)]), entry(3, [("load", 20, 3.0)], late=True))
    assert not fold
    assert fold.place == Place(3, 3, Instant(30), folded=2), "a cursor remembers what no message has counted"
    resumed = Folding(fold.place)
    look(resumed, entry(4, [("load", 11, 4.0)]))
    assert (rows_of(message := take(resumed)), message.folded_count) == ([("north/ups", "load", 11, 4.0)], 2)


def test_a_reading_of_the_same_time_replaces_the_one_before() -> None:
    fold = started()
    look(fold, entry(1, [("load", 10, 1.0)]), entry(2, [("load", 10, 2.0)]))
    assert rows_of(take(fold)) == [("north/ups", "load", 10, 2.0)]


def test_what_a_snapshot_has_told_is_no_news() -> None:
    fold = started()
    fold.told(NORTH, entry(0, [("load", 10, 1.0)]).payload)
    look(fold, entry(1, [("load", 9, 2.0), ("other", 9, 2.0)]))
    assert rows_of(take(fold)) == [("north/ups", "other", 9, 2.0)]


def test_whoever_has_left_is_not_told_of_and_no_cursor_waits_for_it() -> None:
    fold = started()
    look(fold, entry(1, [("load", 1, 1.0)]), entry(2, [("load", 2, 2.0)], customer=SOUTH))
    fold.drop(NORTH)
    assert [row[0] for row in rows_of(take(fold))] == ["south/ups"]
    look(fold, entry(3, [("load", 3, 3.0)]))
    fold.drop(NORTH)
    assert not fold
    fold.moved_to(4, Instant(40))
    assert fold.place == Place.at(4, Instant(40))


def test_what_is_closed_when_it_is_taken_is_not_told() -> None:
    fold = started()
    look(fold, entry(1, [("load", 1, 1.0), ("other", 5, 5.0)]), entry(2, [("load", 2, 2.0)], customer=SOUTH))
    message = fold.take(lambda customer: Instant(3) if customer == NORTH else None, Instant(0))
    assert message is not None
    assert rows_of(message) == [("north/ups", "other", 5, 5.0)]
    assert message.accesses == {(NORTH, DataClass.TELEMETRY)}
    look(fold, entry(3, [("load", 3, 3.0)], customer=SOUTH))
    assert fold.take(lambda _: None, Instant(30)) is None
    assert fold.place.telemetry == 3


def test_too_much_for_one_message_goes_out_device_by_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folding, "_MESSAGE_BYTES", 1)
    fold = started()
    look(fold, *(entry(seq, [("load", seq, 1.0)], device=device) for seq, device in enumerate("cab", 1)))
    assert [row[0] for row in rows_of(take(fold))] == ["north/a"]
    assert fold.place == Place(3, 0, Instant(0), device="north/a")
    again = Folding(fold.place)
    look(again, *(entry(seq, [("load", seq, 1.0)], device=device) for seq, device in enumerate("cab", 1)))
    assert [rows_of(take(again))[0][0] for _ in range(2)] == ["north/b", "north/c"]
    assert again.place == Place.at(3, Instant(0))


@dataclass
class Followed:
    """A reader that comes back after each cut, and all that it was told."""

    log: list[Entry]
    told: list[tuple[str, str, int, float | str]] = field(default_factory=list)
    counted: int = 0
    place: Place = field(default_factory=lambda: Place.at(0, Instant(0)))

    def go_on(self, looks: list[int], messages: int) -> None:
        """One stream: looks at so many entries at a time, tells, and is cut off after so many messages."""
        fold = Folding(self.place)
        position, behind = self.place.telemetry, self.place.seq
        for look_at in looks:
            upto = min(position + look_at, behind if position < behind else len(self.log), len(self.log))
            for each in self.log[position:upto]:
                if not fold.place.is_past(each):
                    fold.add(each, each.payload)
                fold.moved_to(each.seq, each.take_time)
            position = max(position, upto)
            if position < behind:
                continue  # as a `Watching` does: what was begun comes first
            while fold:
                if messages == 0:
                    self.place = fold.place  # of a heartbeat, say
                    return
                message = fold.take(everything_open, Instant(position * 10))
                self.place = fold.place
                if message is not None:
                    self.told += rows_of(message)
                    self.counted += message.folded_count
                    messages -= 1
        self.place = fold.place


blocks = st.lists(
    st.tuples(st.sampled_from("abc"), st.lists(st.sampled_from(["x", "y"]), min_size=1, max_size=4), st.booleans()),
    max_size=12,
)
streams = st.lists(st.tuples(st.lists(st.integers(0, 5), max_size=6), st.integers(0, 4)), max_size=6)


@given(blocks, streams)
def test_every_reading_is_told_or_counted_once_whatever_is_cut(
    told: list[tuple[str, list[str], bool]], cuts: list[tuple[list[int], int]]
) -> None:
    """Times rise with the log, so the newest of each sensor is the last that was not late."""
    log, newest, total = [], defaultdict[tuple[str, str], int](int), 0
    for seq, (device, sensors, late) in enumerate(told, 1):
        rows: Rows = [(sensor, 100 * seq + index, float(total + index)) for index, sensor in enumerate(sensors)]
        total += len(rows)
        log.append(entry(seq, rows, device=device, late=late))
        if not late:
            newest |= {(f"north/{device}", sensor): time for sensor, time, _ in rows}
    reader = Followed(log)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(folding, "_MESSAGE_BYTES", 1)  # a message a device
        for looks, messages in cuts:
            reader.go_on(looks, messages)
        reader.go_on([len(log)] * 3, 100)
    last: dict[tuple[str, str], int] = {}
    for device, sensor, time, _ in reader.told:
        assert time > last.get((device, sensor), 0), "in order"
        last[device, sensor] = time
    assert last == dict(newest)
    assert max(Counter(row[3] for row in reader.told).values(), default=1) == 1
    assert len(reader.told) + reader.counted + reader.place.folded == total
