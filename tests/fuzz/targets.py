"""The parsers that strangers reach, each as a target: bytes in, and an AssertionError or an unforeseen one out if it is broken.

Every target holds two things. A text that is let through is one that we made, or says what we would have said ourselves;
whatever else it is, the parser refuses it with an error of ours (`consentry_core.values.errors`), which becomes a status with
details.
`tests/unit/test_parsers_fuzz.py` throws some thousands at them, `python -m fuzz` a million, led by coverage.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from google.protobuf.message import DecodeError, Message

from consentry.devices.v1 import gateway_pb2, telemetry_pb2
from consentry_authority.secrets.format import KEY_PREFIXES, TOKEN_PREFIX, ChecksumKeys
from consentry_core.protocol.follow import Revision
from consentry_core.rpc.bearer import bearer_secret
from consentry_core.values import names
from consentry_core.values.clock import SECOND
from consentry_core.values.errors import ConsentryError, InvalidArgument, OutOfRange, Unauthenticated
from consentry_core.values.names import NamePattern
from consentry_core.values.paging import PageTokens
from consentry_devices.blocks import columns
from consentry_devices.blocks import intake as blocks
from consentry_devices.feed.cursor import Cursor, Cursors, Known, Phase, Place
from consentry_devices.rpc.gateway.frames import to_frame
from consentry_gateway.sources.snmp import ber
from consentry_rule import CustomerId, Instant

NOW: Final = Instant(1_790_000_000 * SECOND)


@dataclass(frozen=True, slots=True)
class Target:
    """`take` is given anything at all; `seeds` get far into it, to begin with; `form`: what they are messages of, if any."""

    take: Callable[[bytes], None]
    seeds: Sequence[bytes]
    form: type[Message] | None = None


def _random(seed: str) -> Callable[[int], bytes]:
    """Random bytes that are the same in every run, so that an input which broke something breaks it again."""
    return hashlib.shake_256(seed.encode()).digest


# Secrets

_CHECKSUM_KEYS = ChecksumKeys([_random("new")(32), _random("old")(32)])
_STRANGERS = ChecksumKeys([_random("stranger")(32)])
_OURS = {
    keys.make(prefix, _random(f"{prefix}{number}")).text
    for number, keys in enumerate((_CHECKSUM_KEYS, ChecksumKeys([_random("old")(32)])))
    for prefix in (*KEY_PREFIXES.values(), TOKEN_PREFIX)
}
_FORGED = {_STRANGERS.make(prefix, _random(prefix)).text for prefix in (*KEY_PREFIXES.values(), TOKEN_PREFIX)}


def _secret(data: bytes) -> None:
    """Only what was made with one of the keys, to the letter, has a public id."""
    text = data.decode(errors="replace")
    found = _CHECKSUM_KEYS.public_id(text)
    assert (found is not None) == (text in _OURS)
    assert found is None or f"_{found}_" in text


def _authorization(data: bytes) -> None:
    """What metadata may hold: one line of text or, in other keys, bytes."""
    values: tuple[str | bytes, ...] = (data.decode("latin-1"), data)
    for value in values:
        try:
            secret = bearer_secret([("authorization", value)])
        except Unauthenticated:
            pass
        else:
            assert isinstance(value, str)
            assert value.endswith(secret) or value.rstrip().endswith(secret)
            assert (_CHECKSUM_KEYS.public_id(secret) is not None) == (secret in _OURS)


# Cursors and page tokens


@dataclass(frozen=True)
class _Numbers:
    store_id: str = "store-1"

    def tail(self) -> int:
        return 2**63 - 1

    def run_of(self, seq: int) -> str:
        return "run-1" if seq < 100 else "run-2"


_CURSORS = Cursors(_random("cursors")(32), _Numbers(), "acme", "north;")
_NEIGHBOURS = Cursors(_random("cursors")(32), _Numbers(), "rival", "north;")
_ELSEWHERE = Cursors(_random("cursors")(32), _Numbers("store-2"), "acme", "north;")
_MADE = {
    _CURSORS.make(cursor): cursor
    for cursor in (
        Cursor(Place.at(7, NOW), Known()),
        Cursor(Place(700, 600, NOW, 3, "north/ups"), Known(b"e" * 8, 9, NOW, b"k" * 8, b"m" * 8), Phase.TELLING),
        Cursor(Place.at(0, Instant(0)), Known(named=None, listless=True, mixed=True), Phase.IN_SNAPSHOT),
        Cursor(
            Place.at(7, NOW), Known(named=frozenset({b"n" * 8}), restored=True), Phase.TELLING, frozenset({b"s" * 8, b"e" * 8})
        ),
    )
}
_FOREIGN = [other.make(cursor) for other in (_NEIGHBOURS, _ELSEWHERE) for cursor in _MADE.values()]


def _cursor(data: bytes) -> None:
    """Only cursors that were made here, for this partner and filter, are read, and as they were made."""
    text = data.decode(errors="replace")
    try:
        cursor = _CURSORS.read(text)
    except (InvalidArgument, OutOfRange):
        assert text not in _MADE
    else:
        assert cursor == _MADE[text]


_PAGES = PageTokens(_random("pages")(32))
_QUESTION = "ListKeys partners/acme"
_TOKENS = {_PAGES.make(_QUESTION, last): last for last in ("", "a", "partners/acme/keys/0123456789abcdef", "\N{SNOWMAN}")}


def _page_token(data: bytes) -> None:
    """Only tokens of the same question are read, and as they were made; an empty one asks for the first page."""
    text = data.decode(errors="replace")
    try:
        last = _PAGES.read(_QUESTION, text)
    except InvalidArgument:
        assert text
        assert text not in _TOKENS
    else:
        assert last == (_TOKENS[text] if text else "")


# Names

_PATTERNS: Sequence[NamePattern] = [each for each in vars(names).values() if isinstance(each, NamePattern)]
_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789._-")


def _name(data: bytes) -> None:
    """A name that is let through is plain, of one type only, and is made of its ids again."""
    text = data.decode(errors="replace")
    found = [pattern for pattern in _PATTERNS if pattern.matches(text)]
    assert len(found) <= 1
    for pattern in _PATTERNS:
        try:
            ids = pattern.parse(text, "name")
        except InvalidArgument:
            assert pattern not in found
        else:
            assert pattern.format(*ids) == text
            assert all(_NAME_CHARACTERS.issuperset(each) and len(each) <= 63 for each in ids)
    for parse in (names.organization_id, names.resource_id):
        with suppress(InvalidArgument):
            assert _NAME_CHARACTERS.issuperset(parse(text, "id"))


def _revision(data: bytes) -> None:
    """What is let through has a number that a database can hold."""
    text = data.decode(errors="replace")
    try:
        revision = Revision.parse(text, "revision")
    except InvalidArgument:
        return
    assert 0 <= revision.number < 10**19
    assert Revision.parse(str(revision), "revision") == revision


# Blocks and frames


def _sample() -> telemetry_pb2.TelemetryBlock:
    block = telemetry_pb2.TelemetryBlock(
        sensors=["charge", "load"],
        sensor_indexes=[0, 1, 1],
        times_unix_nano=[NOW - 3, NOW - 2, NOW - 1],
        values=[1.0, 2.5, -0.0],
    )
    block.texts.add(sensor_index=1, time_unix_nano=NOW - 4, text="on battery")
    return block


def _numbers_only() -> telemetry_pb2.TelemetryBlock:
    block = _sample()
    del block.texts[:]
    return block


def _block(data: bytes) -> None:
    """A block that is taken in is canonical, says by numpy what it says by protobuf, and is written the same again."""
    try:
        message = telemetry_pb2.TelemetryBlock.FromString(data)
    except DecodeError:
        return  # a malformed message: refused before any of ours sees it
    canonical = columns.canonical(message)
    try:
        (taken,) = blocks.take([canonical], NOW, ["block"])
    except InvalidArgument:
        return
    table = columns.read(canonical)
    assert tuple(table.sensors) == taken.sensors == tuple(message.sensors)
    assert table.values.tolist() == list(message.values)
    assert table.times.tolist() == list(message.times_unix_nano)
    assert table.indexes.tolist() == list(message.sensor_indexes)
    assert taken.count == len(table) == len(message.values) + len(message.texts)
    assert taken.span == table.span()
    assert columns.write(table) == canonical
    assert columns.canonical(telemetry_pb2.TelemetryBlock.FromString(canonical)) == canonical


def _frame(data: bytes) -> None:
    """A frame that is taken in is the customer's own."""
    try:
        message = gateway_pb2.PublishRequest.Frame.FromString(data)
    except DecodeError:
        return
    try:
        frame = to_frame(message, CustomerId("north"), NOW)
    except ConsentryError:
        return
    assert frame.number == message.number
    assert len(frame.telemetry) == len(message.telemetry)
    assert all(told.device.startswith("customers/north/") for told in message.telemetry)
    assert all(alarm.name.startswith("customers/north/") for alarm in message.alarms)


def _frames() -> Sequence[bytes]:
    frame = gateway_pb2.PublishRequest.Frame(number=1)
    frame.inventory.devices.add(name="customers/north/devices/ups", display_name="UPS")
    frame.inventory.sensors.add(name="customers/north/devices/ups/sensors/load", unit="%")
    frame.inventory.locations.add(name="customers/north/locations/room", parent="customers/north/locations/site")
    frame.inventory.deleted_devices.append("customers/north/devices/old")
    whole = gateway_pb2.PublishRequest.Frame(number=2, historical=True)
    whole.telemetry.add(device="customers/north/devices/ups", block=_sample())
    whole.telemetry.add(device="customers/north/devices/pdu", block=_numbers_only())
    whole.loss.start_time.seconds = whole.loss.end_time.seconds = NOW // SECOND
    alarm = whole.alarms.add(name="customers/north/alarms/heat", device="customers/north/devices/ups", label="Heat", severity=1)
    alarm.activate_time.seconds = NOW // SECOND
    return [frame.SerializeToString(), whole.SerializeToString()]


# What SNMP agents send


def _element(tag: int, *content: bytes) -> bytes:
    whole = b"".join(content)
    return bytes([tag, len(whole)]) + whole


def _variable(number: int, value: bytes) -> bytes:
    return _element(0x30, _element(0x06, bytes([0x2B, 6, 1, 2, 1, 1, number, 0])), value)


_ONE = _element(0x02, b"\1")
_VARIABLES = _element(
    0x30, _variable(1, _element(0x04, b"APC")), _variable(3, _element(0x42, b"\xff")), _variable(9, _element(0x4A, b"\1"))
)
_ANSWER = _element(0x30, _ONE, _element(0x04, b"public"), _element(0xA2, _ONE, _ONE, _ONE, _VARIABLES))


def _snmp(data: bytes) -> None:
    """Whatever it is, it stays as long as it was, and a second look finds nothing more to mend."""
    mended, wrong = ber.mended(data)
    assert len(mended) == len(data)
    assert bool(wrong) == (mended != data)
    assert ber.mended(mended) == (mended, [])
    answer = ber.acknowledgement(data)
    assert answer is None or (len(answer) == len(data) and ber.acknowledgement(answer) is None)


def _encoded(*texts: str) -> Sequence[bytes]:
    return [text.encode() for text in sorted(texts)]


TARGETS: Mapping[str, Target] = {
    "secret": Target(_secret, _encoded(*_OURS, *_FORGED)),
    "authorization": Target(
        _authorization, _encoded(*(f"Bearer {text}" for text in _OURS | _FORGED), "Basic eDp5", "bearer  x")
    ),
    "cursor": Target(_cursor, _encoded(*_MADE, *_FOREIGN)),
    "page_token": Target(_page_token, _encoded(*_TOKENS, _PAGES.make("ListKeys partners/rival", "a"))),
    "name": Target(_name, _encoded(*(pattern.format(*["abc"] * pattern.pattern.count("{")) for pattern in _PATTERNS))),
    "revision": Target(_revision, _encoded("0123456789abcdef.42", "e.0", ".1", "e.")),
    "block": Target(_block, [_sample().SerializeToString(), _numbers_only().SerializeToString()], telemetry_pb2.TelemetryBlock),
    "snmp": Target(_snmp, [_ANSWER, _ANSWER.replace(b"\xa2", b"\xa6")]),
    "frame": Target(_frame, _frames(), gateway_pb2.PublishRequest.Frame),
}
