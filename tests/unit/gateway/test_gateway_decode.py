"""Recordings of real devices, decoded by their profiles, against what the recordings say."""

import random

import pytest

from consentry_core.values.names import resource_id
from consentry_gateway.profiles import PROFILES, Metric, Profile, Source, Table
from consentry_gateway.profiles.ups_mib import UPS_MIB
from consentry_gateway.reading.decode import decode
from consentry_gateway.reading.model import Device, DeviceId, DeviceType, LocationId, Poll, Value
from consentry_gateway.reading.raw import UNREADABLE, Answers, within
from consentry_gateway.reading.recognition import SYS_OBJECT_ID, questions, recognise
from consentry_gateway.simulator import recorded
from support.agents import answers_of
from support.polls import at

PDU2, UPS = "1.3.6.1.4.1.318.1.1.26", "1.3.6.1.2.1.33.1"


def decoded(name: str) -> Poll:
    answers = answers_of(name)
    profiles = recognise({oid: answers[oid] for oid in questions() if oid in answers})
    assert profiles
    return decode(profiles, Device(DeviceId(name), "", location=LocationId("hall")), answers, at(0))


def values(poll: Poll, device: str) -> dict[str, Value]:
    return {reading.sensor.metric: reading.value for reading in poll.readings if reading.sensor.device == device}


@pytest.mark.parametrize("name", ["apc-8932", "apc-8641"])
def test_a_rack_pdu_says_who_it_is_and_what_it_carries(name: str) -> None:
    recording, poll = answers_of(name), decoded(name)
    model, serial, power, bank = (recording[f"{PDU2}.{oid}"] for oid in ("2.1.8.1", "2.1.9.1", "4.3.1.5.1", "8.3.1.5.1"))
    assert isinstance(model, bytes)
    assert isinstance(serial, bytes)
    assert isinstance(power, int)
    assert isinstance(bank, int)
    assert (poll.device.model_name, poll.device.serial_number) == (model.decode(), serial.decode())
    assert poll.device.type is DeviceType.RACK_PDU
    assert values(poll, name)["input.realpower"] == power * 10
    assert values(poll, f"{name}-bank-1")["current"] == pytest.approx(bank / 10)
    assert values(poll, name)["load.status"] == "normal"


def test_banks_are_outlet_groups_within_the_pdu_where_it_stands() -> None:
    banks = [device for device in decoded("apc-8932").devices if "-outlet-" not in device.id][1:]
    assert [(bank.id, bank.display_name, bank.type, bank.parent, bank.location) for bank in banks] == [
        ("apc-8932-bank-1", "Bank 1", DeviceType.OUTLET_GROUP, "apc-8932", "hall"),
        ("apc-8932-bank-2", "Bank 2", DeviceType.OUTLET_GROUP, "apc-8932", "hall"),
    ]


def test_a_probe_that_is_not_plugged_in_is_no_device() -> None:
    assert answers_of("apc-8932")[f"{PDU2}.10.2.2.1.8.1"] == -1
    assert not [device for device in decoded("apc-8932").devices if device.type is DeviceType.ENVIRONMENTAL_SENSOR]


def test_a_three_phase_ups_has_sensors_per_line_and_totals() -> None:
    poll = decoded("eaton-93e-80")
    found = values(poll, "eaton-93e-80")
    assert (poll.device.type, poll.device.model_name, poll.device.serial_number) == (
        DeviceType.UPS,
        "EATON 93E 80",
        "4K234LXX06",
    )
    assert [found[f"output.L{line}.realpower"] for line in (1, 2, 3)] == [5100.0, 3600.0, 2700.0]
    assert (found["ups.realpower"], found["ups.load"]) == (11400.0, 21.0)
    assert (found["battery.charge"], found["battery.voltage"]) == (100.0, 521.0)
    assert "battery.runtime" not in found  # 65535 s in its own tree: it has none to tell
    assert (found["output.status"], found["battery.status"]) == ("online", "normal")


def test_a_one_phase_ups_has_no_line_numbers_even_where_its_tables_have_three_rows() -> None:
    assert answers_of("phoenixtec-power")[f"{UPS}.3.3.1.3.3"] == 0
    found = values(decode((UPS_MIB,), Device(DeviceId("it"), ""), answers_of("phoenixtec-power"), at(0)), "it")
    assert (found["input.voltage"], found["output.voltage"]) == (238.0, 231.0)
    assert not [metric for metric in found if ".L" in metric]


def test_a_geist_monitor_is_a_sensor_with_sensors_within() -> None:
    poll = decoded("geist-temperature-sensor")
    assert poll.device.serial_number == "TB19020610"
    assert values(poll, poll.device.id) == {"ambient.temperature": 15.4, "ambient.humidity": 39.0, "ambient.dewpoint": 0.8}
    assert [(part.display_name, part.serial_number) for part in poll.devices[1:]] == [
        ("Above Rack 02", "F4222224D25BF414"),
        ("Above Rack 03", "32222220FA2AA1356"),
    ]
    assert values(poll, f"{poll.device.id}-remote-2") == {"ambient.temperature": 18.5}


def test_a_maker_s_own_tree_is_believed_and_not_the_standard_s_mean_of_its_phases() -> None:
    poll = decoded("huawei-gse200m")
    found = values(poll, "huawei-gse200m")
    assert poll.device.serial_number == "2102310NYJ10EB000045"
    assert [found[f"output.L{line}.realpower"] for line in (1, 2, 3)] == [2100.0, 2400.0, 6000.0]
    assert (found["ups.realpower"], found["battery.charge"], found["battery.runtime"]) == (10_500.0, 100.0, 28_080.0)
    assert (found["input.frequency"], found["input.L1.voltage"]) == (50.0, 234.7)
    assert "battery.temperature" not in found  # 4294967295: it does not know
    assert not [metric for metric in found if metric in {"output.realpower", "output.voltage", "input.voltage"}]


@pytest.mark.parametrize("name", recorded.RECORDINGS)
def test_every_id_that_comes_of_a_recording_is_one_that_the_service_takes(name: str) -> None:
    poll = decoded(name)
    assert poll.readings
    for device in poll.devices:
        resource_id(device.id, "id")
    sensors = [(reading.sensor.device, resource_id(reading.sensor.id, "id")) for reading in poll.readings]
    assert len(set(sensors)) == len(sensors)


def of_one(metric: Metric, answers: dict[str, int]) -> dict[str, Value]:
    profile = Profile(family="test", device_type=DeviceType.UPS, metrics=(metric,))
    return values(decode((profile,), Device(DeviceId("it"), ""), answers, at(0)), "it")


TWICE = Metric("ups.load", "%", (Source("1.1", 0.1), Source("1.2")))


def test_the_finer_of_two_precisions_is_taken_and_the_coarser_where_it_is_absent() -> None:
    assert of_one(TWICE, {"1.1": 423, "1.2": 42}) == {"ups.load": 42.3}
    assert of_one(TWICE, {"1.1": -1, "1.2": 42}) == {"ups.load": 42.0}
    assert of_one(TWICE, {"1.2": 42}) == {"ups.load": 42.0}


@pytest.mark.parametrize("absent", [-1, -2147483648])
def test_a_sentinel_is_no_reading(absent: int) -> None:
    assert of_one(TWICE, {"1.1": absent, "1.2": absent}) == {}


def test_a_number_of_an_enumeration_becomes_its_text_and_an_unknown_one_nothing() -> None:
    status = Metric("battery.status", "", (Source("1.1"),), texts={2: "normal"})
    assert of_one(status, {"1.1": 2}) == {"battery.status": "normal"}
    assert of_one(status, {"1.1": 9}) == {}


def test_a_temperature_in_fahrenheit_is_converted() -> None:
    answers: Answers = {
        **answers_of("geist-temperature-sensor"),
        "1.3.6.1.4.1.21239.5.1.1.7.0": 0,
        "1.3.6.1.4.1.21239.5.1.4.1.5.2": 725,
    }
    profiles = recognise(answers)
    assert profiles
    poll = decode(profiles, Device(DeviceId("it"), ""), answers, at(0))
    assert values(poll, "it-remote-2") == {"ambient.temperature": 22.5}


def test_a_number_that_is_spelled_out_is_read_and_what_is_none_is_not() -> None:
    profile = Profile(family="test", device_type=DeviceType.UPS, metrics=(Metric("a", "V", (Source("1.1", 2),)),))
    read = {
        text: values(decode((profile,), Device(DeviceId("it"), ""), {"1.1": text}, at(0)), "it")
        for text in (b"12.5", b"nan", b"inf", b"twelve", b"")
    }
    assert read == {b"12.5": {"a": 25.0}, b"nan": {}, b"inf": {}, b"twelve": {}, b"": {}}


def test_a_text_that_an_agent_fills_up_is_cut_and_what_cannot_be_seen_in_it_is_marked() -> None:
    profile = Profile(family="it", device_type=DeviceType.UPS, model=("1.1",), serial=("1.2",))
    poll = decode((profile,), Device(DeviceId("it"), ""), {"1.1": b" UPS 3000\0\0\r\n", "1.2": b"A\x1b[2J\xe2\x80\xae7"}, at(0))
    assert (poll.device.model_name, poll.device.serial_number) == ("UPS 3000", "A\ufffd[2J\ufffd7")


def test_rows_come_in_the_order_of_their_numbers() -> None:
    table = Table(
        key="part", part=DeviceType.OUTLET_GROUP, display_name="Bank {index}", metrics=(Metric("a", "A", (Source("1.5"),)),)
    )
    profile = Profile(family="test", device_type=DeviceType.RACK_PDU, tables=(table,))
    poll = decode((profile,), Device(DeviceId("it"), ""), {"1.5.10": 1, "1.5.2": 1, "1.50.1": 1}, at(0))
    assert [device.id for device in poll.devices] == ["it", "it-part-2", "it-part-10"]


def test_an_agent_of_no_known_family_is_not_recognised() -> None:
    assert recognise({SYS_OBJECT_ID: "1.3.6.1.4.1.9.1.1"}) == ()
    assert recognise({SYS_OBJECT_ID: "1.3.6.1.4.1.318.1.3.4.6"}) == ()  # the maker's, but nothing that we can read


def test_a_vendor_prefix_ends_at_a_dot() -> None:
    geist = next(profile for profile in PROFILES if "Geist" in profile.family)
    answers: Answers = {SYS_OBJECT_ID: "1.3.6.1.4.1.212390.1", geist.probes[0]: 1}
    assert recognise(answers) == ()


@pytest.mark.parametrize("seed", range(40))
def test_what_could_not_be_read_makes_nothing_else_false(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - to be repeated
    name = chance.choice(("eaton-9px", "apc-chain", "santak-array", "raritan-px3", "liebert-gxt5", "servertech-pro2"))
    answers = dict(answers_of(name))
    profiles = recognise(answers)
    device = Device(DeviceId("it"), "")
    truth = values_of(decode(profiles, device, answers, at(0)))
    wanted = [oid for profile in profiles for oid in (*profile.scalars(), *profile.columns())]
    asked = [oid for oid in answers if any(within(oid, one) for one in wanted)]
    damaged = {oid for oid in asked if chance.random() < chance.choice((0.02, 0.2))}
    scalars = {oid for oid in damaged if oid.endswith(".0")}
    answers = {oid: UNREADABLE if oid in damaged else raw for oid, raw in answers.items() if oid not in scalars}
    poll = decode(profiles, device, answers, at(5), unread=scalars)
    false = {sensor: value for sensor, value in values_of(poll).items() if truth.get(sensor) != value}
    assert (false, poll.complete) == ({}, not damaged)


def values_of(poll: Poll) -> dict[tuple[str, str], Value]:
    """The values, by device and sensor."""
    return {(reading.sensor.device, reading.sensor.id): reading.value for reading in poll.readings}
