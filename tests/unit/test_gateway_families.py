"""Every family on a recording: all that is told of it, devices, readings and alarms, against a table checked by hand."""

import pytest

from consentry_core.names import resource_id
from consentry_gateway import recorded
from consentry_gateway.decode import decode
from consentry_gateway.model import Device, DeviceId
from consentry_gateway.profiles import PROFILES
from consentry_gateway.recognition import questions, recognise
from support.agents import MADE_UP, answers_of, told
from support.polls import at

RECORDINGS = sorted({*recorded.RECORDINGS, *(path.stem for path in MADE_UP.glob("*.snmprec"))})


@pytest.mark.parametrize("name", RECORDINGS)
def test_what_is_told_of_a_recording_is_what_its_tree_says(name: str) -> None:
    answers = answers_of(name)
    profiles = recognise({oid: answers[oid] for oid in questions() if oid in answers})
    poll = decode(profiles, Device(DeviceId("it"), ""), answers, at(0))
    assert told(poll) == (MADE_UP / f"{name}.expected").read_text(encoding="utf-8")
    sensors = [(reading.sensor.device, resource_id(reading.sensor.id, "id")) for reading in poll.readings]
    assert len(set(sensors)) == len(sensors)
    assert all(resource_id(device.id, "id") for device in poll.devices)


def test_every_family_has_a_recording() -> None:
    """Those that are nothing but another's numbers in a tree of their own aside."""
    alike = {"HPE UPS", "HPE rack PDU (G2)", "APC in-row cooling, RP"}
    older = {"APC rack PDU, generation 1", "Eaton UPS (XUPS)"}  # each beside a newer one in its recordings
    seen = {recognise(answers_of(name))[0].family for name in RECORDINGS}
    assert {profile.family for profile in PROFILES} == seen | alike | older
