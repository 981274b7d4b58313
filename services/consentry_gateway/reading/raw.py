"""What one answer of an agent says, whatever way it says it: numbers, texts, numbers as texts. No I/O."""

import math
import re
import struct
from collections.abc import Mapping

from consentry_core.values.text import cleaned
from consentry_gateway.profiles.form import Key

Raw = int | float | bytes | str
"""An answer: a number, an octet string, or an OID (or another source's text) as text. What is not there has no answer."""

UNREADABLE = math.nan
"""The answer that is there and could not be read."""

Answers = Mapping[str, Raw]
"""Answers by address; an OID without a leading dot."""

LONGEST_TEXT = 200  # the device-data service takes no longer names

# A number with its unit: "23.5 C", "23,5", '"45 %"'.
_SPELLED = re.compile(r"([-+]?\d+(?:[.,]\d+)?(?:[eE][-+]?\d+)?)\s*(.*)", re.DOTALL)
_OPAQUE = {b"\x9f\x78\x04": ">f", b"\x9f\x79\x08": ">d"}  # the tags that NET-SNMP puts into an Opaque

_CELSIUS, _FAHRENHEIT = (1.0, 0.0), (5 / 9, -32 * 5 / 9)
# By the unit that is wanted and the one that stands there: how to come from one to the other.
_UNITS: Mapping[tuple[str, str], tuple[float, float]] = {
    **{("Cel", word): _CELSIUS for word in ("c", "°c", "degc", "deg c", "celsius")},
    **{("Cel", word): _FAHRENHEIT for word in ("f", "°f", "degf", "deg f", "fahrenheit")},
    **{("%", word): (1.0, 0.0) for word in ("%", "percent", "%rh", "% rh", "rh")},
    **{("V", word): (1.0, 0.0) for word in ("v", "vac", "vdc", "volt", "volts")},
    **{("A", word): (1.0, 0.0) for word in ("a", "amp", "amps")},
    **{("W", word): (1.0, 0.0) for word in ("w", "watt", "watts")},
    ("W", "kw"): (1_000.0, 0.0), ("VA", "va"): (1.0, 0.0), ("VA", "kva"): (1_000.0, 0.0), ("Hz", "hz"): (1.0, 0.0),
    ("s", "s"): (1.0, 0.0), ("s", "sec"): (1.0, 0.0), ("s", "min"): (60.0, 0.0), ("kW.h", "kwh"): (1.0, 0.0),
    ("A", "ma"): (0.001, 0.0), ("V", "mv"): (0.001, 0.0),
}  # fmt: skip


def is_unreadable(raw: Raw | None) -> bool:
    """Whether it is there and could not be read."""
    return isinstance(raw, float) and math.isnan(raw)


def number_of(raw: Raw | None, unit: str = "") -> float | None:
    """The number that an answer is or spells out, in `unit`; None when it is none, or one in another unit."""
    if isinstance(raw, str | bytes):
        return _spelled(raw, unit)
    return raw if raw is not None and math.isfinite(raw) else None


def _spelled(raw: str | bytes, unit: str) -> float | None:
    if isinstance(raw, bytes):
        form = _OPAQUE.get(raw[:3])
        if form is not None and len(raw) == 3 + struct.calcsize(form):
            (number,) = struct.unpack(form, raw[3:])
            return float(number) if math.isfinite(number) else None
    found = _SPELLED.fullmatch(text_of(raw))
    if found is None:
        return None
    number = float(found[1].replace(",", "."))
    word = found[2].lower().strip()
    scale = (1.0, 0.0) if not word else _UNITS.get((unit, word))
    return None if scale is None or not math.isfinite(number) else number * scale[0] + scale[1]


def text_of(raw: Raw | None) -> str:
    """The text of an answer, with a visible mark for what cannot be seen, and without quotes around it. Empty for a number."""
    if isinstance(raw, bytes):
        whole = _decoded(raw)
    elif isinstance(raw, str):
        whole = raw
    else:
        return ""
    text = cleaned(whole.strip("\0 \t\r\n")).strip()  # agents fill up with zeros and blanks
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1].strip()
    return text[:LONGEST_TEXT]


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def keys_of(raw: Raw | None) -> tuple[Key, ...]:
    """What an answer is looked up by: its number, and its text."""
    if raw is None:
        return ()
    if isinstance(raw, int | float):
        return (int(raw),) if float(raw).is_integer() else ()
    text = text_of(raw)
    return (int(text), text) if re.fullmatch(r"-?\d{1,18}", text) else (text,)


def within(oid: str, prefix: str) -> bool:
    """Whether an address is another one, or below it."""
    return oid == prefix or oid.startswith(f"{prefix}.")
