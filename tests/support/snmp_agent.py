"""An SNMP agent of version 1 and 2c without a socket: questions in, answers out, over values that a test changes."""

import bisect
from collections.abc import Mapping, Sequence

from consentry_gateway.reading.raw import Raw
from consentry_gateway.sources.snmp import ber

GET, NEXT, RESPONSE, BULK = 0xA0, 0xA1, 0xA2, 0xA5
_INTEGER, _GAUGE = 0x02, 0x42
_NO_SUCH, _END = b"\x81\x00", b"\x82\x00"
_NO_SUCH_NAME = 2
_LARGEST = 1_400  # bytes of what a bulk answer holds

_Name = tuple[int, ...]


def element(tag: int, content: bytes) -> bytes:
    """An element of BER."""
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def oid_of(name: Sequence[int]) -> bytes:
    """An OID."""
    content = bytearray([name[0] * 40 + name[1]])
    for number in name[2:]:
        digits = [number & 0x7F]
        while number := number >> 7:
            digits.append(number & 0x7F | 0x80)
        content += bytes(reversed(digits))
    return element(0x06, bytes(content))


def value_of(raw: Raw) -> bytes:
    """A value: a number that is not negative as a gauge."""
    if isinstance(raw, int):
        return element(_INTEGER if raw < 0 else _GAUGE, raw.to_bytes(raw.bit_length() // 8 + 1, "big", signed=True))
    if isinstance(raw, bytes):
        return element(0x04, raw)
    return oid_of([int(part) for part in str(raw).split(".")])


class AnsweringAgent:
    """Answers what it is asked. `tell` gives it other values for what it has."""

    def __init__(self, answers: Mapping[str, Raw]) -> None:
        self._names: list[_Name] = sorted(tuple(map(int, oid.split("."))) for oid in answers)
        self._oids = {name: oid_of(name) for name in self._names}
        self._by_oid = {oid: name for name, oid in self._oids.items()}
        self._values: dict[_Name, bytes] = {}
        self.tell(answers)

    def tell(self, changed: Mapping[str, Raw]) -> None:
        """What it says from now on."""
        for oid, raw in changed.items():
            self._values[tuple(map(int, oid.split(".")))] = value_of(raw)

    def answer(self, question: bytes) -> bytes:
        """The answer to a question."""
        _, start, _ = ber._element(question, 0)
        _, version, after_version = ber._element(question, start)
        _, _, pdu = ber._element(question, after_version)
        kind, request, _ = ber._element(question, pdu)
        _, _, first = ber._element(question, request)
        _, _, second = ber._element(question, first)
        _, rows, third = ber._element(question, second)
        _, place, end = ber._element(question, third)
        asked: list[bytes] = []
        while place < end:
            _, name, place = ber._element(question, place)
            _, _, until = ber._element(question, name)
            asked.append(question[name:until])
        count = int.from_bytes(question[rows:third], "big") if kind == BULK else 1
        found = self._get(asked) if kind == GET else self._following(asked, count)
        status = b"\x02\x01\x00\x02\x01\x00"
        old = question[version:after_version] == b"\0"
        missing = next((place for place, value in enumerate(found) if value.endswith((_NO_SUCH, _END))), None)
        if old and missing is not None:
            status = bytes([2, 1, _NO_SUCH_NAME, 2, 1, missing + 1])
            found = [oid + b"\x05\x00" for oid in asked]
        body = question[request:first] + status + element(0x30, b"".join(element(0x30, one) for one in found))
        return element(0x30, question[start:pdu] + element(RESPONSE, body))

    def _get(self, asked: Sequence[bytes]) -> list[bytes]:
        names = [self._by_oid.get(oid) for oid in asked]
        return [oid + (_NO_SUCH if name is None else self._values[name]) for oid, name in zip(asked, names, strict=True)]

    def _following(self, asked: Sequence[bytes], rows: int) -> list[bytes]:
        starts = [bisect.bisect_right(self._names, self._name(oid)) for oid in asked]
        found: list[bytes] = []
        size = 0
        for row in range(rows):
            for oid, start in zip(asked, starts, strict=True):
                name = self._names[start + row] if start + row < len(self._names) else None
                found.append(oid + _END if name is None else self._oids[name] + self._values[name])
                size += len(found[-1]) + 2
                if size > _LARGEST and rows > 1:
                    return found
        return found

    def _name(self, oid: bytes) -> _Name:
        known = self._by_oid.get(oid)
        return known if known is not None else tuple(map(int, ber._oid(oid[2:]).split(".")))
