"""Small inputs of odd devices, each one of a kind of fault, with the right value of each."""

from collections.abc import Mapping

import pytest

from consentry_core.values.names import resource_id
from consentry_gateway.profiles import AlarmList, Metric, Profile, Source, Table
from consentry_gateway.profiles.apc_rack_pdu import APC_RACK_PDU
from consentry_gateway.reading.alarms import AlarmBook
from consentry_gateway.reading.decode import decode, findings
from consentry_gateway.reading.model import Device, DeviceId, DeviceType, Poll, Severity, Value
from consentry_gateway.reading.presence import FEWEST_ANSWERS, Presence
from consentry_gateway.reading.raw import UNREADABLE, Answers, Raw, number_of, text_of
from consentry_gateway.reading.recognition import SYS_OBJECT_ID, recognise
from consentry_gateway.reading.values import NOT_BELIEVABLE
from support.agents import answers_of
from support.polls import at

APC, UPS = "1.3.6.1.4.1.318.1.1", "1.3.6.1.2.1.33.1"
IT = Device(DeviceId("it"), "")

_APC_UPS: Answers = {SYS_OBJECT_ID: "1.3.6.1.4.1.318.1.3.27", f"{APC}.1.1.1.1.0": b"Smart-UPS"}
_UPS_MIB: Answers = {SYS_OBJECT_ID: "1.3.6.1.4.1.99999.1", f"{UPS}.4.1.0": 3}


def polled(answers: Answers, seconds: float = 0, device: Device = IT) -> Poll:
    """What a poll gives that was answered so."""
    profiles = recognise(answers)
    assert profiles
    return decode(profiles, device, answers, at(seconds))


def apc(values: Mapping[str, Raw], seconds: float = 0) -> Poll:
    """An APC UPS that says this, below 318.1.1.1."""
    return polled({**_APC_UPS, **{f"{APC}.1.{oid}": raw for oid, raw in values.items()}}, seconds)


def ups_mib(values: Mapping[str, Raw], seconds: float = 0) -> Poll:
    """A UPS of the standard that says this, below 33.1, or at a full OID."""
    named = {oid if oid.startswith("1.3.6") else f"{UPS}.{oid}": raw for oid, raw in values.items()}
    return polled({**_UPS_MIB, **named}, seconds)


def found(poll: Poll, device: str = "it") -> dict[str, Value]:
    """The values of one device."""
    return {reading.sensor.metric: reading.value for reading in poll.readings if reading.sensor.device == device}


def labels(*polls: Poll) -> list[str]:
    """What the alarms are called that these polls raise and clear."""
    book = AlarmBook()
    return [alarm.label for poll in polls for alarm in book.observe(poll)]


# S1: enumerations


@pytest.mark.parametrize(("state", "text"), [(14, "hot standby"), (15, "self-test"), (28, "self-test"), (13, "eco mode")])
def test_standby_and_self_test_are_no_power_failure(state: int, text: str) -> None:
    poll = apc({"4.1.1.0": state})
    assert (found(poll)["output.status"], labels(poll)) == (text, [])


@pytest.mark.parametrize("state", [13, *(number for number in range(16, 29) if number != 24), 29, 99])
def test_a_state_that_is_not_on_battery_ends_a_power_failure_whether_it_is_known_or_not(state: int) -> None:
    said = labels(apc({"4.1.1.0": 3}), apc({"4.1.1.0": state}, 5))
    assert said[:2] == ["Power Failure", "Power Failure Cleared"]


def test_every_output_state_of_powernet_has_a_text() -> None:
    texts = {state: found(apc({"4.1.1.0": state})).get("output.status") for state in range(1, 29)}
    assert all(texts.values())
    assert "output.status" not in found(apc({"4.1.1.0": 29}))


def test_an_eaton_ups_on_high_efficiency_has_no_power_failure_any_more() -> None:
    xups = "1.3.6.1.4.1.534.1.4.5.0"
    for state in range(1, 15):
        said = labels(polled({xups: 5}), polled({xups: state}, 5))
        assert ("Power Failure Cleared" in said) == (state != 5)


def test_every_output_state_of_cyberpower_but_on_battery_ends_a_power_failure() -> None:
    cps: Answers = {SYS_OBJECT_ID: "1.3.6.1.4.1.3808.1.1.1"}
    state = "1.3.6.1.4.1.3808.1.1.1.4.1.1.0"
    texts = {number: found(polled({**cps, state: number})).get("output.status") for number in range(2, 12)}
    assert all(texts.values())
    for number in {*texts, 12} - {3}:
        assert "Power Failure Cleared" in labels(polled({**cps, state: 3}), polled({**cps, state: number}, 5))


@pytest.mark.parametrize(("oid", "state"), [("26.4.3.1.4.1", 5), ("26.6.3.1.4.1", 5)])
def test_a_load_that_a_rack_pdu_cannot_judge_ends_an_overload(oid: str, state: int) -> None:
    pdu: Answers = {SYS_OBJECT_ID: "1.3.6.1.4.1.318.1.3.4.6", f"{APC}.26.2.1.8.1": b"AP8932"}
    said = labels(polled({**pdu, f"{APC}.{oid}": 4}), polled({**pdu, f"{APC}.{oid}": state}, 5))
    assert said == ["Overload", "Overload Cleared"]


# S2 to S4: what is absent, what is believable


def test_what_is_absent_by_a_number_of_its_family_is_no_reading() -> None:
    poll = apc({"2.2.2.0": 255, "2.2.3.0": 4_294_967_295, "4.2.3.0": 255})
    assert (found(poll), labels(poll)) == ({}, [])
    assert found(apc({"2.2.2.0": 24, "2.3.2.0": -1}))["ups.temperature"] == 24.0
    assert found(apc({"2.2.2.0": 24, "2.3.2.0": 241}))["ups.temperature"] == 24.1


def test_a_runtime_that_the_finer_tree_says_is_none_is_not_taken_from_the_coarser() -> None:
    poll = ups_mib({"2.7.0": 255, "2.3.0": 1092, "1.3.6.1.4.1.705.1.5.1.0": 65_535})
    assert not {"battery.runtime", "battery.temperature"} & found(poll).keys()
    assert found(ups_mib({"2.3.0": 30}))["battery.runtime"] == 1_800.0
    assert "battery.runtime" not in found(ups_mib({"2.3.0": 0}))


@pytest.mark.parametrize(
    ("oid", "raw"), [("2.7.0", 230), ("2.7.0", 300), ("2.7.0", 1000), ("3.3.1.3.1", 6554), ("2.6.0", 2_147_483_647)]
)
def test_what_nobody_can_believe_is_no_reading_and_no_alarm(oid: str, raw: int) -> None:
    poll = ups_mib({oid: raw})
    assert (set(found(poll)), labels(poll)) == ({"output.status"}, [])
    answers = {**_UPS_MIB, f"{UPS}.{oid}": raw}
    assert [finding.why for finding in findings(recognise(answers), IT, answers) if finding.raw == raw] == [NOT_BELIEVABLE]
    assert found(ups_mib({"2.7.0": 23}))["battery.temperature"] == 23.0


@pytest.mark.parametrize("raw", [-1, -2, -10])
def test_a_little_below_zero_is_cold_and_not_absent(raw: int) -> None:
    answers = {**answers_of("geist-temperature-sensor"), "1.3.6.1.4.1.21239.5.1.4.1.5.2": raw}
    poll = polled(answers)
    assert found(poll, "it-remote-2")["ambient.temperature"] == pytest.approx(raw / 10)
    presence = Presence([IT.id])
    for hour in range(FEWEST_ANSWERS + 30):
        presence.observe(polled(answers, hour * 3600))
    assert "it-remote-2" in presence.of(IT.id).there
    signed = found(ups_mib({"2.6.0": raw, "2.7.0": raw}))
    assert signed["battery.current"] == pytest.approx(raw / 10)
    assert signed["battery.temperature"] == raw


def test_a_probe_of_a_rack_pdu_that_says_minus_one_is_none() -> None:
    answers = {**answers_of("apc-chain"), f"{APC}.26.10.2.2.1.8.1": -1}
    assert "ambient.temperature" not in found(polled(answers), "it-probe-1")
    assert found(polled(answers), "it-probe-1")["ambient.humidity"] == 45.0


# S5: ids


def test_a_part_s_id_is_one_however_long_the_device_s_is_and_stays_the_same() -> None:
    answers: Answers = {
        SYS_OBJECT_ID: "1.3.6.1.4.1.318.1.3.4.6", f"{APC}.26.2.1.8.1": b"AP8932", f"{APC}.26.8.3.1.5.1": 10,
    }  # fmt: skip
    ids = {
        name: [device.id for device in polled(answers, 0, Device(DeviceId(name), "")).devices] for name in ("a" * 57, "a" * 58)
    }
    for name, (own, part) in ids.items():
        assert (own, resource_id(part, "id")) == (name, part)
        assert [device.id for device in polled(answers, 5, Device(DeviceId(name), "")).devices] == [own, part]
    assert len({part for _, part in ids.values()}) == len(ids)


# S6: chains


def test_two_chained_units_are_two_rack_pdus() -> None:
    poll = polled(answers_of("apc-chain"))
    units = [device for device in poll.devices if device.type is APC_RACK_PDU.device_type]
    assert [(unit.model_name, unit.serial_number) for unit in units] == [("AP8881", "SN-A"), ("AP8886", "SN-B")]
    first, second = (found(poll, unit.id) for unit in units)
    assert (first["input.realpower"], second["input.realpower"]) == (400.0, 1000.0)
    assert {f"input.L{line}.current" for line in (1, 2, 3)} <= first.keys() & second.keys()
    assert not [metric for metric in first if "L4" in metric]
    overloads = [alarm for alarm in AlarmBook().observe(poll) if alarm.label == "Overload"]
    assert {(alarm.device, alarm.message) for alarm in overloads} == {
        ("it-unit-2", "Load is above its limit."), ("it-unit-2", "Load L1 is above its limit."),
    }  # fmt: skip


# S7: counts and zeros


def _three(voltage: int) -> dict[str, Raw]:
    return {f"{column}.{line}": voltage for column in ("3.3.1.3", "4.4.1.2") for line in (1, 2, 3)}


@pytest.mark.parametrize("counts", [{}, {"3.2.0": 0, "4.3.0": 0}, {"3.2.0": 3, "4.3.0": 3}])
@pytest.mark.parametrize("voltage", [230, 0])
def test_a_count_of_none_hides_no_row(counts: dict[str, Raw], voltage: int) -> None:
    read = found(ups_mib(_three(voltage) | counts))
    assert [read[f"input.L{line}.voltage"] for line in (1, 2, 3)] == [voltage] * 3
    assert [read[f"output.L{line}.voltage"] for line in (1, 2, 3)] == [voltage] * 3


def test_a_count_of_one_hides_what_is_nothing_but_zeros_or_a_copy_and_no_more() -> None:
    rows: dict[str, Raw] = {"3.2.0": 1, "3.3.1.3.1": 231, "3.3.1.3.2": 0, "3.3.1.3.3": 231}
    assert [metric for metric in found(ups_mib(rows)) if metric.startswith("input")] == ["input.voltage"]
    assert found(ups_mib(rows | {"3.3.1.3.3": 228}))["input.L3.voltage"] == 228.0


def test_rows_of_which_it_depends_on_what_could_not_be_read_whether_they_are_filling_are_not_read() -> None:
    def read(*rows: tuple[Raw, Raw]) -> dict[str, Value]:
        cells = {
            f"{column}.{line}": raw
            for line, row in enumerate(rows, 1)
            for column, raw in zip(("4.4.1.2", "4.4.1.5"), row, strict=True)
        }
        values = found(ups_mib({"4.3.0": 1, **cells}))
        return {name: value for name, value in values.items() if name.startswith("output.") and name != "output.status"}

    for unsure in ((UNREADABLE, 9), (231, UNREADABLE), (0, UNREADABLE)):
        assert read((231, 9), unsure) == {}
    assert read((UNREADABLE, 9), (231, 9)) == {}
    # What could not be read decides nothing here.
    assert read((231, UNREADABLE), (231, UNREADABLE)) == {"output.voltage": 231}
    assert read((231, 9), (228, UNREADABLE)) == {"output.L1.voltage": 231, "output.L2.voltage": 228, "output.L1.load": 9}
    assert read((231, UNREADABLE), (0, 0)) == {"output.voltage": 231}


def test_a_column_of_zeros_beside_a_load_is_no_reading() -> None:
    zeros = {f"4.4.1.4.{line}": 0 for line in (1, 2, 3)}
    read = found(
        ups_mib(zeros | {f"4.4.1.3.{line}": 52 for line in (1, 2, 3)} | {"4.4.1.5.1": 6, "4.4.1.5.2": 0, "4.4.1.5.3": 0})
    )
    assert not [metric for metric in read if metric.endswith("realpower")]
    assert (read["ups.load"], read["output.L1.current"]) == (6.0, 5.2)
    idle = found(ups_mib(zeros | {f"4.4.1.3.{line}": 0 for line in (1, 2, 3)}))
    assert idle["ups.realpower"] == 0.0  # nothing hangs on it, and all say so


def test_a_sum_of_which_a_part_is_not_known_is_none() -> None:
    read = found(ups_mib({"4.4.1.4.1": 100, "4.4.1.4.2": 2_147_483_647, "4.4.1.4.3": 300}))
    assert "ups.realpower" not in read


# S13: texts


@pytest.mark.parametrize(
    ("raw", "unit", "number"),
    [
        (bytes.fromhex("9f780442f60000"), "V", 123.0),
        (bytes.fromhex("9f7908405ec00000000000"), "V", 123.0),
        (b"23.5 C", "Cel", 23.5),
        (b"23,5", "Cel", 23.5),
        (b'"23.5"', "Cel", 23.5),
        (b"74.3 F", "Cel", 23.5),
        ("23,5 °C".encode("latin-1"), "Cel", 23.5),
        (b"45 %", "%", 45.0),
        (b"1.2 kW", "W", 1_200.0),
        (b"23.5 C", "V", None),
        (b"n/a", "V", None),
        (bytes.fromhex("9f78047fc00000"), "V", None),
    ],
)
def test_a_number_is_read_however_it_is_spelled_but_not_in_another_unit(raw: bytes, unit: str, number: float | None) -> None:
    read = number_of(raw, unit)
    assert read is None if number is None else read == pytest.approx(number)


@pytest.mark.parametrize(("raw", "text"), [("42fc726f", "Büro"), ("42c3bc726f", "Büro"), ("2252312200", "R1")])
def test_a_text_is_read_in_utf_8_or_latin_1_and_without_quotes(raw: str, text: str) -> None:
    assert text_of(bytes.fromhex(raw)) == text


# X4: own trees before the standard


def test_a_tree_of_the_maker_s_own_fills_what_it_lacks_from_the_standard() -> None:
    answers = answers_of("huawei-gse200m")
    read = found(polled(answers))
    assert (read["ups.realpower"], read["output.L3.realpower"], read["output.status"]) == (10_500.0, 6_000.0, "online")
    assert "battery.temperature" not in read


# X5: what devices say is wrong with them

_PDU: Answers = {SYS_OBJECT_ID: "1.3.6.1.4.1.318.1.3.4.6", f"{APC}.26.2.1.8.1": b"AP8932"}
MG, XUPS = "1.3.6.1.4.1.705.1", "1.3.6.1.4.1.534.1"
_MG_SNMP: Answers = {SYS_OBJECT_ID: MG, f"{MG}.5.1.0": 600}
_XUPS: Answers = {f"{XUPS}.4.5.0": 3, f"{XUPS}.6.3.0": 30}
_FLAGS = f"{APC}.1.11.1.1.0"


def _flag(number: int) -> bytes:
    return b"0" * (number - 1) + b"1" + b"0" * (64 - number)


@pytest.mark.parametrize(
    ("base", "oid", "wrong", "right", "label", "severity"),
    [
        (_APC_UPS, f"{APC}.1.2.1.1.0", 4, 2, "Battery Fault", Severity.CRITICAL),
        (_APC_UPS, f"{APC}.1.2.1.1.0", 5, 2, "Battery Missing", Severity.CRITICAL),
        (_APC_UPS, f"{APC}.1.2.2.4.0", 2, 1, "Replace Battery", Severity.WARNING),
        (_APC_UPS, f"{APC}.1.2.2.6.0", 1, 0, "Battery Fault", Severity.CRITICAL),
        (_APC_UPS, f"{APC}.1.4.1.1.0", 10, 2, "On Bypass", Severity.CRITICAL),
        (_APC_UPS, f"{APC}.1.4.1.1.0", 9, 2, "On Bypass", Severity.WARNING),
        (_APC_UPS, f"{APC}.1.4.1.1.0", 7, 2, "Output Off", Severity.CRITICAL),
        (_APC_UPS, f"{APC}.1.4.2.3.0", 120, 80, "Overload", Severity.CRITICAL),
        (_APC_UPS, f"{APC}.1.8.1.0", 2, 1, "Lost Component Communication", Severity.WARNING),
        (_APC_UPS, f"{APC}.1.7.2.3.0", 2, 1, "Self-Test Failed", Severity.WARNING),
        (_APC_UPS, _FLAGS, _flag(25), b"0" * 64, "Charger Fault", Severity.WARNING),
        (_APC_UPS, _FLAGS, _flag(50), b"0" * 64, "Hardware Fault", Severity.CRITICAL),
        (_UPS_MIB, f"{UPS}.6.1.0", 3, 0, "UPS Alarm", Severity.WARNING),
        (_UPS_MIB, f"{UPS}.4.4.1.5.1", 120, 60, "Overload", Severity.CRITICAL),
        (_UPS_MIB, f"{UPS}.4.1.0", 2, 3, "Output Off", Severity.CRITICAL),
        (_UPS_MIB, f"{UPS}.7.3.0", 3, 1, "Self-Test Failed", Severity.WARNING),
        (_PDU, f"{APC}.26.4.3.1.12.1", 2, 1, "Power Supply Failed", Severity.CRITICAL),
        (_PDU, f"{APC}.26.10.2.2.1.9.1", 6, 4, "High Temperature", Severity.CRITICAL),
        (_PDU, f"{APC}.26.10.2.2.1.9.1", 3, 4, "Low Temperature", Severity.WARNING),
        (_PDU, f"{APC}.26.10.2.2.1.8.1", 40, 220, "Low Temperature", Severity.WARNING),
        (_PDU, f"{APC}.26.10.2.2.1.10.1", 95, 50, "High Humidity", Severity.WARNING),
        (_PDU, f"{APC}.26.10.2.2.1.6.1", 3, 2, "Lost Component Communication", Severity.WARNING),
        (_MG_SNMP, f"{MG}.5.9.0", 1, 2, "Battery Fault", Severity.CRITICAL),
        (_MG_SNMP, f"{MG}.7.10.0", 1, 2, "Overload", Severity.CRITICAL),
        (_XUPS, f"{XUPS}.6.1.0", 31, 27, "High Temperature", Severity.WARNING),
    ],
)  # fmt: skip
def test_a_trouble_that_a_device_reports_is_an_alarm_until_it_is_over(  # noqa: PLR0917 - a table's columns
    base: Answers, oid: str, wrong: Raw, right: Raw, label: str, severity: Severity
) -> None:
    book = AlarmBook()
    assert book.observe(polled({**base, oid: right})) == ()
    (raised,) = book.observe(polled({**base, oid: wrong}, 5))
    assert (raised.label, raised.severity) == (label, severity)
    assert raised.message
    assert book.observe(polled({**base, oid: wrong}, 10)) == ()
    (cleared,) = book.observe(polled({**base, oid: right}, 15))
    assert (cleared.label, cleared.severity) == (f"{label} Cleared", Severity.OK)


def test_an_alarm_table_is_told_row_by_row_in_the_standard_s_words_and_ends_with_the_row() -> None:
    table: dict[str, Raw] = {"6.1.0": 2, "6.2.1.2.7": f"{UPS}.6.3.9", "6.2.1.2.8": f"{UPS}.6.3.16"}
    assert labels(ups_mib(table)) == ["On Bypass", "Fan Failure"]
    assert labels(ups_mib(table), ups_mib({"6.1.0": 1, "6.2.1.2.8": f"{UPS}.6.3.16"}, 5))[2:] == ["On Bypass Cleared"]


def test_an_alarm_table_with_words_and_severities_of_its_own_is_told_in_them_of_the_part_that_it_names() -> None:
    listed = AlarmList(
        key="events",
        oid="1.9.1",
        label="1.9.2",
        message="1.9.3",
        severity="1.9.4",
        severities={1: Severity.INFO, 3: Severity.CRITICAL},
        within=(("unit", 0),),
    )
    unit = Table(key="unit", part=DeviceType.RACK_PDU, itself="1", label="1.8", metrics=(Metric("a", "V", (Source("1.7"),)),))
    profile = Profile(family="test", device_type=DeviceType.RACK_PDU, tables=(unit,), alarms=(listed,))
    answers: Answers = {
        "1.7.1": 1,
        "1.8.2": b"Second",
        "1.9.1.2.5": 77,
        "1.9.2.2.5": b"Door open",
        "1.9.3.2.5": b"Rack 7",
        "1.9.4.2.5": 3,
    }
    book = AlarmBook()
    (raised,) = book.observe(decode((profile,), IT, answers, at(0)))
    assert (raised.device, raised.label, raised.message, raised.severity) == (
        "it-unit-2",
        "Door open",
        "Rack 7",
        Severity.CRITICAL,
    )
    assert [device.display_name for device in decode((profile,), IT, answers, at(0)).devices] == ["it", "Second"]


def test_an_alarm_table_that_could_not_be_read_ends_no_alarm() -> None:
    table = {**_UPS_MIB, f"{UPS}.6.1.0": 1, f"{UPS}.6.2.1.2.7": f"{UPS}.6.3.16"}
    book = AlarmBook()
    book.observe(polled(table))
    unread = decode(recognise(table), IT, {**_UPS_MIB, f"{UPS}.6.1.0": 1}, at(5), unread={f"{UPS}.6.2.1.2"})
    assert book.observe(unread) == ()


def test_two_that_say_the_same_are_one_alarm_that_lasts_as_long_as_either() -> None:
    both: dict[str, Raw] = {"4.1.0": 5, "6.1.0": 1, "6.2.1.2.1": f"{UPS}.6.3.2"}
    assert labels(ups_mib(both)) == ["Power Failure"]
    assert labels(ups_mib(both), ups_mib({"4.1.0": 5, "6.1.0": 0}, 5)) == ["Power Failure"]
    assert labels(ups_mib(both), ups_mib({"4.1.0": 3, "6.1.0": 0}, 5)) == ["Power Failure", "Power Failure Cleared"]


def test_a_limit_of_the_device_goes_before_ours_and_follows_when_it_is_changed() -> None:
    base = {"1.3.6.1.4.1.534.1.4.5.0": 3, "1.3.6.1.4.1.534.1.6.1.0": 37}
    limit = "1.3.6.1.4.1.534.1.6.3.0"
    assert labels(polled({**base, limit: 40})) == []
    assert labels(polled({**base, limit: 36}), polled({**base, limit: 40}, 5)) == [
        "High Temperature",
        "High Temperature Cleared",
    ]
    assert labels(polled(base)) == ["High Temperature"]  # above ours
