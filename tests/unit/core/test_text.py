"""Texts from outside: what is refused, what a gateway makes of it, and how it is shown."""

import logging
import unicodedata

import pytest

from consentry_core.process.logs import FORM, Formatter
from consentry_core.values.errors import InvalidArgument
from consentry_core.values.text import REPLACEMENT, cleaned, plain, shown
from support.texts import is_plain

SHAPELESS = {"Cc", "Cf", "Zl", "Zp", "Cs"}
WRITTEN_WITH = {"\u200c", "\u200d"}  # joiner and non-joiner
# Marks before numbers in Arabic, Syriac, Kaithi, and the joints of hieroglyphs: format characters with a shape.
SEEN = {*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD, *range(0x13430, 0x13456)}

HOSTILE = {
    "an escape": "\x1b[2J", "a line feed": "\n", "a carriage return": "\r", "a zero": "\0", "a bell": "\a", "delete": "\x7f",
    "a C1 control": "\x9b2J", "an override": "\u202e", "an isolate": "\u2066", "a mark of direction": "\u200f",
    "a line separator": "\u2028", "a paragraph separator": "\u2029", "half a pair": "\ud800", "a noncharacter": "\uffff",
    "one of another plane": "\U0001fffe", "a zero-width space": "\u200b", "a byte order mark": "\ufeff", "a tag": "\U000e0041",
    "a soft hyphen": "\u00ad", "a filler": "\u3164",
}  # fmt: skip
WELCOME = (
    "Rack 7, row B", "Käfer & Söhne", "الرياض", "میزِ‌کار", "हिन्दी", "日本語", "👩‍🔧 ❤️", "50 µA / 3 Ω", "a\u00a0b",
    "葛\U000e0100", "",
)  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_what_a_terminal_obeys_or_nobody_sees_is_refused_cleaned_and_escaped(text: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        plain(f"good {text}", "display_name", 200)
    assert refused.value.reason == "TEXT_NOT_PLAIN"
    assert refused.value.violations[0].field == "display_name"
    assert f"character 6 is U+{ord(text[0]):04X}" in refused.value.message
    assert is_plain(refused.value.message)
    assert cleaned(f"good {text}") == f"good {REPLACEMENT}{text[1:]}"
    line = shown(f"good {text}")
    assert is_plain(line)
    assert line == f"good {ascii(text[0])[1:-1]}{text[1:]}"


@pytest.mark.parametrize("text", WELCOME)
def test_what_people_write_is_welcome(text: str) -> None:
    assert plain(text, "display_name", 200) == cleaned(text) == shown(text) == text


def test_a_text_that_is_too_long_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="at most 3 characters; it has 4"):
        plain("abcd", "display_name", 3)


def test_nothing_without_a_shape_is_forgotten() -> None:
    """Held against Python's own tables, which say more in newer versions: what is new there is to be looked at here."""
    forgotten = [
        f"U+{number:04X}"
        for number in range(0x110000)
        if unicodedata.category(chr(number)) in SHAPELESS
        and is_plain(chr(number))
        and chr(number) not in WRITTEN_WITH
        and number not in SEEN
    ]
    assert forgotten == []


def line_of(message: str, *arguments: object, error: BaseException | None = None) -> str:
    record = logging.LogRecord("consentry", logging.INFO, "file", 1, message, arguments, None if error is None else
                               (type(error), error, error.__traceback__))  # fmt: skip
    return Formatter(FORM).format(record)


def test_a_traceback_that_another_handler_has_written_already_is_escaped_all_the_same() -> None:
    with pytest.raises(ValueError, match="bad") as caught:
        fail("bad\x1b[2J")
    error = (ValueError, caught.value, caught.value.__traceback__)
    record = logging.LogRecord("consentry", logging.INFO, "file", 1, "it failed", (), error)
    assert not is_plain(logging.Formatter().format(record).replace("\n", " "))
    assert is_plain(Formatter(FORM).format(record).replace("\n", " "))


def fail(text: str) -> None:
    raise ValueError(text)


def test_an_event_is_one_line_whatever_is_logged() -> None:
    for text in HOSTILE.values():
        assert is_plain(line_of("service=%s", f"x{text}2026-01-01 00:00:00,000 INFO consentry forged"))


def test_a_traceback_keeps_its_lines_and_none_of_them_looks_like_an_event() -> None:
    forged = "2026-01-01 00:00:00,000 ERROR consentry forged"
    with pytest.raises(ValueError, match="bad") as caught:
        fail(f"bad\n{forged}\x1b[2J")
    first, *rest = line_of("it failed", error=caught.value).split("\n")
    assert first.endswith("it failed")
    assert len(rest) >= 3
    assert all(line.startswith("  ") and is_plain(line) for line in rest)
    assert any(forged in line for line in rest)
