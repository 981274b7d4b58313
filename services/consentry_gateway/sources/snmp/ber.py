"""Just enough of BER to find the values of an SNMP message and to take out those that no decoder would take.

Agents send what the standard does not allow: a counter that is negative, a type that nobody knows. The decoder then refuses the
whole message, which looks as if the agent did not answer. Such a value is made an Opaque in place, which `wire` takes for
something that is there and cannot be read: the others arrive.
"""

from collections.abc import Iterator

_OPAQUE, _SEQUENCE = 0x44, 0x30
_UNSIGNED = {0x41: 4, 0x42: 4, 0x43: 4, 0x47: 4, 0x46: 8}  # Counter32, Gauge32, TimeTicks, UInteger32, Counter64: their bytes
_KNOWN = frozenset({0x02, 0x04, 0x05, 0x06, 0x40, 0x44, 0x45, 0x80, 0x81, 0x82, *_UNSIGNED})
_VERSIONS = {0, 1}  # 1 and 2c; what is in a message of 3 may be encrypted
INFORM, RESPONSE = 0xA6, 0xA2


class Malformed(Exception):
    """It is not BER, or no SNMP message."""


def mended(message: bytes) -> tuple[bytes, list[str]]:
    """The message without values that cannot be decoded, and what was wrong, by OID. The message itself when all is well."""
    try:
        bad = list(_bad_values(message))
    except (Malformed, IndexError):
        return message, []
    if not bad:
        return message, []
    changed = bytearray(message)
    for place, _ in bad:
        changed[place] = _OPAQUE
    return bytes(changed), [what for _, what in bad]


def acknowledgement(message: bytes) -> bytes | None:
    """The response to an inform: the same message, as a response. None for everything else."""
    try:
        place = _pdu(message)
    except (Malformed, IndexError):
        return None
    if place is None or message[place] != INFORM:
        return None
    return message[:place] + bytes([RESPONSE]) + message[place + 1 :]


def _bad_values(message: bytes) -> Iterator[tuple[int, str]]:
    place = _pdu(message)
    if place is None:
        return
    _, start, end = _element(message, place)
    for _ in range(3):  # request id, error status, error index
        _, _, start = _element(message, start)
    tag, start, end = _element(message, start)
    if tag != _SEQUENCE:
        raise Malformed
    while start < end:
        _, name, after = _element(message, start)
        _, oid, value = _element(message, name)
        kind, content, until = _element(message, value)
        why = _wrong(kind, message[content:until])
        if why:
            yield value, f"{_oid(message[oid:value])} ({why})"
        start = after


def _pdu(message: bytes) -> int | None:
    """Where the PDU of a message of version 1 or 2c begins."""
    tag, start, _ = _element(message, 0)
    if tag != _SEQUENCE:
        raise Malformed
    _, version, after = _element(message, start)
    if int.from_bytes(message[version:after], "big") not in _VERSIONS:
        return None
    _, _, after = _element(message, after)  # the community
    return after


def _element(data: bytes, place: int) -> tuple[int, int, int]:
    """The tag of the element at a place, where its content begins and where it ends."""
    tag, length = data[place], data[place + 1]
    start = place + 2
    if length & 0x80:
        size = length & 0x7F
        if not 0 < size <= 4:
            raise Malformed
        length = int.from_bytes(data[start : start + size], "big")
        start += size
    if start + length > len(data):
        raise Malformed
    return tag, start, start + length


def _wrong(kind: int, content: bytes) -> str:
    if kind not in _KNOWN:
        return f"type {kind:#04x} is unknown"
    size = _UNSIGNED.get(kind)
    if size is None:
        return ""
    if content and content[0] & 0x80:
        return "a negative number of a type that has none"
    return "a number that is too large for its type" if len(content.lstrip(b"\0")) > size else ""


def _oid(content: bytes) -> str:
    numbers: list[int] = []
    number = 0
    for byte in content:
        number = number << 7 | byte & 0x7F
        if not byte & 0x80:
            numbers.append(number)
            number = 0
    first = numbers[0] if numbers else 0
    return ".".join(map(str, [min(first // 40, 2), first - 40 * min(first // 40, 2), *numbers[1:]]))
