"""Every family on a recording: all that is told of it, devices, readings and alarms, against a table checked by hand."""

import pytest

from consentry_core.values.names import resource_id
from consentry_gateway.profiles import PROFILES
from consentry_gateway.reading.alarms import AlarmBook
from consentry_gateway.reading.decode import decode
from consentry_gateway.reading.model import Device, DeviceId
from consentry_gateway.reading.raw import within
from consentry_gateway.reading.recognition import questions, recognise
from consentry_gateway.simulator import recorded
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
    assert {profile.family for profile in PROFILES if profile.source == "snmp"} == seen | alike | older


@pytest.mark.parametrize("name", RECORDINGS)
def test_whatever_could_not_be_read_makes_nothing_else_false(name: str) -> None:
    """Each scalar and each column in turn is missing, a column also from its second half on, as when a walk is cut off."""
    answers = answers_of(name)
    profiles = recognise(answers)
    right = decode(profiles, Device(DeviceId("it"), ""), answers, at(0))
    values = {(reading.sensor.device, reading.sensor.id): reading.value for reading in right.readings}
    names = {device.id: device.display_name for device in right.devices}
    raised = {(alarm.id, alarm.label) for alarm in AlarmBook().observe(right)}
    needed = {oid for profile in profiles for oid in (*profile.scalars(), *profile.columns())}
    identity = {oid for profile in profiles for oid in (*profile.model, *profile.serial, *profile.probes)}
    for oid in needed - {oid for oid in needed if any(within(other, oid) for other in identity)}:
        instances = [instance for instance in sorted(answers) if instance == oid or instance.startswith(f"{oid}.")]
        for kept in {0, len(instances) // 2} if instances else ():
            less = {instance: raw for instance, raw in answers.items() if instance not in instances[kept:]}
            poll = decode(profiles, Device(DeviceId("it"), ""), less, at(0), unread={oid}, known=right.devices)
            assert not poll.complete
            for reading in poll.readings:
                assert values.get((reading.sensor.device, reading.sensor.id)) == reading.value, (oid, kept)
            assert {device.id: device.display_name for device in poll.devices}.items() <= names.items(), (oid, kept)
            assert {(alarm.id, alarm.label) for alarm in AlarmBook().observe(poll)} <= raised, (oid, kept)
