"""A recording of an agent (`.snmprec`: a line of `OID|type|value` each) that can be sent to somebody else.

Taken out are the agent's name, contact and location wherever they occur, what its profiles know to be names that people gave,
addresses (IPv4, IPv6, MAC, mail), and names of hosts. Everything else that it says stays: whoever sends it, reads it before.
"""

import ipaddress
import re
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from consentry_gateway.profiles import PROFILES, Profile
from consentry_gateway.reading.raw import within
from consentry_gateway.sources.snmp.walking import kind_of, walk
from consentry_gateway.sources.snmp.wire import Line

ROOTS = ("1.3.6.1.2.1.1", "1.3.6.1.2.1.33", "1.3.6.1.4.1")
"""What is recorded: what the agent is, the standard tree of UPSs, and those of makers."""

_SYSTEM = {"1.3.6.1.2.1.1.4.0": "contact", "1.3.6.1.2.1.1.5.0": "name", "1.3.6.1.2.1.1.6.0": "location"}
# Names and locations that people give: upsIdentName and upsIdentAttachedDevices, and those of APC's UPSs and rack PDUs.
_GIVEN = (
    "1.3.6.1.2.1.33.1.1.5", "1.3.6.1.2.1.33.1.1.6", "1.3.6.1.4.1.318.1.1.1.1.1.2", "1.3.6.1.4.1.318.1.1.12.1.1",
    "1.3.6.1.4.1.318.1.1.26.2.1.3", "1.3.6.1.4.1.318.1.1.26.2.1.4", "1.3.6.1.4.1.318.1.1.26.2.1.5",
)  # fmt: skip
_OCTETS, _OBJECT_ID, _ADDRESS, _OPAQUE = 4, 6, 64, 68
_NO_ADDRESS = "192.0.2.1"  # of those for documentation
_ADDRESSES = re.compile(
    r"[\w.+-]+@[\w.-]+"
    r"|\b\d{1,3}(?:\.\d{1,3}){3}\b"
    r"|\b[0-9A-Fa-f]{2}(?:[:-][0-9A-Fa-f]{2}){5}\b"
    r"|\b(?:[A-Za-z0-9-]+\.){2,}[A-Za-z]{2,}\b"
    r"|\b[A-Za-z0-9-]+\.(?:com|net|org|local|lan|internal|corp|home|intra)\b"
)
_PERHAPS_IPV6 = re.compile(r"(?<!\w)[0-9A-Fa-f]*:[0-9A-Fa-f:]+(?:\.\d+){0,3}")
_SHORTEST_NAME = 4


@dataclass(frozen=True, slots=True)
class Value:
    """One value. `content` is a number, octets, or the text of an OID."""

    oid: str
    kind: int
    content: int | bytes | str


async def values(line: Line, *, version: str, most: int, pace: float) -> AsyncIterator[Value]:
    """All that an agent says below `ROOTS`, up to `most`. AgentSilent when it goes no further."""
    count = 0
    for root in ROOTS:
        async for oid, value in walk(line, root, version=version, pause=1 / pace):
            yield Value(oid, kind_of(value), _content(value))
            count += 1
            if count >= most:
                return


def without_names(found: Iterable[Value], host: str) -> Iterator[Value]:
    """The same without names, contacts and addresses; `host` is the agent's own."""
    known = list(found)
    given = tuple(dict.fromkeys([*_GIVEN, *_labels()]))
    names: dict[str, str] = {}
    for value in known:
        shown = _SYSTEM.get(value.oid) or (_name(value.oid) if any(within(value.oid, oid) for oid in given) else "")
        name = value.content.decode("utf-8", "replace").strip("\0 ") if isinstance(value.content, bytes) else ""
        if shown and len(name) >= _SHORTEST_NAME:
            names.setdefault(name, shown)
    names = dict(sorted(names.items(), key=lambda name: -len(name[0])))  # a name may hold another one
    for value in known:
        if f".{host}." in f"{value.oid}.":
            continue  # a row of a table by address
        if value.oid in _SYSTEM:
            yield Value(value.oid, value.kind, _SYSTEM[value.oid].encode())
        elif value.kind == _ADDRESS:
            yield Value(value.oid, value.kind, _NO_ADDRESS)
        elif value.kind == _OCTETS and isinstance(value.content, bytes):
            is_given = value.content and any(within(value.oid, oid) for oid in given)
            yield Value(value.oid, value.kind, _name(value.oid).encode() if is_given else _plain(value.content, names))
        else:
            yield value


def lines(found: Iterable[Value]) -> Iterator[str]:
    """The lines of a recording."""
    for value in sorted(found, key=lambda value: [int(part) for part in value.oid.split(".")]):
        content, mark = value.content, ""
        if isinstance(content, bytes):
            text = content.decode("ascii", "replace")
            if value.kind == _OPAQUE or not (text.isascii() and text.isprintable()):
                text, mark = content.hex(), "x"
            content = text
        yield f"{value.oid}|{value.kind}{mark}|{content}"


def _content(value: Any) -> int | bytes | str:
    kind = kind_of(value)
    if kind in {_OCTETS, _OPAQUE}:
        return bytes(value)
    return str(value.prettyPrint()) if kind in {_OBJECT_ID, _ADDRESS} else int(value) if kind != 5 else ""


def _name(oid: str) -> str:
    """What stands for a name that somebody gave."""
    return f"Name {oid.rpartition('.')[2]}"


def _plain(content: bytes, names: dict[str, str]) -> bytes:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        text = ""
    if not text.rstrip("\0").isprintable() or (content and not text):
        return _NO_BYTES.get(len(content), content)
    for name, shown in names.items():
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", shown, text, flags=re.IGNORECASE)
    return _PERHAPS_IPV6.sub(_unless_ipv6, _ADDRESSES.sub("address", text)).encode()


def _unless_ipv6(found: re.Match[str]) -> str:
    try:
        ipaddress.IPv6Address(found[0].rstrip("."))
    except ValueError:
        return found[0]
    return "address"


_NO_BYTES = {4: bytes([192, 0, 2, 1]), 6: bytes([2, 0, 0, 0, 0, 1]), 16: bytes(16)}
"""By length, what stands for octets that may be an address."""


def _labels() -> Iterator[str]:
    def all_of(profile: Profile) -> Iterator[Profile]:
        yield profile
        for other in profile.beside:
            yield from all_of(other)

    for first in PROFILES:
        for profile in all_of(first):
            yield from (table.label for table in profile.tables if table.label)
