"""What an agent is taken for when not all that it is known by could be read: for nothing coarser than it is."""

import random
from collections.abc import Iterator
from dataclasses import replace

import pytest

from consentry_gateway.reading.model import DeviceType, Poll, Value
from consentry_gateway.reading.presence import Presence
from consentry_gateway.reading.recognition import SYS_OBJECT_ID
from support.agents import answers_of
from support.polled import Polled, polling
from support.polls import at
from support.snmp_agent import oid_of
from support.snmp_proxy import GEN_ERR, TOO_BIG, Answer, Pass, failing

NAME = "eaton-9px"
FINEST, BESIDE = "1.3.6.1.4.1.705.1.5.1.0", "1.3.6.1.4.1.534.1.4.5.0"
"""The probes of its finest profile, and of the one beside that."""
NOT_THERE = "1.3.6.1.4.1.534.6.6.7.1.2.1.2.0"
"""That of a family that goes before, which it is not of."""
CHARGE = {"1.3.6.1.4.1.705.1.5.2.0": 97, "1.3.6.1.4.1.534.1.2.4.0": 98}
"""Each of its trees says something else, so that it shows which is read."""


def lose(polled: Polled, *oids: str, error: int | None = None) -> None:
    """From now on a question for one of these is not answered, or with an error; none given: all are answered."""
    names = [oid_of([int(part) for part in oid.split(".")]) for oid in oids]

    def ask(question: bytes) -> Answer | type[Pass]:
        if not any(name in question for name in names):
            return Pass
        return None if error is None else failing(question, error)

    polled.ask = ask


@pytest.fixture
def polled() -> Iterator[Polled]:
    with polling({**answers_of(NAME), **CHARGE}) as polled:
        yield polled


def values(poll: Poll) -> dict[str, Value]:
    return {reading.sensor.metric: reading.value for reading in poll.readings}


@pytest.mark.parametrize("error", [None, GEN_ERR])
@pytest.mark.parametrize("oid", [FINEST, BESIDE, SYS_OBJECT_ID])
def test_while_a_probe_is_lost_no_coarser_profile_is_read(polled: Polled, oid: str, error: int | None) -> None:
    lose(polled, oid, error=error)
    early = polled.polls(3)
    assert [values(poll) for poll in early] == [{}] * 3
    assert not any(poll.reachable and poll.complete for poll in early)
    lose(polled)
    late = polled.polls(3)
    assert values(late[0])["battery.charge"] == 97
    assert values(late[0])["battery.charger.status"] == "resting"
    assert late[-1].complete


def test_a_probe_that_is_never_answered_is_not_there_after_some_polls(polled: Polled) -> None:
    lose(polled, NOT_THERE)
    *early, last = polled.polls(4)
    assert [values(poll) for poll in early] == [{}] * 3
    polled.restart()
    lose(polled)
    assert values(last) == values(polled.polls(1)[0])
    assert last.device.type is DeviceType.UPS


def test_polls_with_silence_between_them_are_not_in_a_row(polled: Polled) -> None:
    lose(polled, NOT_THERE)
    polled.polls(3)
    lose(polled, NOT_THERE, SYS_OBJECT_ID)
    assert not polled.polls(1)[0].reachable
    lose(polled, NOT_THERE)
    *early, last = polled.polls(4)
    assert [values(poll) for poll in early] == [{}] * 3
    assert values(last)["battery.charge"] == 97


def test_a_probe_of_no_family_that_it_could_be_of_is_not_waited_for(polled: Polled) -> None:
    lose(polled, "1.3.6.1.4.1.318.1.1.1.1.1.1.0")
    assert values(polled.polls(1)[0])["battery.charge"] == 97


def test_until_it_is_certain_a_device_is_what_it_was(polled: Polled) -> None:
    polled.restart()
    lose(polled, FINEST)
    (poll,) = polled.polls(1)
    assert (poll.reachable, poll.complete, poll.readings) == (True, False, ())
    assert (poll.device.type, poll.device.model_name) == (DeviceType.UPS, "Eaton 9PX 2200i RT 3U")


def test_after_silence_an_agent_that_can_be_what_it_was_is_that(polled: Polled) -> None:
    polled.polls(1)
    lose(polled, SYS_OBJECT_ID, FINEST)
    assert not any(poll.reachable for poll in polled.polls(2))
    lose(polled, FINEST)
    assert values(polled.polls(1)[0])["battery.charge"] == 97


@pytest.mark.parametrize(("name", "seed"), [("apc-8932", 7), ("eaton-9px", 9)])
def test_a_bad_network_makes_no_false_reading_and_takes_no_part_away(name: str, seed: int) -> None:
    """Questions and answers are lost, and some end in an error. Hours pass between polls."""
    chance = random.Random(seed)  # noqa: S311 - the same in every run

    def ask(question: bytes) -> Answer | type[Pass]:
        match chance.choices(("pass", "drop", "fail", "large"), (95, 2, 2, 1))[0]:
            case "drop":
                return None
            case "fail":
                return failing(question, GEN_ERR)
            case "large":
                return failing(question, TOO_BIG)
        return Pass

    with polling(answers_of(name)) as polled:
        (right,) = polled.polls(1)
        told = {(reading.sensor.device, reading.sensor.id): reading.value for reading in right.readings}
        presence, parts = Presence([right.device.id]), {device.id for device in right.devices}
        presence.observe(right)
        polled.ask = ask
        answered = 0
        for hour, poll in enumerate(polled.polls(24), 1):
            wrong = [
                (reading.sensor.device, reading.sensor.metric, reading.value)
                for reading in poll.readings
                if told.get((reading.sensor.device, reading.sensor.id)) != reading.value
            ]
            assert not wrong
            presence.observe(replace(poll, time=at(hour * 3_600)))
            answered += poll.reachable
        assert presence.of(right.device.id).there == parts
        assert answered > 20  # an agent that answers is not silent
