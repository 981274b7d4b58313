"""The checker of the proof with real processes: it finds what it is there to find, and nothing else."""

import dataclasses
import random

from support.late_writes import Denial, Denials, Pause, Received, Subject, Write, after_the_cut, judge

CONSENT: Subject = ("consent", "acme", "north", "telemetry")
WRITE = Write("devices-0", 100, 101, "r1.1", 1, "partners/acme/keys/k", "acme", (("north", "telemetry"),))


def at(time: int, **fields: object) -> Write:
    return dataclasses.replace(WRITE, before=time, until=time + 1, **fields)  # type: ignore[arg-type]


def late(write: Write, denial: Denial, *pauses: Pause) -> tuple[int, int]:
    verdict = judge([write], Denials([denial]), pauses)
    return len(verdict.late), len(verdict.straddling)


def test_a_write_after_enforced_is_late_until_somebody_begins_to_give_access_back() -> None:
    denial = Denial(CONSENT, 1_000, 2_000)
    assert late(at(998), denial) == (0, 0)
    assert late(at(1_000), denial) == (1, 0)
    assert late(at(1_999), denial) == (1, 0)
    assert late(at(2_000), denial) == (0, 0)
    assert late(at(9_000), Denial(CONSENT, 1_000)) == (1, 0)


def test_every_kind_of_subject_is_looked_at() -> None:
    other = "partners/acme/keys/other"
    for subject, same in (
        (CONSENT, at(1_500)),
        (("subscription", "north"), at(1_500)),
        (("key", WRITE.credential), at(1_500, accesses=())),
        (("listed", WRITE.credential, "north"), at(1_500)),
    ):
        assert late(same, Denial(subject, 1_000)) == (1, 0), subject
    assert late(at(1_500, accesses=(("south", "telemetry"), ("north", "telemetry"))), Denial(CONSENT, 1_000)) == (1, 0)
    assert late(at(1_500, accesses=(("south", "telemetry"),)), Denial(CONSENT, 1_000)) == (0, 0)
    assert late(at(1_500, accesses=(("north", "alarms"),)), Denial(CONSENT, 1_000)) == (0, 0)
    assert late(at(1_500, partner="globex"), Denial(CONSENT, 1_000)) == (0, 0)
    assert late(at(1_500, credential=other), Denial(("key", WRITE.credential), 1_000)) == (0, 0)
    assert late(at(1_500, credential=other), Denial(("listed", WRITE.credential, "north"), 1_000)) == (0, 0)


def test_a_write_that_began_before_and_was_handed_over_after_is_late_too() -> None:
    assert late(dataclasses.replace(WRITE, before=999, until=1_001), Denial(CONSENT, 1_000)) == (1, 0)


def test_only_a_whole_stop_of_its_own_process_makes_a_write_the_exception() -> None:
    write, denial = dataclasses.replace(WRITE, before=500, until=5_000), Denial(CONSENT, 1_000)
    assert late(write, denial, Pause("devices-0", 600, 4_900)) == (0, 1)
    assert late(write, denial, Pause("devices-1", 600, 4_900)) == (1, 0)
    assert late(write, denial, Pause("devices-0", 400, 4_900)) == (1, 0)
    assert late(write, denial, Pause("devices-0", 600, 5_100)) == (1, 0)


def test_one_planted_write_among_many_is_found() -> None:
    chance = random.Random(7)  # noqa: S311 - to be repeated
    denials = [Denial(CONSENT, start, start + 500) for start in range(1_000, 1_000_000, 1_000)]
    honest = [at(chance.randrange(1_000, 1_000_000, 1_000) + chance.randrange(500, 990)) for _ in range(5_000)]
    planted = at(chance.randrange(1_000, 1_000_000, 1_000) + chance.randrange(1, 490), call="planted")
    assert not judge(honest, Denials(denials), []).late
    verdict = judge([*honest, planted], Denials(denials), [])
    assert [write.call for write, _ in verdict.late] == ["planted"]


def test_what_is_received_after_a_cut_is_counted_by_when_it_was_sent() -> None:
    writes = {(WRITE.call, WRITE.number): WRITE}
    denials = Denials([Denial(CONSENT, 1_000, 2_000)])
    for time, size in ((900, 0), (1_500, 50), (2_500, 50)):  # the last one came even after the customer was back
        found = after_the_cut(writes, [Received(WRITE.call, WRITE.number, time, 50)], denials)
        assert (found.size, found.longest) == (size, max(0, time - 1_000) if size else 0), time
    assert not after_the_cut(writes, [Received("another", 1, 1_500, 50)], denials).messages
