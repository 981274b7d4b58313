"""How answers look: tables that fit, ages, CSV, colours, and what asks before it ends something for good."""

import csv
import io
import os
import time
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner
from google.protobuf.timestamp_pb2 import Timestamp

from consentry.authority.v1 import directory_pb2, keys_pb2
from consentry_cli.answers import Answers, Form, in_words
from consentry_cli.cli import cli
from consentry_cli.params import TIME

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
COLUMNS = ["name", "display_name", "state", "expire_time"]


def stamp(time: datetime) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromDatetime(time)
    return timestamp


def keys(*, display_name: str = "Monitoring") -> keys_pb2.ListKeysResponse:
    ends = NOW + timedelta(days=30, hours=2)
    key = keys_pb2.Key(
        name="partners/acme/keys/k1",
        display_name=display_name,
        state=keys_pb2.Key.STATE_ACTIVE,
        expire_time=stamp(ends),
        hint="x1",
    )
    return keys_pb2.ListKeysResponse(keys=[key, keys_pb2.Key(name="partners/acme/keys/k2")])


def table(form: Form, answer: keys_pb2.ListKeysResponse, capsys: pytest.CaptureFixture[str]) -> str:
    Answers(form, now=NOW).table(answer, "keys", COLUMNS, wide=["hint"])
    return capsys.readouterr().out


def test_a_table_tells_times_to_the_second_and_how_far_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    heading, first, second = table(Form.TABLE, keys(), capsys).splitlines()
    assert heading.split() == ["NAME", "DISPLAY_NAME", "STATE", "EXPIRE_TIME"]
    assert first.endswith("active  2026-03-02 14:00:00Z (in 30d)")
    assert second.split() == ["partners/acme/keys/k2", "-", "-", "-"]


def test_wide_has_every_column(capsys: pytest.CaptureFixture[str]) -> None:
    heading, first, _ = table(Form.WIDE, keys(), capsys).splitlines()
    assert heading.split()[-1] == "HINT"
    assert first.split()[-2:] == ["2026-03-02T14:00:00Z", "x1"]


def test_csv_spells_names_as_tables_do_and_makes_no_formula(capsys: pytest.CaptureFixture[str]) -> None:
    told = table(Form.CSV, keys(display_name='=HYPERLINK("x"), -1'), capsys)
    heading, first, second = csv.reader(io.StringIO(told))
    assert heading == [*COLUMNS, "hint"]
    assert first == ["partners/acme/keys/k1", '\'=HYPERLINK("x"), -1', "active", "2026-03-02T14:00:00Z", "x1"]
    assert second == ["partners/acme/keys/k2", "", "", "", ""]


def test_json_lines_are_one_resource_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert ['"k1"' in line or "/k1" in line for line in table(Form.JSONL, keys(), capsys).splitlines()] == [True, False]


def test_on_a_terminal_a_table_fits_and_states_have_colours(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "70")
    lines = table(Form.TABLE, keys(display_name="A very long name that nobody reads to its end"), capsys).splitlines()
    assert all(len(line.replace("\x1b[32m", "").replace("\x1b[0m", "")) <= 70 for line in lines)
    assert "…" in lines[1]
    assert "\x1b[32mactive" in lines[1]


@pytest.mark.parametrize(
    ("seconds", "told"), [(0, "0s"), (59, "59s"), (60, "1m"), (3599, "59m"), (86_399, "23h"), (86_400 * 400, "400d")]
)
def test_lengths_of_time(seconds: int, told: str) -> None:
    assert in_words(timedelta(seconds=seconds)) == told


def test_one_resource_tells_its_fields_and_their_ages(capsys: pytest.CaptureFixture[str]) -> None:
    partner = directory_pb2.Partner(name="partners/acme", create_time=stamp(NOW - timedelta(hours=5)))
    Answers(Form.TABLE, now=NOW).show(directory_pb2.GetPartnerResponse(partner=partner), "partner")
    assert capsys.readouterr().out.splitlines() == [
        "name         partners/acme",
        "create_time  2026-01-31T07:00:00Z  (5h ago)",
    ]


# Times as people write them


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("2026-01-31", "2026-01-30T23:00:00Z"),
        ("2026-07-01 12:30", "2026-07-01T10:30:00Z"),
        ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00Z"),
    ],
)
def test_a_date_is_this_machines(typed: str, meant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0")
    time.tzset()
    try:
        assert TIME.convert(typed, None, None).ToJsonString() == meant
    finally:
        monkeypatch.undo()
        time.tzset()


def test_days_have_names() -> None:
    today = TIME.convert("today", None, None).ToDatetime(UTC).astimezone()
    assert (today.hour, today.minute) == (0, 0)
    day = TIME.convert("tomorrow", None, None).ToDatetime(UTC) - TIME.convert("yesterday", None, None).ToDatetime(UTC)
    assert timedelta(hours=47) <= day <= timedelta(hours=49)


# What cannot be taken back


@pytest.mark.parametrize("answer", ["y", "n"])
def test_a_person_is_asked_before_a_key_ends(answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consentry_cli.params.asked_of_a_person", lambda: True)
    for name in [name for name in os.environ if name.startswith("CONSENTRY_")]:
        monkeypatch.delenv(name)
    env = {"CONSENTRY_TOKEN": "ct_x", "CONSENTRY_AUTHORITY": "127.0.0.1:1"}
    delete = ("keys", "delete", "partners/acme/keys/k1")
    asked = CliRunner().invoke(cli, delete, input=answer, env=env)
    assert "for good" in asked.stderr
    assert ("no answer from the authority" in asked.stderr) == (answer == "y")
    assert "for good" not in CliRunner().invoke(cli, (*delete, "--yes"), env=env).stderr
