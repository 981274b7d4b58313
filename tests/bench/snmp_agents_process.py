"""SNMP agents for the benchmark, in a process of their own: each port answers gets, getnexts and bulk walks of one recording.

    python -m bench.snmp_agents_process RECORDING ...

They answer far faster than a simulator does, so that what is measured is who asks. Prints the ports, one a line, and ends with
its standard input.
"""

import asyncio
import bisect
import sys
from functools import partial
from typing import Any

from consentry_gateway.simulator import recorded
from consentry_gateway.sources.snmp import ber
from support.agents import answers_of

_GET, _NEXT, _RESPONSE, _BULK = 0xA0, 0xA1, 0xA2, 0xA5
_NO_SUCH, _END = b"\x81\x00", b"\x82\x00"


def _length(size: int) -> bytes:
    if size < 0x80:
        return bytes([size])
    content = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([0x80 | len(content)]) + content


def _element(tag: int, content: bytes) -> bytes:
    return bytes([tag]) + _length(len(content)) + content


def _oid(oid: tuple[int, ...]) -> bytes:
    content = bytearray([oid[0] * 40 + oid[1]])
    for number in oid[2:]:
        digits = [number & 0x7F]
        while number := number >> 7:
            digits.append(number & 0x7F | 0x80)
        content += bytes(reversed(digits))
    return _element(0x06, bytes(content))


def _value(raw: Any) -> bytes:
    if isinstance(raw, int):
        return _element(0x02, raw.to_bytes(raw.bit_length() // 8 + 1, "big", signed=True))
    if isinstance(raw, bytes):
        return _element(0x04, raw)
    return _oid(tuple(map(int, raw.split(".")))) if raw else _element(0x04, b"")


class Agent(asyncio.DatagramProtocol):
    """One agent."""

    def __init__(self, name: str) -> None:
        found = {tuple(map(int, oid.split("."))): raw for oid, raw in answers_of(name).items()}
        self._names = sorted(found)
        self._variables = [_element(0x30, _oid(name) + _value(found[name])) for name in self._names]
        self._place = {_oid(name): place for place, name in enumerate(self._names)}
        self._parsed: dict[bytes, tuple[int, ...]] = {}
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        """Keep the socket."""
        self._transport = transport

    def datagram_received(self, data: bytes, address: Any) -> None:
        """Answer."""
        _, start, _ = ber._element(data, 0)
        _, _, community = ber._element(data, start)
        _, _, pdu = ber._element(data, community)
        kind, request, _ = ber._element(data, pdu)
        _, _, first = ber._element(data, request)
        _, _, second = ber._element(data, first)
        _, rows, third = ber._element(data, second)
        _, place, end = ber._element(data, third)
        asked = []
        while place < end:
            _, name, place = ber._element(data, place)
            _, _, until = ber._element(data, name)
            asked.append(data[name:until])
        variables = self._answers(kind, int.from_bytes(data[rows:third], "big"), asked)
        body = data[request:first] + b"\x02\x01\x00\x02\x01\x00" + _element(0x30, b"".join(variables))
        self._transport.sendto(_element(0x30, data[start:pdu] + _element(_RESPONSE, body)), address)

    def _answers(self, kind: int, rows: int, asked: list[bytes]) -> list[bytes]:
        if kind == _GET:
            places = [self._place.get(name) for name in asked]
            return [
                _element(0x30, name + _NO_SUCH) if place is None else self._variables[place]
                for name, place in zip(asked, places, strict=True)
            ]
        starts = [self._after(name) for name in asked]
        count = rows if kind == _BULK else 1
        return [
            self._variables[start + row] if start + row < len(self._variables) else _element(0x30, name + _END)
            for row in range(count)
            for name, start in zip(asked, starts, strict=True)
        ]

    def _after(self, name: bytes) -> int:
        parsed = self._parsed.get(name)
        if parsed is None:
            parsed = self._parsed[name] = tuple(map(int, ber._oid(name[2:]).split(".")))
        return bisect.bisect_right(self._names, parsed)


async def _serve(names: list[str]) -> None:
    loop = asyncio.get_running_loop()
    for name in names:
        transport, _ = await loop.create_datagram_endpoint(partial(Agent, name), local_addr=(recorded.HOST, 0))
        print(transport.get_extra_info("sockname")[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1:]))
